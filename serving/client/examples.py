"""Examples by feature name, for classify and regress, as tf.Example and as the JSON of TensorFlow Serving."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from errors import DataError
from serving import protocol

_FIELDS = {"f": "float_list", "i": "int64_list", "u": "int64_list", "b": "int64_list", "O": "bytes_list"}


def to_proto(features: Mapping[str, Any]) -> Any:
    """A tf.Example. Floats, whole numbers and strings (or bytes) keep their kind; True and False are 1 and 0.

    Raises:
      DataError: a feature that is neither a value nor a flat list of one kind.
    """
    example = protocol.message("tensorflow.Example")()
    for name, value in features.items():
        values = _flat(name, value)
        feature = getattr(example.features.feature[name], _FIELDS[values.dtype.kind])
        feature.value.extend(values.tolist())
    return example


def to_json(features: Mapping[str, Any]) -> dict[str, Any]:
    """The same as JSON; bytes as `{"b64": ".."}`, and floats with a point, by which they differ from whole numbers."""
    result: dict[str, Any] = {}
    for name, value in features.items():
        values = _flat(name, value)
        result[name] = [_b64(item) for item in values] if values.dtype.kind == "O" else values.tolist()
    return result


def _b64(item: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(item).decode("ascii")}


def _flat(name: str, value: Any) -> np.ndarray:
    items = (
        value.reshape(-1).tolist() if isinstance(value, np.ndarray) else value if isinstance(value, list | tuple) else [value]
    )
    items = [base64.b64decode(item["b64"]) if isinstance(item, dict) and item.keys() == {"b64"} else item for item in items]
    if all(isinstance(item, str | bytes) for item in items):
        array = np.empty(len(items), object)
        array[:] = [item.encode("utf-8") if isinstance(item, str) else item for item in items]
        return array
    try:
        array = np.array(items)
    except ValueError:  # lists of different lengths
        array = np.array([None])
    if array.ndim != 1 or array.dtype.kind not in "fiub":
        raise DataError(f"feature {name} is neither a number nor a string nor a flat list of one of them; flatten it.")
    return array.astype(np.int64) if array.dtype.kind in "ub" else array
