"""The values that the server's flags take, read from the command line's text."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def port(text: str) -> int:
    """A port, of which 0 is off."""
    number = _whole(text)
    if not 0 <= number <= 65535:
        raise _refused("a port from 0 to 65535", text)
    return number


def at_least(least: int, unit: str, most: int = 2**63 - 1) -> Callable[[str], int]:
    """Whole numbers of `unit` from `least` to `most`, which is the largest int64 if nothing else is told."""

    def read(text: str) -> int:
        number = _whole(text)
        if not least <= number <= most:
            raise _refused(f"a number of {unit} from {least}" + (f" to {most}" if most < 2**63 - 1 else ""), text)
        return number

    return read


def seconds(text: str) -> float:
    """Seconds with fractions, of either sign."""
    number = _number(text)
    if not abs(number) <= 10**6:  # neither NaN nor more than a thread can wait
        raise _refused("a number of seconds up to 1000000", text)
    return number


def some_seconds(text: str) -> float:
    """Seconds with fractions, above 0."""
    number = seconds(text)
    if number <= 0:
        raise _refused("a number of seconds above 0", text)
    return number


def fraction(text: str) -> float:
    """A part of a whole, from 0 to 1."""
    number = _number(text)
    if not 0 <= number <= 1:
        raise _refused("a fraction from 0 to 1", text)
    return number


def boolean(text: str) -> bool:
    """`true`, `false`, `1` or `0`."""
    if text.lower() not in _BOOLEANS:
        raise _refused("true or false", text)
    return _BOOLEANS[text.lower()]


def local_path(text: str) -> Path:
    """A file or directory of this machine, absolute."""
    if not text or "://" in text or "\0" in text:
        raise _refused("a path of this machine", text)
    return Path(text).absolute()


def tags(text: str) -> tuple[str, ...]:
    """Names divided by commas."""
    names = tuple(text.split(","))
    if not all(names):
        raise _refused("tags divided by commas", text)
    return names


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise _refused("a whole number", text) from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _refused(expected: str, text: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f"expected {expected}, got {text[:200]!r}")
