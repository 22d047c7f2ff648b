"""Checks a strategy's name and parameters before anything runs."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from components.federated_split.partitioners import PARTITIONERS
from errors import DataError

# What every strategy takes beside its own: the feature to count labels by, and the sizes of what is written.
_LAYOUT = {"label": None, "block_bytes": 4 << 20, "shard_bytes": 64 << 20}


def _whole(minimum: int) -> tuple[str, Callable[[Any], bool]]:
    def check(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value >= minimum

    return f"a whole number of at least {minimum}", check


def _is_positive_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


_ALLOWED: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "clients": _whole(1),
    "min_examples": _whole(0),
    "block_bytes": _whole(1),
    "shard_bytes": _whole(1),
    "alpha": ("a finite number above 0", _is_positive_number),
    "label": ("the name of a feature", _is_name),
    "key": ("the name of a feature", _is_name),
}


def check_parameters(strategy: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `parameters` with the defaults filled in; entries that are None count as not given.

    Raises:
      DataError: unknown strategy; a parameter is missing, unknown to this strategy, or out of its range.
    """
    if strategy not in PARTITIONERS:
        raise DataError(
            f"expected a split strategy out of {', '.join(sorted(PARTITIONERS))}, got {strategy!r}; use one of these."
        )
    given = {name: value for name, value in parameters.items() if value is not None}
    own = strategy_parameters(strategy)
    _check_names(strategy, given, own)
    for name, value in given.items():
        expected, holds = _ALLOWED[name]
        if not holds(value):
            raise DataError(f"expected {expected} as split parameter {name!r}, got {value!r}; change it.")
    defaults = {name: default for name, default in own.items() if default is not inspect.Parameter.empty}
    merged = {**_LAYOUT, **defaults, **given}
    return {name: value for name, value in merged.items() if value is not None}


def strategy_parameters(strategy: str) -> dict[str, Any]:
    """Returns the strategy's own parameters and their defaults (`inspect.Parameter.empty` when required).

    They are the keyword-only arguments of its function, and the feature its strata come from.
    """
    partitioner = PARTITIONERS[strategy]
    arguments = inspect.signature(partitioner.divide).parameters.values()
    own = {a.name: a.default for a in arguments if a.kind is inspect.Parameter.KEYWORD_ONLY}
    if partitioner.strata:
        own[partitioner.strata] = inspect.Parameter.empty
    return own


def _check_names(strategy: str, given: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    allowed = sorted({*own, *_LAYOUT})
    unknown = sorted(set(given) - set(allowed))
    if unknown:
        raise DataError(f"expected split parameters out of {', '.join(allowed)} for {strategy!r}, got {unknown[0]!r}; drop it.")
    missing = sorted(n for n, default in own.items() if default is inspect.Parameter.empty and n not in given)
    if missing:
        raise DataError(f"expected split parameter {missing[0]!r} for {strategy!r}, got none; add it.")
