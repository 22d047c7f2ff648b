"""Losses and metrics as they went: per round of rounds.csv, or per epoch of a centralised training's TensorBoard events."""

from __future__ import annotations

import csv
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.run_report.sources import Missing, Sources

TRAIN, HELD_OUT = "train", "heldout"
_HELD_OUT = "heldout_"
# Columns of rounds.csv that are no metric; see docs/reference/training-records.md.
_COUNTS = {
    "round",
    "sampled",
    "clients",
    "late",
    "excluded",
    "examples",
    "left_out",
    "attempts",
    "largest_share",
    "seconds",
    "bytes_up",
    "clip",
    "clipped",
    "zeroed",
    "noise_std",
    "unclipped",
    "epsilon_rdp",
    "cohort",
}
_MOST_EVENTS = 64 << 20


def curves(sources: Sources) -> dict[str, Any]:
    """Metric -> `train` and `heldout` -> [[round, value], ...], the loss first; and epsilon by round, if there is one."""
    if not sources.federated:
        return {"unit": "epoch", "metrics": _epochs(Path(sources.artifact("central_run").uri)), "epsilon": []}
    with open(sources.file("federated_run", "rounds.csv"), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise Missing("no round was recorded")
    names = [name for name in rows[0] if name not in _COUNTS]
    metrics: dict[str, dict[str, list[list[float]]]] = {}
    for name in names:
        side = HELD_OUT if name.startswith(_HELD_OUT) else TRAIN
        metrics.setdefault(name.removeprefix(_HELD_OUT), {})[side] = _column(rows, name)
    return {"unit": "round", "metrics": _loss_first(metrics), "epsilon": _column(rows, "epsilon_rdp")}


def _column(rows: list[dict[str, str]], name: str) -> list[list[float]]:
    """The finite values: held-out ones are not in every round."""
    points = [[float(row["round"]), float(row[name])] for row in rows if row.get(name)]
    return [point for point in points if math.isfinite(point[1])]


def _loss_first(metrics: dict[str, dict[str, list[list[float]]]]) -> dict[str, Any]:
    drawn = {name: {side: points for side, points in sides.items() if points} for name, sides in metrics.items()}
    return {name: drawn[name] for name in sorted(drawn, key=lambda name: name != "loss") if drawn[name]}


def _epochs(folder: Path) -> dict[str, Any]:
    """Keras' TensorBoard callback writes `epoch_<metric>` into folders of their own, from epoch 0 on."""
    found: dict[str, dict[str, list[list[float]]]] = {}
    for side, name in ((TRAIN, "train"), (HELD_OUT, "validation")):
        for path in sorted(folder.glob(f"{name}/events.out.tfevents.*")):
            for tag, step, value in _scalars(path):
                if tag.startswith("epoch_") and tag != "epoch_learning_rate" and math.isfinite(value):
                    found.setdefault(tag.removeprefix("epoch_"), {}).setdefault(side, []).append([step + 1.0, value])
    if not found:
        raise Missing("the training left no TensorBoard scalars")
    return _loss_first(found)


def _scalars(path: Path) -> Iterator[tuple[str, int, float]]:
    """Tag, step and value of each scalar of an events file, without TensorFlow."""
    from tensorboard.compat.proto.event_pb2 import Event

    if path.stat().st_size > _MOST_EVENTS:
        return
    for record in _records(path.read_bytes()):
        event = Event.FromString(record)
        for value in event.summary.value:
            tensor = value.tensor
            numbers = list(tensor.float_val)
            if value.WhichOneof("value") == "tensor" and tensor.dtype == 1 and len(tensor.tensor_content) == 4:
                numbers = list(struct.unpack("<f", tensor.tensor_content))
            numbers = [value.simple_value] if value.WhichOneof("value") == "simple_value" else numbers
            if len(numbers) == 1:
                yield value.tag, event.step, float(numbers[0])


def _records(content: bytes) -> Iterator[bytes]:
    """A TFRecord file: length (8), its checksum (4), the record, its checksum (4); a torn one at the end is left out."""
    at = 0
    while at + 12 <= len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        if at + 12 + length + 4 > len(content):
            return
        yield content[at + 12 : at + 12 + length]
        at += 16 + length
