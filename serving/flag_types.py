"""Types of flags that the commands of serving share; each raises what argparse tells in one line."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable


def within(least: int, most: int | None = None) -> Callable[[str], int]:
    """A whole number from `least` to `most`, or on."""
    bounds = f"from {least} on" if most is None else f"from {least} to {most}"

    def read(text: str) -> int:
        if not re.fullmatch("[0-9]{1,18}", text) or int(text) < least or (most is not None and int(text) > most):
            raise argparse.ArgumentTypeError(f"expected a number {bounds}, got {text!r}")
        return int(text)

    return read


def seconds(text: str) -> float:
    """Seconds above 0, at most an hour."""
    try:
        given = float(text)
    except ValueError:
        given = 0.0
    if not 0 < given <= 3600:
        raise argparse.ArgumentTypeError(f"expected seconds above 0 and up to 3600, got {text!r}")
    return given


def size(text: str) -> tuple[int, int]:
    """Width and height, such as 28x28."""
    match = re.fullmatch("([1-9][0-9]{0,3})x([1-9][0-9]{0,3})", text)
    if not match:
        raise argparse.ArgumentTypeError(f"expected width and height such as 28x28, got {text!r}")
    return int(match[1]), int(match[2])
