"""Reads what judges wrote, and takes nothing for granted: what is not there, or is not a finite number, is unknown."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.deploy_gate.case import Unknown

_FORMAT = 1
_LARGEST = 64 << 20


def report(path: Path) -> Mapping[str, Any]:
    """Returns the JSON object in a finding's file.

    Raises:
      Unknown: there is none, or it is of another format.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise Unknown(f"not known: {path.name} is larger than a report can be")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise Unknown(f"not known: {path.name} cannot be read ({type(error).__name__})") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise Unknown(f"not known: {path.name} is not of format {_FORMAT}")
    return content


def evaluated(path: Path) -> Mapping[str, Any]:
    """Returns the same, of a judge that says whether it asked the model at all.

    Raises:
      Unknown: also where it did not.
    """
    content = report(path)
    if content.get("evaluated") is not True:
        raise Unknown("not evaluated: the model was not loaded")
    return content


def part(content: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """Returns an object inside an object.

    Raises:
      Unknown: it is not there.
    """
    for key in keys:
        inner = content.get(key)
        if not isinstance(inner, Mapping):
            raise Unknown(f"not known: no {key} was recorded")
        content = inner
    return content


def number(content: Mapping[str, Any], key: str) -> float:
    """Returns a finite number.

    Raises:
      Unknown: it is not there, or none.
    """
    return finite(content.get(key), key)


def finite(value: Any, what: str) -> float:
    """Returns `value` as float.

    Raises:
      Unknown: it is not a number, or not a finite one.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unknown(f"not known: no {what} was recorded")
    if not math.isfinite(value):
        raise Unknown(f"{value} ({what}): not a finite number")
    return float(value)


def amount(content: Mapping[str, Any], key: str) -> int:
    """Returns a whole number of at least 0.

    Raises:
      Unknown: it is not there, or none.
    """
    value = content.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Unknown(f"not known: no {key} was recorded")
    return value
