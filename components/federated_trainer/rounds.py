"""A federated training from its job to the exported model: what is made ready, the rounds, what is kept of them.

Has never heard of TFX. Whatever is wrong with the job is said in one line before the first round.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.federated_trainer import algorithms, before
from components.federated_trainer.checkpoints import Checkpoints
from components.federated_trainer.clients.population import Population
from components.federated_trainer.evaluation import Evaluation
from components.federated_trainer.executors import executor
from components.federated_trainer.loop import Loop, Progress
from components.federated_trainer.privacy import protection
from components.federated_trainer.records import Round, RoundRecorder
from modeling import contract
from modeling.check import check
from modeling.export import export

logger = logging.getLogger(__name__)
_WITHOUT_EFFECT = ("executor", "checkpoint")  # settings that change nothing of what is released


@dataclass(frozen=True)
class Job:
    """Everything a training needs; JSON-friendly, because it crosses a process boundary.

    module: import path of the model module. examples_uri: FederatedExamples. settings: the `train` section of the config,
    resolved. seed: of everything that is random, but for secret noise. model_dir, run_dir: where the model and the records go.
    state_dir: what outlives this training: checkpoints/ and privacy/. warm_start: a SavedModel to begin with, or None for the
    module's own initial weights. beam_args: of the executor `beam`.
    """

    module: str
    examples_uri: str
    settings: Mapping[str, Any]
    seed: int
    model_dir: str
    run_dir: str
    state_dir: str
    warm_start: str | None = None
    beam_args: tuple[str, ...] = ()


def train(job: Job, report: Callable[[Round], None], say: Callable[[str], None] = logger.warning) -> dict[str, Any]:
    """Runs all rounds, exports the weights that the settings ask for, and returns facts for the artifact's properties.

    A training of the same job that died, or stopped for want of clients, goes on from its last checkpoint; it ends in the same
    bits as one that never stopped.

    Args:
      job: what to train.
      report: is told of every round when it is done; a resumed training does not tell of the earlier ones again.
      say: is told, in a line each, what a person should know.

    Raises:
      TrainingError: what the job asks for does not go with the clients, a round fails, weights or loss are not finite, too few
        clients report, or the privacy budget would be exceeded.
      ConfigError: the model module is not usable, or the settings do not go together.
      IntegrityError: a file is not what was published, or the privacy ledger has been altered.
    """
    module = contract.load(job.module)
    check(module)
    with contextlib.ExitStack() as stack:
        population = stack.enter_context(contextlib.closing(Population.open(job.examples_uri)))
        before.check(module, population, job)
        model = before.initial_model(module, job.seed, job.warm_start)
        evaluation = Evaluation.open(module, job.examples_uri, job.settings["evaluation"])
        if evaluation:
            stack.callback(evaluation.close)
        checkpoints = _checkpoints(job, module)
        protected = protection.prepare(job, population, checkpoints.folder, before.identity(job, module, _WITHOUT_EFFECT))
        server = algorithms.server(job.settings, len(population))
        clients_half = stack.enter_context(executor(module, population, job))
        loop = Loop(job, module, population, server, clients_half, protected, evaluation, checkpoints)
        progress = loop.resumed() or loop.begun(*_weights(model))
        recorder = RoundRecorder(job.run_dir, job.settings, evaluation.names if evaluation else ())
        _run(loop, progress, protected, recorder, report, say)
    facts = _facts(progress, population, job.settings)
    _export(progress, module, job)
    facts |= protected.close(progress.attempts, job.run_dir)
    checkpoints.clear()
    return facts


def _checkpoints(job: Job, module: contract.ModelModule) -> Checkpoints:
    folder = os.path.join(job.state_dir, "checkpoints", before.identity(job, module))
    return Checkpoints(folder, job.settings["checkpoint"]["keep"])


def _weights(model: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The trainable weights, and the others."""
    return [weight.numpy() for weight in model.trainable_weights], [weight.numpy() for weight in model.non_trainable_weights]


def _run(
    loop: Loop,
    progress: Progress,
    protected: protection.Protection,
    recorder: RoundRecorder,
    report: Callable[[Round], None],
    say: Callable[[str], None],
) -> None:
    """Goes on to the last round; whatever ends it early, the privacy ledger counts what was attempted and no more."""
    protected.open(say)
    try:
        if progress.rounds:
            say(f"goes on after round {len(progress.rounds)}, from a checkpoint")
        for result in progress.rounds:
            recorder.record(result)
        for result in loop.run(progress):
            recorder.record(result)
            report(result)
    except Exception:
        protected.settle(progress.attempts)
        raise


def _export(progress: Progress, module: contract.ModelModule, job: Job) -> None:
    """Puts the weights into a model that is made anew.

    Building models in TFF's graphs turns the layers of every Keras model there is into Keras 1 layers, which no signature can
    be made of; building one eagerly turns them back.
    """
    model = before.initial_model(module, job.seed, None)
    before.assign(model.trainable_weights, progress.exported(job.settings["export"]))
    before.assign(model.non_trainable_weights, progress.state["frozen"])
    export(model, module, job.model_dir)


def _facts(progress: Progress, population: Population, settings: Mapping[str, Any]) -> dict[str, Any]:
    last = progress.rounds[-1]
    exported = progress.best_round if settings["export"] == "best" else last.number
    share = max((result.largest_share for result in progress.rounds), default=0.0)
    return {
        "rounds": last.number,
        "clients": len(population),
        "clients_per_round": settings["clients_per_round"] or len(population),
        "exported": settings["export"],
        "exported_round": exported,
        "attempts": progress.attempts,
        "excluded_updates": sum(result.excluded for result in progress.rounds),
        "least_clients": min(result.clients for result in progress.rounds),
        "largest_weight_share": float(np.float32(share)),
        "sampling_digest": progress.sampling_digest,
        **{f"train_{key}": value for key, value in last.metrics.items()},
        **{f"heldout_{key}": value for key, value in progress.latest_evaluation().items()},
    }
