"""Arrays by output name to the JSON that a REST predict answers, as TensorFlow Serving's util/json_tensor.cc writes it."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from serving.server.status import ApiError, invalid

_WORDS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_DIGITS = {np.dtype(np.float32): 9, np.dtype(np.float64): 17}


def answer(outputs: Mapping[str, np.ndarray], *, row_format: bool) -> str:
    """The body of the reply.

    Row format gives `{"predictions": [..]}`, column format `{"outputs": ..}`; one output is bare, several are objects by name.

    Raises:
      ApiError: INVALID_ARGUMENT if a row answer has no common first dimension or a string is not UTF-8; UNIMPLEMENTED for types
        that have no JSON form.
    """
    if row_format:
        return f'{{"predictions": [{", ".join(_rows(outputs))}]}}'
    texts = {name: _nested(_texts(name, array), array.shape) for name, array in outputs.items()}
    return f'{{"outputs": {_one_or_object(texts)}}}'


def _rows(outputs: Mapping[str, np.ndarray]) -> list[str]:
    sizes = {name: array.shape[0] if array.ndim else None for name, array in outputs.items()}
    for name, size in sizes.items():
        if size is None:
            raise invalid(f"Tensor name: {name} has no shape information; a scalar has no rows, ask in column format (inputs)")
        if size != next(iter(sizes.values())):
            raise invalid(f"Tensor name: {name} has inconsistent batch size: {size} expecting: {next(iter(sizes.values()))}")
    columns = {name: _elements(_texts(name, array), array.shape) for name, array in outputs.items()}
    if len(columns) == 1:
        return next(iter(columns.values()))
    return [_one_or_object(dict(zip(columns, values, strict=True))) for values in zip(*columns.values(), strict=True)]


def _one_or_object(texts: Mapping[str, str]) -> str:
    if len(texts) == 1:
        return next(iter(texts.values()))
    return "{" + ", ".join(f"{json.dumps(name)}: {text}" for name, text in texts.items()) + "}"


def _elements(items: list[str], shape: tuple[int, ...]) -> list[str]:
    """The `shape[0]` elements of the first dimension, each as JSON."""
    for axis in range(len(shape) - 1, 0, -1):
        size, count = shape[axis], math.prod(shape[:axis])
        items = ["[" + ", ".join(items[size * start : size * (start + 1)]) + "]" for start in range(count)]
    return items


def _nested(items: list[str], shape: tuple[int, ...]) -> str:
    return "[" + ", ".join(_elements(items, shape)) + "]" if shape else items[0]


def _texts(name: str, array: np.ndarray) -> list[str]:
    """Every value as JSON, in C order."""
    flat = array.reshape(-1)
    if array.dtype in _DIGITS:
        return _floats(flat)
    if array.dtype.kind in "iu":
        return [str(value) for value in flat.tolist()]
    if array.dtype == np.bool_:
        return ["true" if value else "false" for value in flat.tolist()]
    if array.dtype.kind in "OS":
        write: Callable[[bytes], str] = _base64 if name.endswith("_bytes") else _string(name)
        return [write(value) for value in flat.tolist()]
    raise ApiError("UNIMPLEMENTED", f"Conversion of output {name} of type {array.dtype} to JSON is not supported; use gRPC")


def _floats(flat: np.ndarray) -> list[str]:
    """Six significant digits where they give the same value back, else as many as are always enough for the type."""
    values = flat.tolist()
    texts = [f"{value:.6g}" for value in values]
    same = np.array([float(text) for text in texts], flat.dtype) == flat
    digits = _DIGITS[flat.dtype]
    texts = [text if kept else f"{value:.{digits}g}" for text, kept, value in zip(texts, same.tolist(), values, strict=True)]
    return [_WORDS.get(text) or (text if "." in text or "e" in text else f"{text}.0") for text in texts]


def _base64(value: bytes) -> str:
    return json.dumps({"b64": base64.b64encode(value).decode("ascii")})


def _string(name: str) -> Callable[[bytes], str]:
    def write(value: Any) -> str:
        try:
            return json.dumps(value.decode("utf-8"), ensure_ascii=False)
        except UnicodeDecodeError:
            raise invalid(
                f"output {name} holds bytes that are not UTF-8; only an output whose name ends in _bytes is sent as base64"
            ) from None

    return write
