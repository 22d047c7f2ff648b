"""What a model answered, beside what it should have answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Tensors = Mapping[str, "np.ndarray[Any, Any]"]


@dataclass(frozen=True)
class Comparison:
    """`difference` is the largest |got - expected|; None if there is no such number: other names, shapes, strings or a NaN."""

    difference: float | None
    finite: bool


def compare(got: Mapping[str, Any], expected: Tensors) -> Comparison:
    """Compares the answers to one example by name; a NaN or infinity equals itself.

    Raises:
      ValueError: an answer is no tensor: lists of different lengths.
    """
    if got.keys() != expected.keys():
        return Comparison(None, finite=True)
    found = [_compare(got[name], array) for name, array in expected.items()]
    differences = [one.difference for one in found]
    known = [difference for difference in differences if difference is not None]
    worst = max(known, default=0.0) if len(known) == len(differences) else None
    return Comparison(worst, all(one.finite for one in found))


def _compare(answer: Any, expected: np.ndarray[Any, Any]) -> Comparison:
    if expected.dtype == object:
        strings = np.asarray(answer, object)
        same = strings.shape == expected.shape and _bytes(strings) == _bytes(expected)
        return Comparison(0.0 if same else None, finite=True)
    got = np.asarray(answer)
    if got.dtype.kind not in "biufc":
        return Comparison(None, finite=True)
    finite = bool(np.isfinite(got).all())
    if got.shape != expected.shape:
        return Comparison(None, finite)
    with np.errstate(invalid="ignore"):
        distance = np.abs(np.subtract(got, expected, dtype=np.result_type(np.float64, got, expected)))
    same = (got == expected) | (np.isnan(got) & np.isnan(expected))
    largest = float(np.max(np.where(same, 0.0, distance), initial=0.0))
    return Comparison(largest if np.isfinite(largest) else None, finite)


def _bytes(array: np.ndarray[Any, Any]) -> list[bytes]:
    """Strings as bytes; over REST they come as text."""
    return [value if isinstance(value, bytes) else str(value).encode(errors="surrogateescape") for value in array.ravel()]
