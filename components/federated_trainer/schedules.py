"""How a learning rate changes from round to round."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def multiplier(schedule: Mapping[str, Any] | None, number: int) -> float:
    """Returns what the learning rate of round `number` (from 1) is multiplied with.

    Args:
      schedule: `kind`, `warmup_rounds`, `decay_rounds`, `decay_rate`, `floor`. Over the warm-up the rate rises in a line from
        1 / warmup_rounds to 1. With t rounds since then and T = decay_rounds: constant 1; exponential decay_rate^(t/T); step
        decay_rate^floor(t/T); linear and cosine from 1 at t = 0 to `floor` at T. None: 1 in every round.
      number: the round, from 1.
    """
    if schedule is None:
        return 1.0
    warmup = schedule["warmup_rounds"]
    if number <= warmup:
        return number / warmup
    rounds = number - 1 - warmup
    return float(_KINDS[schedule["kind"]](rounds / (schedule["decay_rounds"] or 1), schedule))


def _cosine(periods: float, schedule: Mapping[str, Any]) -> float:
    """Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts", without restarts."""
    return schedule["floor"] + (1 - schedule["floor"]) * (1 + math.cos(math.pi * min(1.0, periods))) / 2


_KINDS = {
    "constant": lambda periods, schedule: 1.0,
    "exponential": lambda periods, schedule: schedule["decay_rate"] ** periods,
    "step": lambda periods, schedule: schedule["decay_rate"] ** math.floor(periods),
    "linear": lambda periods, schedule: 1 - (1 - schedule["floor"]) * min(1.0, periods),
    "cosine": _cosine,
}
