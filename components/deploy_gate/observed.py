"""What an observer sees of a requirement, and how a value is held against a limit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SINGLE = 2.0**-23
"""Relative spacing of float32, in which most metrics are computed."""
DOUBLE = 1e-12
"""Relative rounding error of what is computed in float64 from thousands of values; its spacing is 2e-16."""


@dataclass(frozen=True)
class Observed:
    """Whether a requirement is met, and what was seen, in plain words."""

    passed: bool
    text: str


def within(value: float, limit: Mapping[str, Any]) -> bool:
    """Tells whether a value lies between the ends of a limit, both included. NaN and infinities never do.

    Args:
      value: what was measured, `settled` if it was rounded on the way.
      limit: `min`, `max` or both; None is no end.
    """
    low, high = limit.get("min"), limit.get("max")
    return math.isfinite(value) and (low is None or value >= low) and (high is None or value <= high)


def settled(value: float, limit: Mapping[str, Any], slack: float | None = None) -> float:
    """Returns the end of a limit from which rounding alone sets a value apart; the value itself if there is none.

    Args:
      value: what was measured.
      limit: as above.
      slack: the value's rounding error; None: it is in single precision, one `single_step` of the end.
    """
    ends = [end for end in (limit.get("min"), limit.get("max")) if end is not None]
    near = [end for end in ends if abs(value - end) <= (single_step(end) if slack is None else slack)]
    return float(min(near, key=lambda end: abs(value - end), default=value))


def single_step(value: float) -> float:
    """Returns the distance from a number to the next one of single precision, from math.ulp: float64 has 29 bits more."""
    return math.ulp(value) * 2.0**29


def room(value: float, limit: Mapping[str, Any]) -> float:
    """Returns how far inside the limit a value lies; the lower, the worse, and NaN the worst."""
    if math.isnan(value):
        return -math.inf
    low, high = limit.get("min"), limit.get("max")
    return min(math.inf if low is None else value - low, math.inf if high is None else high - value)
