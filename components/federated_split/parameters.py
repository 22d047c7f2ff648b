"""Which parameters a split takes and what each allows: the one place, for the component and for the config.

What a strategy takes are the keyword-only arguments of its function and the feature that its strata come from; what a name
allows, whichever strategy uses it, is in ALLOWED.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from components.federated_split.partitioners import PARTITIONERS
from components.federated_split.partitioners.by_key import REMAINDERS
from components.federated_split.partitioners.by_label import ASSIGNMENTS
from errors import DataError

REQUIRED = inspect.Parameter.empty
"""Stands for the default of a parameter that has none."""

COMMON = {"label": None, "holdout": None, "holdout_clients": None}
"""What every strategy takes beside its own: the feature to count labels by, and what is kept for evaluation (see `sides`)."""

EITHER = {"inner_dirichlet": ("clients", "sizes")}
"""Per strategy, the parameters of which it needs exactly one."""

# The sizes of what is written; no part of the config.
_LAYOUT = {"block_bytes": 4 << 20, "shard_bytes": 64 << 20}


class Allowed(NamedTuple):
    """What a parameter allows: in words, and as a function that returns the plain (JSON) value or raises ValueError."""

    expected: str
    read: Callable[[Any], Any]


def _require(holds: object) -> None:
    if not holds:
        raise ValueError


def _whole(minimum: int) -> Allowed:
    def read(value: Any) -> int:
        _require(type(value) is int and value >= minimum)
        return int(value)

    return Allowed(f"a whole number of at least {minimum}", read)


def _number(low: float, high: float) -> Allowed:
    def read(value: Any) -> float:
        _require(type(value) in (int, float) and low <= value <= high)
        return float(value)

    return Allowed(f"a number from {low:g} to {high:g}", read)


def _one_of(*names: str) -> Allowed:
    def read(value: Any) -> str:
        _require(isinstance(value, str) and value in names)
        return str(value)

    return Allowed(f"one of {', '.join(names)}", read)


def _flag(value: Any) -> bool:
    _require(isinstance(value, bool))
    return bool(value)


def _name(value: Any) -> str:
    _require(isinstance(value, str) and value.strip() != "")
    return str(value)


def _positive(value: Any) -> float:
    _require(type(value) in (int, float) and 0 < value < math.inf)
    return float(value)  # OverflowError for a whole number beyond floats


def _weight(value: Any) -> float:
    _require(type(value) in (int, float) and 0 <= value < math.inf)
    return float(value)


def _below_one(value: Any) -> float:
    _require(type(value) in (int, float) and 0 <= value < 1)
    return float(value)


def _count_or_fraction(value: Any) -> int | float:
    return int(value) if type(value) is int and value >= 0 else _below_one(value)


def _list_of(read: Callable[[Any], Any], value: Any) -> list[Any]:
    _require(isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 0)
    return [read(item) for item in value]


def _per_label(read: Callable[[Any], Any], value: Any) -> Any:
    """Reads a list, or a mapping whose keys become text: YAML takes the label 3 for a number, JSON does not."""
    if not isinstance(value, Mapping):
        return _list_of(read, value)
    _require(len({str(label) for label in value}) == len(value) > 0)
    return {str(label): read(item) for label, item in value.items()}


def _alpha(value: Any) -> Any:
    return _per_label(_positive, value) if isinstance(value, list | tuple | Mapping) else _positive(value)


def _sizes(value: Any) -> list[Any]:
    sizes = _list_of(_positive, value)
    if all(type(size) is int for size in value):
        return list(value)
    _require(all(size <= 1 for size in sizes))
    return sizes


def _matrix(value: Any) -> Any:
    rows = _per_label(lambda row: _list_of(_weight, row), value)
    plain = list(rows.values()) if isinstance(rows, dict) else rows
    _require(len({len(row) for row in plain}) == 1 and any(map(any, plain)))
    return rows


ALLOWED: dict[str, Allowed] = {
    "clients": _whole(1),
    "sizes": Allowed("a list of whole numbers above 0 that add up to all examples, or of fractions that add up to 1", _sizes),
    "min_examples": _whole(0),
    "sigma": _number(0, 50),
    "alpha": Allowed("a finite number above 0, or one for each label (a list in their order, or a mapping)", _alpha),
    "self_balancing": Allowed("true or false", _flag),
    "shards_per_client": _whole(1),
    "classes_per_client": _whole(1),
    "assignment": _one_of(*ASSIGNMENTS),
    "matrix": Allowed(
        "equally long rows of finite numbers of at least 0, not all of them 0, a row for each label (a list in their order, or "
        "a mapping)",
        _matrix,
    ),
    "min_per_label": _whole(0),
    "strictness": _number(0, 1),
    "group_size": _whole(1),
    "remainder": _one_of(*REMAINDERS),
    "sort_keys": Allowed("true or false", _flag),
    "label": Allowed("the name of a feature", _name),
    "key": Allowed("the name of a feature", _name),
    "feature": Allowed("the name of a feature", _name),
    "holdout": Allowed("a fraction of at least 0 and below 1", _below_one),
    "holdout_clients": Allowed("a whole number of at least 0, or a fraction below 1", _count_or_fraction),
    "block_bytes": _whole(1),
    "shard_bytes": _whole(1),
}


def check_parameters(strategy: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `parameters` as plain values with the defaults filled in; entries that are None count as not given.

    Raises:
      DataError: unknown strategy; a parameter is missing, unknown to this strategy, or out of its range.
    """
    if not isinstance(strategy, str) or strategy not in PARTITIONERS:
        raise DataError(
            f"expected a split strategy out of {', '.join(sorted(PARTITIONERS))}, got {strategy!r}; use one of these."
        )
    own = strategy_parameters(strategy)
    given = {name: value for name, value in parameters.items() if value is not None}
    _check_names(strategy, given, own)
    given = {name: _checked(name, value) for name, value in given.items()}
    defaults = {name: default for name, default in own.items() if default is not REQUIRED}
    merged = {**COMMON, **_LAYOUT, **defaults, **given}
    return {name: value for name, value in merged.items() if value is not None}


def strategy_parameters(strategy: str) -> dict[str, Any]:
    """Returns the strategy's own parameters and their defaults (REQUIRED where there is none)."""
    partitioner = PARTITIONERS[strategy]
    arguments = inspect.signature(partitioner.divide).parameters.values()
    own = {a.name: a.default for a in arguments if a.kind is inspect.Parameter.KEYWORD_ONLY}
    if partitioner.strata:
        own[partitioner.strata] = REQUIRED
    return own


def _checked(name: str, value: Any) -> Any:
    expected, read = ALLOWED[name]
    try:
        return read(value)
    except (ValueError, OverflowError):
        shown = repr(value) if len(repr(value)) <= 80 else f"{repr(value)[:77]}..."
        raise DataError(f"expected {expected} as split parameter {name!r}, got {shown}; change it.") from None


def _check_names(strategy: str, given: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    allowed = sorted({*own, *COMMON, *_LAYOUT})
    unknown = sorted(set(given) - set(allowed))
    if unknown:
        raise DataError(f"expected split parameters out of {', '.join(allowed)} for {strategy!r}, got {unknown[0]!r}; drop it.")
    missing = sorted(n for n, default in own.items() if default is REQUIRED and n not in given)
    if missing:
        raise DataError(f"expected split parameter {missing[0]!r} for {strategy!r}, got none; add it.")
    either = EITHER.get(strategy, ())
    if either and sum(name in given for name in either) != 1:
        named = " and ".join(map(repr, either))
        raise DataError(f"expected exactly one of the split parameters {named} for {strategy!r}, got both or none; name one.")
