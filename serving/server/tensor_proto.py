"""TensorProto of gRPC and warm-up requests to and from tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from serving.server.signature import Signature
from serving.server.status import invalid

# A proto may hold one value and a shape that repeats it, so few bytes can ask for any amount of memory.
_MAX_REPEATED = 1 << 22
_FIELDS = {
    "float32": "float_val",
    "float64": "double_val",
    "int8": "int_val",
    "int16": "int_val",
    "int32": "int_val",
    "uint8": "int_val",
    "uint16": "int_val",
    "int64": "int64_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    "bool": "bool_val",
    "string": "string_val",
}


def inputs(protos: Mapping[str, Any], signature: Signature) -> dict[str, np.ndarray]:
    """The signature's input arrays.

    Raises:
      ApiError: INVALID_ARGUMENT for a wrong set of names, a wrong type, or a proto that is no tensor.
    """
    missing, extra = signature.inputs.keys() - protos.keys(), protos.keys() - signature.inputs.keys()
    if missing or extra:
        raise invalid(
            f"input does not match signature {signature.name}. Sent extra: {{{', '.join(sorted(extra))}}}."
            f" Missing but required: {{{', '.join(sorted(missing))}}}."
        )
    return {name: _array(name, protos[name], spec.dtype) for name, spec in signature.inputs.items()}


def from_array(array: np.ndarray) -> Any:
    """An array as a TensorProto: in typed fields (`float_val`, ...) as the real server sends it, rare types as raw bytes."""
    import tensorflow as tf
    from tensorflow.core.framework import tensor_pb2

    dtype = tf.as_dtype(array.dtype)
    if dtype.name not in _FIELDS:
        return tf.make_tensor_proto(array)
    proto = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum)
    for size in array.shape:
        proto.tensor_shape.dim.add().size = size
    getattr(proto, _FIELDS[dtype.name]).extend(array.reshape(-1).tolist())
    return proto


def _array(name: str, proto: Any, dtype: str) -> np.ndarray:
    import tensorflow as tf
    from tensorflow.core.framework import types_pb2

    if proto.dtype != types_pb2.DataType.Value(dtype):
        given = types_pb2.DataType.Name(proto.dtype) if proto.dtype in types_pb2.DataType.values() else str(proto.dtype)
        raise invalid(f"input {name}: Expects arg[0] to be {_plain(dtype)} but {_plain(given)} is provided")
    sizes = [axis.size for axis in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in sizes):
        raise invalid(f"input {name} has a shape that is not fully known")
    if not proto.tensor_content and math.prod(sizes) > max(_MAX_REPEATED, proto.ByteSize()):
        raise invalid(f"input {name} has shape {sizes} but only {proto.ByteSize()} bytes of values")
    try:
        return tf.make_ndarray(proto)
    except (TypeError, ValueError, OverflowError):
        raise invalid(f"input {name}: tensor parsing error: the values do not fit {_plain(dtype)} of shape {sizes}") from None


def _plain(dtype: str) -> str:
    return dtype.removeprefix("DT_").lower()
