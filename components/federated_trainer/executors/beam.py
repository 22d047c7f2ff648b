"""The executor `beam`: a round is a Beam pipeline, groups of clients -> work -> sum, on any Beam runner.

For cohorts that outgrow a machine. What the server sends lies in a file on a file system that all workers share; what crosses
Beam are numbers of groups on the way in, and sums on the way out. A runner may work for a group twice, but counts it once, and
groups are added up in an order of their own, so retries and other bundles give the same bits.

Runners that start processes for each pipeline, as Beam's local ones do, pay for starting TensorFlow in each round.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import queue
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import apache_beam as beam
import numpy as np

from components.beam_workers import same_imports
from components.federated_trainer.checkpoints import make_private
from components.federated_trainer.clients.batching import Work
from components.federated_trainer.clients.population import Population
from components.federated_trainer.clients.results import Result, Tree
from components.federated_trainer.executors.failures import in_one_line
from components.federated_trainer.executors.lane import Lane, tensors
from components.federated_trainer.executors.local import groups
from errors import IntegrityError
from modeling import contract

if TYPE_CHECKING:
    from components.federated_trainer.rounds import Job

_ROUND, _RESULT = "round.npz", "result.npz"


class Training(NamedTuple):
    """What a worker needs to know to work for clients; `settings` as JSON."""

    module: str
    examples_uri: str
    settings: str


class BeamExecutor:
    """Runs the clients' half of rounds on the Beam runner that `job.beam_args` name."""

    def __init__(self, module: contract.ModelModule, population: Population, job: Job) -> None:
        from components.federated_trainer import before

        self._population, self._arguments = population, list(job.beam_args)
        self._training = Training(job.module, job.examples_uri, json.dumps(job.settings))
        # One training runs at a time, so all that is there was left by those that were killed.
        root = os.path.join(job.state_dir, "beam")
        self._folder = os.path.join(root, before.identity(job, module))
        shutil.rmtree(root, ignore_errors=True)
        self._here = _Workshop(module, population, job.settings)
        _WORKSHOPS[self._training] = self._here  # for runners that work in this process

    def run(self, message: Mapping[str, Any], work: Work, weights: np.ndarray, states: Sequence[np.ndarray]) -> Result:
        """See LocalExecutor.run."""
        if not len(work):
            with self._here.lane() as lane:
                return lane.nothing(tensors(message), states)
        rows = groups(self._population.sizes[work.clients], message)
        try:
            _write_round(self._folder, message, work, weights, states, rows)
            with same_imports(), beam.Pipeline(argv=self._arguments) as pipeline:
                _round(pipeline, self._training, self._folder, len(rows))
            result = _read_result(self._folder)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
        if len(result.rows) != len(work):
            raise IntegrityError(
                f"the Beam runner returned {len(result.rows)} updates of {len(work)} clients; expected one of each."
            )
        return result

    def close(self) -> None:
        """Forgets the training."""
        _WORKSHOPS.pop(self._training, None)
        shutil.rmtree(self._folder, ignore_errors=True)


def _round(pipeline: beam.Pipeline, training: Training, folder: str, count: int) -> None:
    numbers = pipeline | "Groups" >> beam.Create(list(range(count)))
    parts = numbers | "Work" >> beam.ParDo(_WorkFn(training, folder))
    total = parts | "Sum" >> beam.CombineGlobally(_SumFn()).without_defaults()
    _ = total | "Write" >> beam.Map(functools.partial(_write_result, folder))


class _WorkFn(beam.DoFn):
    """Number of a group -> (number, Result)."""

    def __init__(self, training: Training, folder: str) -> None:
        self._training, self._folder = training, folder

    def setup(self) -> None:
        self._workshop = _workshop(self._training)
        self._message, self._work, self._weights, self._bounds = _read_round(self._folder)

    def process(self, number: int) -> Iterator[tuple[int, Result]]:
        rows = slice(self._bounds[number], self._bounds[number + 1])
        states = _load(_states_path(self._folder, number)).get("states", [])
        with in_one_line(), self._workshop.lane() as lane:  # here, because what reaches the driver may be text
            result = lane.run(self._message, self._work.take(rows), self._weights[rows], states)
        yield number, result


