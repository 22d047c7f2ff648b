"""What is written about the clients: one table, one summary, one picture; no ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components import judged
from components.beam_parts import Arrays
from components.federated_evaluator.distribution import describe
from components.federated_evaluator.picture import draw
from components.scores import PRINCIPAL

METRICS_FILE = "client_metrics.parquet"
PICTURE_FILE = "clients.svg"


@dataclass(frozen=True)
class Measured:
    """Metrics of all clients.

    sizes: int64 [clients], their examples. values: model -> metric -> float64 [clients], NaN where it is not defined.
    non_finite: model -> examples whose prediction was not finite. problems: model -> why all are so.
    """

    sizes: np.ndarray
    metrics: tuple[str, ...]
    values: dict[str, dict[str, np.ndarray]]
    non_finite: dict[str, int]
    problems: dict[str, str]

    @classmethod
    def of(cls, parts: Sequence[Arrays], models: Sequence[str], metrics: Sequence[str], sizes: np.ndarray) -> Measured:
        """Joins the parts, in their order. A model that could not answer somewhere has no metrics at all."""
        tables = {model: np.concatenate([part[f"{model}:metrics"] for part in parts]) for model in models}
        texts = {model: [str(part[f"{model}:problem"]) for part in parts] for model in models}
        broken = {model: int(sum(part[f"{model}:non_finite"] for part in parts)) for model in models}
        problems = {model: next(filter(None, of)) for model, of in texts.items() if any(of)}
        for model in problems:  # which of its examples were in a batch with one that it fails on, is chance
            tables[model][:], broken[model] = np.nan, int(sizes.sum())
        return cls(
            sizes=sizes,
            metrics=tuple(metrics),
            values={model: dict(zip(metrics, table.T, strict=True)) for model, table in tables.items()},
            non_finite=broken,
            problems=problems,
        )


def of_few(clients: int, min_clients: int) -> dict[str, Any]:
    """Returns all that the summary says of clients that are too few for more."""
    return {"format": judged.FORMAT, "evaluated": True, "shown": False, "clients": clients, "min_clients": min_clients}


def write(uri: str, measured: Measured, held_out: Sequence[bool], *, kind: str, min_clients: int) -> None:
    """Writes client_metrics.parquet, summary.json and clients.svg into `uri`."""
    pq.write_table(_table(measured, held_out), Path(uri, METRICS_FILE))
    summary = {
        **of_few(len(measured.sizes), min_clients),
        "shown": True,
        "examples": int(measured.sizes.sum()),
        "non_finite": measured.non_finite,
        "problems": measured.problems,
        "metrics": {
            metric: {model: describe(metric, values[metric], measured.sizes) for model, values in measured.values.items()}
            for metric in measured.metrics
        },
    }
    judged.write_summary(uri, summary)
    metric = PRINCIPAL[kind] if PRINCIPAL[kind] in measured.metrics else measured.metrics[0]
    picture = draw(metric, {model: values[metric] for model, values in measured.values.items()})
    Path(uri, PICTURE_FILE).write_bytes(picture)


def _table(measured: Measured, held_out: Sequence[bool]) -> pa.Table:
    columns = {
        "client": pa.array(np.arange(len(measured.sizes), dtype=np.int32)),
        "held_out": pa.array(held_out, pa.bool_()),
        "examples": pa.array(measured.sizes, pa.int64()),
    }
    for model, values in measured.values.items():
        for metric in measured.metrics:
            columns[f"{model}:{metric}"] = pa.array(values[metric], mask=~np.isfinite(values[metric]))
    return pa.table(columns)
