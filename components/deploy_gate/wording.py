"""Numbers and limits in plain words, the same in every check: "0.9512", "at least 0.95"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_DIGITS = 4
_ALL_DIGITS = 17
_MARKDOWN = "\\`*_[]<>|~&"


def number(value: float, *limits: float | None, signed: bool = False) -> str:
    """Returns a number with four significant digits, or as many more as set it apart from limits that it is not equal to."""
    sign = "+" if signed else ""
    for digits in range(_DIGITS, _ALL_DIGITS):
        text = f"{value:{sign}.{digits}g}"
        if all(limit is None or (float(text) == limit) == (value == limit) for limit in limits):
            return text
    return f"{value:{sign}.{_ALL_DIGITS}g}"


def bounds(limit: Mapping[str, Any], signed: bool = False) -> str:
    """Returns "at least 0.9 and at most 0.95" for {"min": 0.9, "max": 0.95}; with signs for changes."""
    style = "+g" if signed else "g"
    words = {"min": "at least", "max": "at most"}
    return " and ".join(f"{words[end]} {limit[end]:{style}}" for end in words if limit.get(end) is not None)


def count(amount: int, one: str, many: str = "") -> str:
    """Returns "1 client" or "1,200 clients"."""
    return f"{amount:,} {one if amount == 1 else many or one + 's'}"


def one_line(text: object, most: int = 300) -> str:
    """Returns text that came from elsewhere on one line, without control characters and not too long."""
    line = " ".join("".join(char if char.isprintable() else " " for char in str(text)).split())
    return line if len(line) <= most else f"{line[: most - 3]}..."


def markdown(text: str) -> str:
    """Returns text that Markdown leaves as it is: no table, HTML or formatting can be made with it."""
    return " ".join("".join(f"\\{char}" if char in _MARKDOWN else char for char in text).split())
