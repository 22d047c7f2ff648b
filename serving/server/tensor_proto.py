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
# The typed fields whose bytes on the wire, behind a tag and their number, are the array's own.
_AS_BYTES: dict[str, tuple[bytes, np.dtype[Any]]] = {
    "float32": (b"\x2a", np.dtype("<f4")),
    "float64": (b"\x32", np.dtype("<f8")),
}
_MANY = 64  # values, from which on that is the quicker way


def inputs(protos: Mapping[str, Any], signature: Signature) -> dict[str, np.ndarray]:
    """The signature's input arrays; an input that is left out has the signature's default, if there is one.

    Raises:
      ApiError: INVALID_ARGUMENT for a wrong set of names, a wrong type, or a proto that is no tensor.
    """
    missing = signature.inputs.keys() - protos.keys() - signature.defaults.keys()
    extra = protos.keys() - signature.inputs.keys()
    if missing or extra:
        raise invalid(
            f"input does not match signature {signature.name}. Sent extra: {{{', '.join(sorted(extra))}}}."
            f" Missing but required: {{{', '.join(sorted(missing))}}}."
        )
    return {
        name: _array(name, protos[name], spec.dtype) if name in protos else signature.defaults[name]
        for name, spec in signature.inputs.items()
    }


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
    if dtype.name in _AS_BYTES and array.size >= _MANY:
        tag, little = _AS_BYTES[dtype.name]
        proto.MergeFromString(tag + _varint(array.nbytes) + array.astype(little, copy=False).tobytes())
    else:
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
    count = math.prod(sizes)
    if not proto.tensor_content and count > max(_MAX_REPEATED, proto.ByteSize()):
        raise invalid(f"input {name} has shape {sizes} but only {proto.ByteSize()} bytes of values")
    try:
        array = _quickly(proto, tf.as_dtype(proto.dtype).as_numpy_dtype, count)
        return tf.make_ndarray(proto) if array is None else array.reshape(sizes)
    except (TypeError, ValueError, OverflowError):
        raise invalid(f"input {name}: tensor parsing error: the values do not fit {_plain(dtype)} of shape {sizes}") from None


def _quickly(proto: Any, dtype: Any, count: int) -> np.ndarray | None:
    """The flat array of the usual protos, without a Python object for each number; None for others."""
    kind = np.dtype(dtype)
    if kind.hasobject:
        if len(proto.string_val) != count or proto.tensor_content:
            return None
        strings = np.empty(count, object)
        strings[:] = proto.string_val
        return strings
    if len(proto.tensor_content) == count * kind.itemsize:
        return np.frombuffer(proto.tensor_content, kind)
    if kind.name in _AS_BYTES and not proto.tensor_content and len(getattr(proto, _FIELDS[kind.name])) == count >= _MANY:
        return _packed(proto, _FIELDS[kind.name], _AS_BYTES[kind.name][1], count)
    return None


def _packed(proto: Any, field: str, little: np.dtype, count: int) -> np.ndarray:
    """A typed field's array, out of its bytes on the wire."""
    alone = type(proto)()
    getattr(alone, field).MergeFrom(getattr(proto, field))
    wire = alone.SerializeToString()
    return np.frombuffer(wire, little, offset=len(wire) - count * little.itemsize)


def _varint(number: int) -> bytes:
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def _plain(dtype: str) -> str:
    return dtype.removeprefix("DT_").lower()
