"""What an observer sees of a requirement, and how a value is held against a limit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SINGLE = 2.0**-23
"""Relative spacing of float32, in which most metrics are computed."""


@dataclass(frozen=True)
class Observed:
    """Whether a requirement is met, and what was seen, in plain words."""

    passed: bool
    text: str


def within(value: float, limit: Mapping[str, Any], slack: float = 0.0) -> bool:
    """Tells whether a value lies between the ends of a limit, both included. NaN and infinities never do.

    Args:
      value: what was measured.
      limit: `min`, `max` or both; None is no end.
      slack: the rounding error of the value.
    """
    low, high = limit.get("min"), limit.get("max")
    return math.isfinite(value) and (low is None or value >= low - slack) and (high is None or value <= high + slack)


def room(value: float, limit: Mapping[str, Any]) -> float:
    """Returns how far inside the limit a value lies; the lower, the worse, and NaN the worst."""
    if math.isnan(value):
        return -math.inf
    low, high = limit.get("min"), limit.get("max")
    return min(math.inf if low is None else value - low, math.inf if high is None else high - value)
