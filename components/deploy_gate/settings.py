"""The gate's settings as DeployGate takes them: a requirement that is spelled wrong must not be one that is left out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from errors import ConfigError

_SECTIONS: dict[str, frozenset[str]] = {
    "gate": frozenset(
        {
            "kind",
            "first_deploy",
            "thresholds",
            "parameters",
            "change",
            "metrics",
            "slices",
            "better_than_constant",
            "clients",
            "baseline",
            "privacy",
            "participation",
            "serving",
            "seed",
        }
    ),
    "clients": frozenset({"metric", "min_clients", "min_examples", "quantiles", "worst_decile", "dispersion", "worsened"}),
    "baseline": frozenset({"metric", "margin", "relative", "confidence", "resamples"}),
    "privacy": frozenset({"max_epsilon", "max_delta"}),
    "participation": frozenset({"min_clients_per_round", "min_rounds", "max_excluded_updates", "max_weight_share"}),
    "serving": frozenset(
        {"samples", "requests", "tolerance", "max_p50_ms", "max_p99_ms", "max_memory_mb", "max_size_mb", "allowed_ops"}
    ),
}
_MAY_BE_NONE = ("clients", "baseline", "privacy")
_BOUNDED = {"min", "max"}
_CHANGE = {*_BOUNDED, "relative"}
_SLICE = {"features", "thresholds", "change", "min_examples"}


def check(settings: Mapping[str, Any]) -> None:
    """Makes sure that every key is there and none that is not known.

    Raises:
      ConfigError: it is not so.
    """
    for section, keys in _SECTIONS.items():
        given = settings if section == "gate" else settings[section]
        if given is None and section in _MAY_BE_NONE:
            continue
        _only(given, keys, section)
        if missing := sorted(keys - set(given)):
            raise ConfigError(f"gate settings: {section} lacks {', '.join(missing)}; expected every default to be filled in.")
    _check_bounds(settings)


def _check_bounds(settings: Mapping[str, Any]) -> None:
    for cut in (settings, *settings["slices"]):
        if cut is not settings:
            _only(cut, _SLICE, "slices")
        for key, ends in (("thresholds", _BOUNDED), ("change", _CHANGE)):
            for metric, limit in (cut.get(key) or {}).items():
                _only(limit, ends, f"{key}.{metric}")
                _some_end(limit, f"{key}.{metric}")
    clients = settings["clients"]
    if clients:
        limits = {f"quantiles.{quantile}": limit for quantile, limit in clients["quantiles"].items()}
        limits |= {key: clients[key] for key in ("worst_decile", "dispersion") if clients[key]}
        for name, limit in limits.items():
            _only(limit, _BOUNDED, f"clients.{name}")
            _some_end(limit, f"clients.{name}")


def _only(given: Any, known: frozenset[str] | set[str], where: str) -> None:
    if not isinstance(given, Mapping) or not set(given) <= known:
        found = ", ".join(sorted(set(given) - known)) if isinstance(given, Mapping) else repr(given)
        raise ConfigError(f"gate settings: {where} has {found}; expected a mapping of {', '.join(sorted(known))}.")


def _some_end(limit: Mapping[str, Any], where: str) -> None:
    ends = [limit[end] for end in sorted(_BOUNDED) if limit.get(end) is not None]
    if not ends or not all(isinstance(end, int | float) and math.isfinite(end) for end in ends):
        raise ConfigError(f"gate settings: {where} has {ends or 'no bound'}; expected min, max or both, finite numbers.")
