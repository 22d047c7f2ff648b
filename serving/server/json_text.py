"""Looks into the text of a JSON request, where parsing it says too little: repeated keys, and where it went too far."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

# A string is passed over quote by quote: one pattern for all of it would need memory for each of its characters.
_TOKENS = re.compile(r'\\.|"|[\[\]{}]|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?', re.DOTALL)
_MAX_SEARCHED = 1 << 20  # characters
KEYS = {key: f'"{key}"'.encode() for key in ("instances", "inputs", "examples", "context", "signature_name")}


def may_repeat(body: bytes, value: Mapping[str, Any]) -> bool:
    """Whether one of a request's own keys may stand in it twice, as far as counting tells.

    A key that is written with escapes is missed, and so is one within another object.
    """
    for key, quoted in KEYS.items():
        if key in value:
            inner = value[key]
            if body.count(quoted) > 1 + (isinstance(inner, dict) and key in inner):
                return True
    return False


def deepest(text: str) -> int | None:
    """Where the bracket stands that is in most others; None for a text that is too long to be searched."""
    depth = most = 0
    place = None
    for token in _tokens(text):
        if token[0] in "[{":
            depth += 1
            if depth > most:
                most, place = depth, token.start()
        elif token[0] in "]}":
            depth -= 1
    return place


def too_big(text: str) -> int | None:
    """Where the first number stands that no double holds; None for a text that is too long to be searched."""
    numbers = (token for token in _tokens(text) if token[0] not in "[]{}")
    return next((token.start() for token in numbers if math.isinf(float(token[0]))), None)


def _tokens(text: str) -> Iterator[re.Match[str]]:
    """The brackets and numbers that are in no string."""
    in_string = False
    for token in _TOKENS.finditer(text) if len(text) <= _MAX_SEARCHED else ():
        if token[0] == '"':
            in_string = not in_string
        elif not in_string and token[0][0] != "\\":
            yield token
