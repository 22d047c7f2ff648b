"""Arrays to TensorProto and back, without TensorFlow."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from errors import DataError
from serving import protocol
from serving.client.values import NUMPY_TYPES

_NAMES = {np.dtype(kind): name for name, kind in NUMPY_TYPES.items()}
_FIELDS = {
    "DT_FLOAT": "float_val",
    "DT_DOUBLE": "double_val",
    "DT_INT64": "int64_val",
    "DT_BOOL": "bool_val",
    "DT_UINT32": "uint32_val",
    "DT_UINT64": "uint64_val",
}  # the other numbers are in int_val


def fill(proto: Any, array: np.ndarray) -> None:
    """Writes an array into an empty TensorProto: numbers as raw bytes, which is the quickest for both sides."""
    name = _NAMES[array.dtype]
    proto.dtype = protocol.number_of("tensorflow.DataType", name)
    for size in array.shape:
        proto.tensor_shape.dim.add().size = size
    if name == "DT_STRING":
        proto.string_val.extend(array.reshape(-1).tolist())
    else:
        proto.tensor_content = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def to_array(proto: Any) -> np.ndarray:
    """Reads a TensorProto in any of its forms; bfloat16, which numpy has not, becomes float32.

    Raises:
      DataError: a type that holds no numbers or strings, or fewer or more values than its shape.
    """
    name = protocol.name_of("tensorflow.DataType", proto.dtype)
    shape = [axis.size for axis in proto.tensor_shape.dim]
    try:
        return _filled(_values(proto, name), shape).reshape(shape)
    except (KeyError, ValueError):
        raise DataError(
            f"the answer holds a {name} of shape {shape} that cannot be read; ask only for other outputs."
        ) from None


def _values(proto: Any, name: str) -> np.ndarray:
    if name == "DT_STRING":
        array = np.empty(len(proto.string_val), object)
        array[:] = list(proto.string_val)
        return array
    if name in ("DT_HALF", "DT_BFLOAT16"):
        bits = np.frombuffer(proto.tensor_content, "<u2") if proto.tensor_content else np.array(proto.half_val, np.uint16)
        return bits.view(np.float16) if name == "DT_HALF" else (bits.astype(np.uint32) << 16).view(np.float32)
    kind = np.dtype(NUMPY_TYPES[name])
    if proto.tensor_content:
        return np.frombuffer(proto.tensor_content, kind.newbyteorder("<")).astype(kind)
    return np.array(getattr(proto, _FIELDS.get(name, "int_val")), kind)


def _filled(values: np.ndarray, shape: list[int]) -> np.ndarray:
    """The last value stands for all that follow it: how a proto writes a constant tensor."""
    missing = math.prod(shape) - len(values)
    if missing > 0 and len(values):
        return np.concatenate([values, np.repeat(values[-1:], missing)])
    return values
