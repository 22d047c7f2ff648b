"""What a training leaves behind to look at: TensorBoard scalars, its settings as HParams, and rounds.csv, a line per round."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROUNDS_FILE = "rounds.csv"


@dataclass(frozen=True)
class Round:
    """What one round gave.

    sampled: clients drawn; clients: those whose update counts; late: slow ones, that did less or came too late; excluded:
    those whose update was not finite. examples: of clients that count; left_out: of the excluded. attempts: how often the
    round was drawn until the quorum was there. largest_share: of one client's weight. cohort: keyed digest of who was drawn.
    seconds: wall time. metrics: the clients' training metrics, weighted by examples; heldout: of the global model on held-out
    examples, in rounds with an evaluation. facts: of aggregation and privacy: bytes_up, clip, clipped, zeroed, epsilon_rdp.
    """

    number: int
    of: int
    sampled: int
    clients: int
    late: int
    excluded: int
    examples: int
    left_out: int
    attempts: int
    largest_share: float
    cohort: str
    seconds: float
    metrics: dict[str, float] = field(default_factory=dict)
    heldout: dict[str, float] = field(default_factory=dict)
    facts: dict[str, float] = field(default_factory=dict)


_COUNTS = ("sampled", "clients", "late", "excluded", "examples", "left_out", "attempts", "largest_share")


class RoundRecorder:
    """Writes each round to `{run_dir}/rounds.csv` and to TensorBoard events in `{run_dir}`; both can be followed live."""

    def __init__(self, run_dir: str, settings: Mapping[str, Any], heldout: tuple[str, ...] = ()) -> None:
        """Begins anew in `run_dir`.

        Args:
          run_dir: where the records go.
          settings: the `train` section, for the HParams.
          heldout: the names of held-out metrics, which not every round has.
        """
        from tensorboard.plugins.hparams import api as hparams
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        os.makedirs(run_dir, exist_ok=True)
        self._path, self._heldout = Path(run_dir, ROUNDS_FILE), heldout
        self._columns: list[str] = []
        for earlier in (self._path, *Path(run_dir).glob("events.out.tfevents.*")):  # of a training that died
            earlier.unlink(missing_ok=True)
        self._events = EventFileWriter(run_dir)
        self._write(hparams.hparams_pb(_flat(settings)), 0)

    def record(self, result: Round) -> None:
        """Writes one round; names become columns, and tags `federated/<name>`, held-out ones with `heldout_` before them."""
        from tensorboard.plugins.scalar.summary_v2 import scalar_pb

        facts = {name: getattr(result, name) for name in _COUNTS}
        facts |= {"seconds": round(result.seconds, 4), **result.metrics, **result.facts}
        seen = {f"heldout_{name}": value for name, value in result.heldout.items()}
        for name, value in {**facts, **seen}.items():
            self._write(scalar_pb(f"federated/{name}", value), result.number)
        self._events.flush()
        unseen = {f"heldout_{name}": "" for name in self._heldout}
        self._append({"round": result.number, **facts, **unseen, **seen, "cohort": result.cohort})

    def _write(self, summary: Any, step: int) -> None:
        """One event; tf.summary would take ten times as long."""
        from tensorboard.compat.proto.event_pb2 import Event

        event = Event(wall_time=time.time(), step=step)
        event.summary.ParseFromString(summary.SerializeToString())
        self._events.add_event(event)

    def _append(self, row: dict[str, Any]) -> None:
        first, self._columns = not self._columns, self._columns or list(row)
        with open(self._path, "a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns)
            if first:
                writer.writeheader()
            writer.writerow(row)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The settings that are there, nested keys in dotted form."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        elif value is not None:
            flat[prefix + key] = value
    return flat
