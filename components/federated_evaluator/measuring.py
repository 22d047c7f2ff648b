"""Metrics of some neighbouring clients; a batch may hold examples of many of them, and a client fill many batches."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from components import answers, scores
from components.answers import Asked
from components.beam_parts import Arrays
from components.federated_split.blocks import Clients
from components.federated_trainer.clients.population import Population

SIDE = "eval"
_PART_EXAMPLES = 1 << 15


def sizes_of(clients: Clients) -> np.ndarray:
    """Returns int64 [clients], how many examples each has, in the order of their ids."""
    first, _ = clients.all_blocks()
    return np.add.reduceat(clients.block_examples(), first[:-1])


def bounds(sizes: np.ndarray) -> tuple[int, ...]:
    """Returns where parts of neighbouring clients begin and the last one ends, each of some `_PART_EXAMPLES` examples.

    Args:
      sizes: int64 [clients], at least one; a client is never divided.
    """
    part = (np.cumsum(sizes) - sizes) // _PART_EXAMPLES
    return (*np.flatnonzero(np.diff(part, prepend=-1)).tolist(), len(sizes))


@dataclass(frozen=True)
class Measuring:
    """Number of a part -> MODEL:metrics float64 [clients, metrics], MODEL:non_finite int64, MODEL:problem str.

    uri: of the FederatedExamples. bounds: see `bounds`.
    """

    asked: Asked
    uri: str
    metrics: tuple[str, ...]
    bounds: tuple[int, ...]

    def __call__(self, number: int) -> Arrays:
        """Reads and measures the clients of a part.

        Raises:
          DataError: see `answers.Answers.ask`.
        """
        population = _opened(self.asked, self.uri)
        clients = np.arange(self.bounds[number], self.bounds[number + 1])
        sizes = population.sizes[clients]
        batches = [self._batch(serialized) for serialized in _batches(population, clients, self.asked.batch_size)]
        labels = np.concatenate([batch["labels"] for batch in batches])
        arrays: Arrays = {}
        for name, _ in self.asked.models:
            columns = [
                scores.of_groups(
                    metric, np.concatenate([batch[f"{name}:{metric}"] for batch in batches]), labels, np.cumsum(sizes) - sizes
                )
                for metric in self.metrics
            ]
            arrays[f"{name}:metrics"] = np.stack(columns, axis=1)
            arrays[f"{name}:non_finite"] = np.array(sum(int(batch[f"{name}:non_finite"]) for batch in batches))
            arrays[f"{name}:problem"] = np.array(next(filter(None, (str(batch[f"{name}:problem"]) for batch in batches)), ""))
        return arrays

    def _batch(self, serialized: Any) -> Arrays:
        answered = answers.opened(self.asked).ask(serialized)
        arrays: Arrays = {"labels": answered.labels}
        for name, predictions in answered.predictions.items():
            for metric in self.metrics:
                arrays[f"{name}:{metric}"] = scores.ingredient(metric, answered.labels, predictions)
            arrays[f"{name}:non_finite"] = np.array((~scores.finite(predictions)).sum())
            arrays[f"{name}:problem"] = np.array(answered.problems.get(name, ""))
        return arrays


def _batches(population: Population, clients: np.ndarray, size: int) -> Iterator[Any]:
    """Yields string tensors of `size` serialized examples, the last one of what is left, client after client."""
    import tensorflow as tf

    rows = population.blocks_of_all(clients)
    examples = population.examples_in(rows)
    together = (np.cumsum(examples) - examples) // size  # blocks that are read at once: about a batch, or one large block
    left = tf.constant([], tf.string)
    for read in np.split(rows, np.flatnonzero(np.diff(together)) + 1):
        left = tf.concat([left, tf.io.parse_tensor(population.read(read), tf.string)], axis=0)
        whole = len(left) - len(left) % size
        yield from (left[at : at + size] for at in range(0, whole, size))
        left = left[whole:]
    if len(left):
        yield left


_OPEN: dict[Asked, Population] = {}
_LOCK = threading.Lock()


def _opened(asked: Asked, uri: str) -> Population:
    with _LOCK:
        if asked not in _OPEN:
            _OPEN[asked] = Population.open(uri, SIDE)
        return _OPEN[asked]


def forget(asked: Asked) -> None:
    """Lets go of the models and the files, where a runner worked in this process."""
    answers.forget(asked)
    with _LOCK:
        if asked in _OPEN:
            _OPEN.pop(asked).close()
