"""What a training leaves behind to look at: TensorBoard scalars and rounds.csv, a line per round."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass, field
from typing import Any

ROUNDS_FILE = "rounds.csv"


@dataclass(frozen=True)
class Round:
    """What one round gave.

    clients: sampled for the round. examples: of those whose update was finite, and so counted; left_out: of the others.
    seconds: wall time. metrics: the clients' training metrics, weighted by examples.
    """

    number: int
    of: int
    clients: int
    examples: int
    left_out: int
    seconds: float
    metrics: dict[str, float] = field(default_factory=dict)


class RoundRecorder:
    """Appends each round to `{run_dir}/rounds.csv` and to TensorBoard events in `{run_dir}`; both can be followed live."""

    def __init__(self, run_dir: str) -> None:
        import tensorflow as tf

        os.makedirs(run_dir, exist_ok=True)
        self._path = os.path.join(run_dir, ROUNDS_FILE)
        self._events = tf.summary.create_file_writer(run_dir)

    def record(self, result: Round) -> None:
        """Writes one round; metric names become columns and tags `federated/<name>`."""
        import tensorflow as tf

        facts = {
            "clients": result.clients,
            "examples": result.examples,
            "left_out": result.left_out,
            "seconds": round(result.seconds, 4),
            **result.metrics,
        }
        with self._events.as_default(step=result.number):
            for name, value in facts.items():
                tf.summary.scalar(f"federated/{name}", value)
        self._events.flush()
        self._append({"round": result.number, **facts})

    def _append(self, row: dict[str, Any]) -> None:
        new = not os.path.exists(self._path)
        with open(self._path, "a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, row)
            if new:
                writer.writeheader()
            writer.writerow(row)
