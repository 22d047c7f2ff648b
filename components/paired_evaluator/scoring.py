"""Scores of the examples of one file, of several models; the examples themselves are let go batch by batch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from components import answers, scores
from components.answers import Asked
from components.beam_parts import Arrays
from components.federated_split.records import read_records

DIGESTS, LABELS = "digests", "labels"


@dataclass(frozen=True)
class Scoring:
    """Number of a file -> arrays of its examples, in the file's order.

    digests uint8 [n, 32]: sha256 of the serialized examples. labels: see `components.scores`.
    MODEL:scores float64 [n, metrics]; MODEL:finite bool [n]; MODEL:problem str, why it could not be asked, empty if it could.
    """

    asked: Asked
    files: tuple[str, ...]
    metrics: tuple[str, ...]

    def __call__(self, number: int) -> Arrays:
        """Reads and scores a file; an empty one gives nothing.

        Raises:
          DataError: the file is damaged, or see `answers.Answers.ask`.
        """
        batches = [self._score(records) for records in _batches(self.files[number], self.asked.batch_size)]
        if not batches:
            return {}
        return {key: np.concatenate([batch[key] for batch in batches]) for key in batches[0] if ":problem" not in key} | {
            f"{name}:problem": np.array(next(filter(None, (str(batch[f"{name}:problem"]) for batch in batches)), ""))
            for name, _ in self.asked.models
        }

    def _score(self, records: list[bytes]) -> Arrays:
        import tensorflow as tf

        digests = np.frombuffer(b"".join(hashlib.sha256(record).digest() for record in records), np.uint8)
        answered = answers.opened(self.asked).ask(tf.constant(records))
        arrays: Arrays = {DIGESTS: digests.reshape([-1, 32]), LABELS: answered.labels}
        for name, predictions in answered.predictions.items():
            columns = [scores.ingredient(metric, answered.labels, predictions) for metric in self.metrics]
            arrays[f"{name}:scores"] = np.stack(columns, axis=1)
            arrays[f"{name}:finite"] = scores.finite(predictions)
            arrays[f"{name}:problem"] = np.array(answered.problems.get(name, ""))
        return arrays


def _batches(file: str, size: int) -> Iterator[list[bytes]]:
    records = read_records(file)
    while batch := list(islice(records, size)):
        yield batch
