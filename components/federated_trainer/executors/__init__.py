"""Where the clients' half of rounds runs, by name.

Adding one is a factory of something that has `run` and `close` as LocalExecutor does, and a line in EXECUTORS. The name `local`
stands for the threads of this process, `beam` for a Beam pipeline per round, `tff` for TensorFlow Federated's native runtime.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from components.federated_trainer.clients.batching import Work
from components.federated_trainer.clients.population import Population
from components.federated_trainer.clients.results import Result
from components.federated_trainer.executors.failures import in_one_line
from modeling.contract import ModelModule

if TYPE_CHECKING:
    from components.federated_trainer.rounds import Job


class ClientRunner(Protocol):
    """What works for the clients of a round."""

    def run(self, message: Mapping[str, Any], work: Work, weights: np.ndarray, states: Sequence[np.ndarray]) -> Result:
        """See LocalExecutor.run."""

    def close(self) -> None:
        """Ends what it started."""


class Executor:
    """Runs the clients' half of rounds and turns its failures into one line; made by `executor`."""

    def __init__(self, runner: ClientRunner, module: ModelModule) -> None:
        import tensorflow as tf

        self._runner, self._metrics = runner, module.build_metrics()
        self._results = tf.function(self._traced_results, autograph=False)

    def run(self, message: Mapping[str, Any], work: Work, weights: np.ndarray, states: Sequence[np.ndarray]) -> Result:
        """Works for the clients of a round; no clients are fine.

        Args:
          message: what the server half sends, see ClientWork.load.
          work: who does what.
          weights: float32[n], of each client.
          states: what each client kept, a list of [n, ...].

        Raises:
          TrainingError: TensorFlow, Beam or TFF's worker could not do it, which mostly is the fault of data.
          IntegrityError: a file was changed since the training began.
        """
        with in_one_line():
            return self._runner.run(message, work, weights, states)

    def metrics(self, sums: Sequence[np.ndarray]) -> dict[str, float]:
        """Returns the values of the module's metrics by name.

        Args:
          sums: of the metrics' variables over clients, metric after metric, as Result.metrics has them.
        """
        values = self._results(list(sums)) if self._metrics else []
        return {metric.name: float(value) for metric, value in zip(self._metrics, values, strict=True)}

    def _traced_results(self, sums: Sequence[Any]) -> list[Any]:
        import tensorflow as tf

        variables = [variable for metric in self._metrics for variable in metric.variables]
        for variable, value in zip(variables, sums, strict=True):
            variable.assign(tf.cast(value, variable.dtype))
        return [metric.result() for metric in self._metrics]


@contextlib.contextmanager
def executor(module: ModelModule, population: Population, job: Job) -> Iterator[Executor]:
    """Starts the executor that `job.settings` name, and ends it on exit.

    Raises:
      TrainingError: TFF's worker does not start.
    """
    runner = EXECUTORS[job.settings["executor"]](module, population, job)
    try:
        yield Executor(runner, module)
    finally:
        runner.close()


def use_threads(settings: Mapping[str, Any]) -> None:
    """Divides the cores between lanes and the threads of one TensorFlow operation; too late once TensorFlow has started."""
    if settings["executor"] != "local":
        return
    import tensorflow as tf

    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(max(1, _cores() // _lanes(settings)))


def _lanes(settings: Mapping[str, Any]) -> int:
    """How many clients are worked for at once: one on each core, or one if a GPU takes all that a client has to do."""
    import tensorflow as tf

    return 1 if tf.config.list_physical_devices("GPU") else min(_cores(), settings["clients_per_round"] or _cores())


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _local(module: ModelModule, population: Population, job: Job) -> ClientRunner:
    from components.federated_trainer.executors.local import LocalExecutor

    return LocalExecutor(module, population, job.settings, _lanes(job.settings))


def _beam(module: ModelModule, population: Population, job: Job) -> ClientRunner:
    from components.federated_trainer.executors.beam import BeamExecutor

    return BeamExecutor(module, population, job)


def _tff(module: ModelModule, population: Population, job: Job) -> ClientRunner:
    from components.federated_trainer.executors.tff import TffExecutor

    at_once = min(_cores(), job.settings["clients_per_round"] or _cores())
    return TffExecutor(module, population, job.settings, intra_op_threads=max(1, _cores() // at_once))


EXECUTORS: dict[str, Callable[[ModelModule, Population, Job], ClientRunner]] = {"local": _local, "beam": _beam, "tff": _tff}
