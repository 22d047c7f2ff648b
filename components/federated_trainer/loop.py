"""The rounds: draw, let the clients work, combine, step, record, keep; again until done."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from components.federated_trainer.aggregators import clients_needed
from components.federated_trainer.algorithms import ALGORITHMS, Server
from components.federated_trainer.checkpoints import Checkpoint, Checkpoints
from components.federated_trainer.clients import cohorts
from components.federated_trainer.clients.kept import Kept
from components.federated_trainer.clients.population import Population
from components.federated_trainer.clients.results import Result
from components.federated_trainer.evaluation import Evaluation, better
from components.federated_trainer.records import Round
from errors import TrainingError

if TYPE_CHECKING:
    from components.federated_trainer.executors import Executor
    from components.federated_trainer.privacy.protection import Protection
    from components.federated_trainer.rounds import Job

logger = logging.getLogger(__name__)
Arrays = list[np.ndarray]


@dataclass
class Progress:
    """What is known after the last round; all of it goes into a checkpoint.

    state: of the server half. norms: of the combiner. kept: what clients keep. average: moving average of the weights. best:
    the weights of `best_round`, whose evaluation `best_value` was the best; stale: evaluations since. attempts: rounds drawn,
    those without a quorum included.
    """

    state: dict[str, Arrays]
    norms: dict[str, np.ndarray]
    kept: Kept
    average: Arrays
    best: Arrays
    rounds: list[Round] = field(default_factory=list)
    attempts: int = 0
    best_round: int = 0
    best_value: float = float("nan")
    stale: int = 0
    sampling_digest: str = ""

    def exported(self, which: str) -> Arrays:
        """Returns the trainable weights to export: `last`, `best` or `average`.

        Raises:
          TrainingError: no round is the best.
        """
        if which == "best" and not self.best_round:
            raise TrainingError(
                "train.export best: no evaluation on held-out examples gave a finite number; expected one. Look at these"
                " examples, or choose another train.evaluation.metric."
            )
        return {"last": self.state["weights"], "best": self.best, "average": self.average}[which]

    def latest_evaluation(self) -> dict[str, float]:
        """Returns the metrics of the last evaluation on held-out examples; none if there was none."""
        return next((result.heldout for result in reversed(self.rounds) if result.heldout), {})


class Loop:
    """One training; `run` yields a round after the other."""

    def __init__(
        self,
        job: Job,
        population: Population,
        server: Server,
        executor: Executor,
        protection: Protection,
        evaluation: Evaluation | None,
        checkpoints: Checkpoints,
        trainable: Arrays,
    ) -> None:
        """Takes what a training is made of; `trainable`, of the weights' shapes, may have any values."""
        self._settings, self._population = job.settings, population
        self._server, self._executor, self._protection = server, executor, protection
        self._evaluation, self._checkpoints = evaluation, checkpoints
        self._algorithm = ALGORITHMS[job.settings["algorithm"]]
        self._combiner = protection.combiner(job.settings["aggregation"], self._algorithm.client.shapes(trainable))

    def begun(self, trainable: Arrays, frozen: Arrays) -> Progress:
        """Returns the progress before the first round."""
        shapes = [weight.shape for weight in trainable] if self._algorithm.client.keeps_state else []
        norms, state = self._combiner.initial(), self._server.initial(trainable, frozen)
        return Progress(state, norms, Kept(shapes), list(trainable), list(trainable))

    def resumed(self) -> Progress | None:
        """Returns the progress as the newest checkpoint has it; None if there is none."""
        checkpoint = self._checkpoints.latest()
        return unpacked(checkpoint) if checkpoint else None

    def run(self, progress: Progress) -> Iterator[Round]:
        """Goes on from `progress`, changing it, and yields each round when it is done.

        Raises:
          TrainingError: too few clients report, something is not finite, or a checkpoint cannot be written.
        """
        every = self._settings["checkpoint"]["every"]
        while not self.over(progress):
            result = self._round(progress, len(progress.rounds) + 1)
            progress.rounds.append(result)
            if result.number % every == 0 or self.over(progress):
                self._checkpoints.save(packed(progress))
            yield result

    def over(self, progress: Progress) -> bool:
        """Tells whether there are no more rounds to come: all are done, or patience is at an end."""
        patience = self._settings["evaluation"]["patience"]
        return len(progress.rounds) >= self._settings["rounds"] or (patience is not None and progress.stale >= patience)

    def _round(self, progress: Progress, number: int) -> Round:
        started = time.monotonic()
        message = self._server.message(progress.state, number, *self._combiner.norms(progress.norms))
        cohort, result, attempts = self._reported(progress, message, number)
        mean, progress.norms, facts = self._combiner.combine(progress.norms, result, number)
        reports = int(result.counted.sum())
        progress.state = self._server.update(progress.state, mean, reports, number)
        progress.kept.put(cohort.work.clients[result.counted], [state[result.counted] for state in result.states])
        metrics = {"loss": result.loss, **self._executor.metrics(result.metrics)}
        if not reports:  # with privacy: nothing but noise was released
            metrics = dict.fromkeys(metrics, float("nan"))
        self._check_finite(progress, reports, result.loss, number)
        self._remember(progress, cohort)
        heldout = self._evaluated(progress, number)
        weights, examples = self._combiner.weights(result), self._used(cohort.work.clients)
        return Round(
            number=number,
            of=self._settings["rounds"],
            sampled=len(cohort.drawn),
            clients=reports,
            late=cohort.late,
            excluded=len(result.rows) - reports,
            examples=int(examples[result.counted].sum()),
            left_out=int(examples[~result.counted].sum()),
            attempts=attempts,
            largest_share=float(weights.max() / weights.sum()) if weights.any() else 0.0,
            cohort=cohort.digest,
            seconds=time.monotonic() - started,
            metrics=metrics,
            heldout=heldout,
            facts=facts | self._protection.after(progress.attempts),
        )

    def _reported(self, progress: Progress, message: Mapping[str, Any], number: int) -> tuple[cohorts.Cohort, Result, int]:
        """Draws until enough clients report; with privacy once, as a repeated round would tell how many did.

        When it gives up, a checkpoint keeps the attempts, so that the same job tries others when it is run again.
        """
        participation = self._settings["participation"]
        before = sum(result.attempts for result in progress.rounds)
        spoiled = 0
        for _ in range(participation["retries"] + 1):
            progress.attempts += 1
            cohort = self._drawn(number, progress.attempts - before)
            least = self._least(0)
            result = self._worked(progress, message, cohort, number) if len(cohort.work) >= least else None
            reports = int(result.counted.sum()) if result else len(cohort.work)
            if result and reports >= (least := self._least(len(cohort.work) - reports)):
                return cohort, result, progress.attempts - before
            spoiled += bool(result and not reports)
            what = "updates count" if result else "clients report"
            logger.warning("round %d, attempt %d: %d %s; %d needed", number, progress.attempts - before, reports, what, least)
        if spoiled == participation["retries"] + 1:
            raise _not_finite("no client's weights are", number)
        self._checkpoints.save(packed(progress))
        raise TrainingError(
            f"round {number} has {reports} updates that count after {progress.attempts - before} attempts; expected at least"
            f" {least} (train.participation.quorum, or what the aggregation rule needs). Run it again to go on with other"
            " clients, or lower the quorum, or raise train.clients_per_round."
        )

    def _least(self, excluded: int) -> int:
        """How many updates must count; those excluded are some of the Byzantine ones that the rule has to stand."""
        if not self._protection.repeats:
            return 0
        rules = self._settings["aggregation"]
        needed = clients_needed(rules["rule"], max(0, (rules["byzantine"] or 0) - excluded))
        return max(self._settings["participation"]["quorum"], needed)

    def _worked(self, progress: Progress, message: Mapping[str, Any], cohort: cohorts.Cohort, number: int) -> Result:
        weights = np.ones(len(cohort.work)) if self._uniform else self._used(cohort.work.clients)
        try:
            return self._executor.run(message, cohort.work, weights.astype(np.float32), progress.kept.get(cohort.work.clients))
        except TrainingError as error:
            raise TrainingError(f"round {number}: {error}") from error

    @property
    def _uniform(self) -> bool:
        return self._algorithm.uniform or self._settings["weighting"] == "uniform"

    def _drawn(self, number: int, attempt: int) -> cohorts.Cohort:
        participation, size = self._settings["participation"], self._settings["clients_per_round"] or len(self._population)
        epochs = self._settings["local_epochs"] or 1
        return cohorts.draw(len(self._population), size, participation, epochs, self._protection.sampling_key, number, attempt)

    def _used(self, clients: np.ndarray) -> np.ndarray:
        """How many examples of each client are used in a round."""
        sizes, cap = self._population.sizes[clients], self._settings["max_examples"]
        return sizes if cap is None else np.minimum(sizes, cap)

    def _remember(self, progress: Progress, cohort: cohorts.Cohort) -> None:
        chained = hashlib.sha256((progress.sampling_digest + cohort.digest).encode())
        progress.sampling_digest = chained.hexdigest()[:32]
        weights, decay = progress.state["weights"], self._settings["average_decay"]
        if decay is not None and progress.rounds:
            progress.average = [
                (decay * mean + (1 - decay) * weight).astype(weight.dtype)
                for mean, weight in zip(progress.average, weights, strict=True)
            ]
        else:
            progress.average = list(weights)

    def _evaluated(self, progress: Progress, number: int) -> dict[str, float]:
        """Evaluates when it is time, and keeps the best weights."""
        every, last = self._settings["evaluation"]["every"], number == self._settings["rounds"]
        if self._evaluation is None or (number % every and not last):
            return {}
        metrics = self._evaluation.run(progress.state)
        name, delta = self._settings["evaluation"]["metric"], self._settings["evaluation"]["min_delta"]
        if better(name, metrics[name], progress.best_value, delta):
            progress.best, progress.best_round, progress.best_value = progress.state["weights"], number, metrics[name]
            progress.stale = 0
        else:
            progress.stale += 1
        return metrics

    def _check_finite(self, progress: Progress, reports: int, loss: float, number: int) -> None:
        if not all(np.all(np.isfinite(array)) for part in progress.state.values() for array in part):
            raise _not_finite("the global weights are not", number)
        if reports and not np.isfinite(loss):
            raise _not_finite("the loss is not", number)