class _SumFn(beam.CombineFn):
    def create_accumulator(self) -> Tree:
        return Tree()

    def add_input(self, tree: Tree, part: tuple[int, Result]) -> Tree:
        tree.add(*part)
        return tree

    def merge_accumulators(self, trees: Iterable[Tree]) -> Tree:
        joined = Tree()
        for tree in trees:
            joined.join(tree)
        return joined

    def extract_output(self, tree: Tree) -> Result:
        return tree.total()


class _Workshop:
    """What a process keeps of a training: what was opened, and as many lanes as threads ever worked at once."""

    def __init__(self, module: contract.ModelModule, population: Population, settings: Mapping[str, Any]) -> None:
        self._make = functools.partial(Lane, module, population, settings)
        self._idle: queue.SimpleQueue[Lane] = queue.SimpleQueue()

    @contextlib.contextmanager
    def lane(self) -> Iterator[Lane]:
        """Lends a lane."""
        try:
            lane = self._idle.get_nowait()
        except queue.Empty:
            with _LOCK:  # building a model changes settings of Keras for a moment
                lane = self._make()
        try:
            yield lane
        finally:
            self._idle.put(lane)


_WORKSHOPS: dict[Training, _Workshop] = {}
_LOCK = threading.Lock()


def _workshop(training: Training) -> _Workshop:
    with _LOCK:
        if training not in _WORKSHOPS:
            opened = contract.load(training.module), Population.open(training.examples_uri)
            _WORKSHOPS[training] = _Workshop(*opened, json.loads(training.settings))
        return _WORKSHOPS[training]


def _write_round(
    folder: str,
    message: Mapping[str, Any],
    work: Work,
    weights: np.ndarray,
    states: Sequence[np.ndarray],
    rows: Sequence[np.ndarray],
) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for private in (os.path.dirname(folder), folder):  # sums and updates without noise: nobody else may look
        make_private(Path(private))
    asked = {"clients": work.clients, "epochs": work.epochs, "seeds": work.seeds, "client_weights": weights}
    bounds = np.cumsum([0, *map(len, rows)])
    _save(os.path.join(folder, _ROUND), {**message, **asked, "bounds": bounds})
    for number, group in enumerate(rows):
        _save(_states_path(folder, number), {"states": [state[group] for state in states]})


def _read_round(folder: str) -> tuple[dict[str, Any], Work, np.ndarray, np.ndarray]:
    """The message as tensors, the work, the clients' weights, and where each group begins and the last one ends."""
    read = _load(os.path.join(folder, _ROUND))
    work = Work(read.pop("clients"), read.pop("epochs"), read.pop("seeds"))
    weights, bounds = read.pop("client_weights"), read.pop("bounds")
    lists = {key: read.get(key, []) for key in ("weights", "frozen", "extra")}
    return tensors({**lists, "numbers": read["numbers"]}), work, weights, bounds


def _write_result(folder: str, result: Result) -> None:
    _save(os.path.join(folder, _RESULT), vars(result) | {"stacks": np.array(result.stacks)})


def _read_result(folder: str) -> Result:
    read = _load(os.path.join(folder, _RESULT))
    lists = {key: read.get(key, []) for key in ("sums", "metrics", "states")}
    return Result(**lists, rows=read["rows"], stacks=bool(read["stacks"]))


def _states_path(folder: str, number: int) -> str:
    return os.path.join(folder, f"states-{number:05d}.npz")


def _save(path: str, values: Mapping[str, Any]) -> None:
    """Writes arrays and lists of arrays by name, all at once or not at all."""
    arrays: dict[str, Any] = {key: value for key, value in values.items() if not isinstance(value, list)}
    arrays |= {
        f"{key}.{number}": array
        for key, value in values.items()
        if isinstance(value, list)
        for number, array in enumerate(value)
    }
    temporary = f"{path}.{os.getpid()}.{threading.get_ident()}"
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        np.savez(file, **arrays)
    os.replace(temporary, path)


def _load(path: str) -> dict[str, Any]:
    """The inverse of `_save`, but for empty lists, of which nothing is there."""
    values: dict[str, Any] = {}
    with np.load(path, allow_pickle=False) as file:
        for name in file.files:
            key, dot, _ = name.partition(".")
            if dot:
                values.setdefault(key, []).append(file[name])
            else:
                values[key] = file[name]
    return values
