"""Scores of all files as one table, in an order that only the examples' bytes decide, and what they come to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components import judged, scores
from components.beam_parts import Arrays
from components.paired_evaluator.scoring import DIGESTS, LABELS
from errors import DataError

SCORES_FILE = "scores.parquet"


def write(uri: str, parts: Sequence[Arrays], models: Sequence[str], metrics: Sequence[str]) -> None:
    """Writes scores.parquet and summary.json; of a model that could not answer somewhere, every score is NaN.

    Args:
      uri: the artifact's directory.
      parts: what `Scoring` gave for each file.
      models: their names.
      metrics: in the order of the columns of MODEL:scores.

    Raises:
      DataError: there is no example at all.
    """
    filled = [part for part in parts if part]
    if not filled:
        raise DataError("expected examples in the split 'eval', found none; give more data or other splits.")
    merged = {key: np.concatenate([part[key] for part in filled]) for key in filled[0] if ":problem" not in key}
    problems = {model: problem for model in models if (problem := _problem(filled, model))}
    for model in problems:  # which of its examples were in a batch with one that it fails on, is chance
        merged[f"{model}:scores"][:], merged[f"{model}:finite"][:] = np.nan, False
    order = _order(merged, models)
    merged = {key: array[order] for key, array in merged.items()}
    columns = {
        f"{model}:{metric}": pa.array(merged[f"{model}:scores"][:, number])
        for model in models
        for number, metric in enumerate(metrics)
    }
    pq.write_table(pa.table(columns), Path(uri, SCORES_FILE))
    judged.write_summary(uri, _summary(merged, models, metrics) | {"problems": problems})


def _order(merged: Arrays, models: Sequence[str]) -> np.ndarray:
    """By digest, then by scores: examples of equal bytes may stand in other batches, which can move a score's last bit."""
    words = merged[DIGESTS].view(">u8").astype(np.uint64)
    columns = np.concatenate([merged[f"{model}:scores"] for model in models], axis=1)
    return np.lexsort([*columns.T, *words.T[::-1]])


def _problem(parts: Sequence[Arrays], model: str) -> str:
    return next(filter(None, (str(part[f"{model}:problem"]) for part in parts)), "")


def _summary(merged: Arrays, models: Sequence[str], metrics: Sequence[str]) -> dict[str, Any]:
    return {
        "format": judged.FORMAT,
        "evaluated": True,
        "examples": len(merged[LABELS]),
        "metrics": list(metrics),
        "models": list(models),
        "non_finite": {model: int((~merged[f"{model}:finite"]).sum()) for model in models},
        "means": {model: _means(merged[f"{model}:scores"], metrics) for model in models},
        "constant": {metric: scores.constant(metric, merged[LABELS]) for metric in metrics},
    }


def _means(values: np.ndarray, metrics: Sequence[str]) -> dict[str, float | None]:
    means = values.mean(axis=0).tolist()
    return {metric: mean if np.isfinite(mean) else None for metric, mean in zip(metrics, means, strict=True)}