def _not_finite(what: str, number: int) -> TrainingError:
    return TrainingError(
        f"{what} finite after round {number}; expected finite numbers. Lower train.client_learning_rate or"
        " train.server_learning_rate, or look for NaN in the data."
    )


_LISTS = ("average", "best")
_FACTS = ("attempts", "best_round", "best_value", "stale", "sampling_digest")


def packed(progress: Progress) -> Checkpoint:
    """Returns the checkpoint of `progress`."""
    lists = {**{f"state.{key}": arrays for key, arrays in progress.state.items()}, "kept": progress.kept.arrays()}
    lists |= {name: getattr(progress, name) for name in _LISTS}
    arrays = {f"{name}.{number}": array for name, part in lists.items() for number, array in enumerate(part)}
    arrays |= {f"norms.{name}": array for name, array in progress.norms.items()}
    facts = {name: getattr(progress, name) for name in _FACTS}
    facts |= {"lengths": {name: len(part) for name, part in lists.items()}, "rounds": [asdict(one) for one in progress.rounds]}
    return Checkpoint(progress.attempts, arrays, facts)


def unpacked(checkpoint: Checkpoint) -> Progress:
    """The inverse of `packed`."""
    arrays, facts = checkpoint.arrays, checkpoint.facts
    lists = {name: [arrays[f"{name}.{at}"] for at in range(length)] for name, length in facts["lengths"].items()}
    state: dict[str, Any] = {name: lists[name] for name in _LISTS} | {name: facts[name] for name in _FACTS}
    return Progress(
        state={name.removeprefix("state."): part for name, part in lists.items() if name.startswith("state.")},
        norms={name.removeprefix("norms."): array for name, array in arrays.items() if name.startswith("norms.")},
        kept=Kept.of(lists["kept"]),
        rounds=[Round(**one) for one in facts["rounds"]],
        **state,
    )
