"""From what was found to what JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any


def jsonable(value: Any) -> Any:
    """Returns dataclasses and mappings as dicts, tuples as lists, times as ISO 8601 in UTC, NaN and infinity as null."""
    if hasattr(value, "as_json"):
        return value.as_json()
    if is_dataclass(value):
        return {field.name: jsonable(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): jsonable(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [jsonable(one) for one in value]
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    return None if isinstance(value, float) and not math.isfinite(value) else value
