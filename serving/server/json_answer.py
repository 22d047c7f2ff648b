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
_FORMATS = {dtype: np.array(["%.6g", f"%.{digits}g", "%.1f"], object) for dtype, digits in _DIGITS.items()}
_MANY = 64  # numbers, from which on it pays to format all at once
_EXACT_POWER = 22  # the largest power of ten that a double holds exactly


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
        return floats(flat)
    if array.dtype.kind in "iu":
        return [str(value) for value in flat.tolist()]
    if array.dtype == np.bool_:
        return ["true" if value else "false" for value in flat.tolist()]
    if array.dtype.kind in "OS":
        write: Callable[[bytes], str] = _base64 if name.endswith("_bytes") else _string(name)
        return [write(value) for value in flat.tolist()]
    raise ApiError("UNIMPLEMENTED", f"Conversion of output {name} of type {array.dtype} to JSON is not supported; use gRPC")


def floats(flat: np.ndarray) -> list[str]:
    """Numbers [N] as JSON: six significant digits where they give the same value back, else as many as are always enough."""
    if flat.size < _MANY:
        return _each(flat)
    formats = _FORMATS[flat.dtype][_format_numbers(flat)].tolist()
    texts = (" ".join(formats) % tuple(flat.tolist())).split(" ")  # one call for all
    if np.isfinite(flat).all():
        return texts
    return [_WORDS.get(text.removesuffix(".0"), text) for text in texts]


def _each(flat: np.ndarray) -> list[str]:
    values, digits = flat.tolist(), _DIGITS[flat.dtype]
    texts = [f"{value:.6g}" for value in values]
    same = (np.array([float(text) for text in texts], flat.dtype) == flat).tolist()
    texts = [text if kept else f"{value:.{digits}g}" for text, kept, value in zip(texts, same, values, strict=True)]
    return [_WORDS.get(text) or (text if "." in text or "e" in text else f"{text}.0") for text in texts]


def _format_numbers(flat: np.ndarray) -> np.ndarray:
    """Which of _FORMATS each number takes.

    Six digits are enough if the number, rounded to them, is itself. The rounding multiplies and divides by a power of ten that
    is exact in a double, so that it gives what reading the six digits would. Where the power is not exact the digits are tried.
    """
    with np.errstate(all="ignore"):
        wide = flat.astype(np.float64)
        exponents = np.floor(np.log10(np.abs(wide)))
        scales = 10.0 ** np.abs(5 - exponents)
        rounded = np.where(exponents <= 5, np.rint(wide * scales) / scales, np.rint(wide / scales) * scales)
        few = rounded.astype(flat.dtype) == flat
        whole = np.rint(wide) == wide
    for place in np.flatnonzero(~(np.abs(5 - exponents) <= _EXACT_POWER)).tolist():
        few[place] = flat.dtype.type(f"{wide[place]:.6g}") == flat[place]
    plain = np.abs(wide) < np.where(few, 1e6, 10.0 ** _DIGITS[flat.dtype])  # printf writes larger ones with an exponent
    return np.where(whole & plain, 2, np.where(few, 0, 1))


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
