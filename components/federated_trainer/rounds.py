"""A federated training from its job to the exported model: what is made ready, the rounds, what is kept of them.

Has never heard of TFX. Whatever is wrong with the job is said in one line before the first round.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.federated_trainer import algorithms, before
from components.federated_trainer.checkpoints import Checkpoints, folder_of, sweep, writing
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
    bits as one that never stopped. One that ended is only exported again, until its checkpoints are swept away.

    Args:
      job: what to train.
      report: is told of every round when it is done; a resumed training does not tell of the earlier ones again.
      say: is told, in a line each, what a person should know.

    Raises:
      TrainingError: what the job asks for does not go with the clients, a round fails, weights or loss are not finite, too few
        clients report, the privacy budget would be exceeded, or a folder cannot be written to.
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
        identity = before.identity(job, module)
        checkpoints = Checkpoints(folder_of(job.state_dir, identity), job.settings["checkpoint"]["keep"])
        _sweep(job, identity, say)
        protected = protection.prepare(job, population, checkpoints.folder, identity, say)
        server = algorithms.server(job.settings, len(population))
        clients_half = stack.enter_context(executor(module, population, job))
        trainable, frozen = _weights(model)
        loop = Loop(job, population, server, clients_half, protected, evaluation, checkpoints, trainable)
        progress = loop.resumed() or loop.begun(trainable, frozen)
        with writing("records", job.run_dir):
            recorder = RoundRecorder(job.run_dir, job.settings, evaluation.names if evaluation else ())
        record = writing("records", job.run_dir)(recorder.record)
        _run(loop, progress, protected, record, report, say)
    facts = _facts(progress, population, job.settings)
    _export(progress, module, job)
    facts |= protected.close(progress.attempts, job.run_dir)
    checkpoints.done()
    return facts


def _sweep(job: Job, identity: str, say: Callable[[str], None]) -> None:
    """Removes what earlier trainings left and nobody needs, and tells of what may still be needed."""
    if others := sweep(job.state_dir, identity):
        say(
            f"checkpoints of {len(others)} other training{'s' * (len(others) > 1)} that did not end are kept for 30 days in"
            f" {others[0].parent}"
        )


def _weights(model: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The trainable weights, and the others."""
    return [weight.numpy() for weight in model.trainable_weights], [weight.numpy() for weight in model.non_trainable_weights]


def _run(
    loop: Loop,
    progress: Progress,
    protected: protection.Protection,
    record: Callable[[Round], None],
    report: Callable[[Round], None],
    say: Callable[[str], None],
) -> None:
    """Goes on to the last round; whatever ends it early, the privacy ledger counts what was attempted and no more."""
    if not loop.over(progress):
        protected.open(say)
    try:
        if progress.rounds:
            say(f"goes on after round {len(progress.rounds)}, from a checkpoint")
        for result in progress.rounds:
            record(result)
        for result in loop.run(progress):
            record(result)
            report(result)
    except Exception:
        try:
            protected.settle(progress.attempts)
        except Exception as error:  # what went wrong first is what has to be mended; the ledger counts all planned rounds
            say(f"the privacy ledger counts the rounds as planned: {contract.one_line(error)}")
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
    metrics = next((result.metrics for result in reversed(progress.rounds) if result.clients), {})
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
        **{f"train_{key}": value for key, value in metrics.items()},
        **{f"heldout_{key}": value for key, value in progress.latest_evaluation().items()},
    }
