"""Python bytecode in a SavedModel that Keras wrote: Lambda layers, which run it when Keras loads the model."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

LAMBDA = "Lambda"
_CLASSES = (LAMBDA, "__lambda__")
_FUNCTION_TYPES = ("function_type", "output_shape_type", "mask_type")


def holds_lambda(descriptions: Iterable[str]) -> bool:
    """Whether one of Keras' JSON descriptions of objects names a Lambda layer or a marshalled function, at any depth.

    Raises:
      ValueError: a description is not JSON.
    """
    return any(_is_lambda(value) for text in descriptions if text for value in _values(_parsed(text)))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _values(description: Any) -> Iterable[Any]:
    waiting = [description]
    while waiting:
        value = waiting.pop()
        yield value
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _is_lambda(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    name = value.get("class_name")
    is_class = isinstance(name, str) and name.rpartition(">")[2] in _CLASSES
    return is_class or any(value.get(kind) == "lambda" for kind in _FUNCTION_TYPES)
