"""TensorProto of gRPC and warm-up requests to and from tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

import numpy as np

from serving.server.signature import Signature
from serving.server.status import invalid

# A proto may hold one value and a shape that repeats it, so few bytes can ask for any amount of memory: they get so much, or
# so many times their own number if that is more. TensorFlow holds each string by itself, and needs that much beside its text.
_MAX_REPEATED_BYTES, _MAX_GROWTH = 1 << 24, 8  # a small int64 is one byte in the message
_STRING_BYTES = 24
_MAX_RANK = 32  # numpy's
_MAX_EXTENT = 1 << 31  # no message holds so many values, and sizes beyond it overflow in graphs even where there are none
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
# Types that are sent as their bits, or as real part, imaginary part, real part, ...
_AS_PARTS: dict[str, tuple[str, Any]] = {
    "float16": ("half_val", np.uint16),
    "bfloat16": ("half_val", np.uint16),
    "complex64": ("scomplex_val", np.float32),
    "complex128": ("dcomplex_val", np.float64),
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
    names = set(protos)
    if names != signature.inputs.keys():
        _check_names(names, signature)
    return {
        name: _array(name, protos[name], spec.dtype) if name in names else signature.defaults[name]
        for name, spec in signature.inputs.items()
    }


def _check_names(names: set[str], signature: Signature) -> None:
    missing = signature.inputs.keys() - names - signature.defaults.keys()
    extra = names - signature.inputs.keys()
    if missing or extra:
        raise invalid(
            f"input does not match signature {signature.name}. Sent extra: {{{', '.join(sorted(extra))}}}."
            f" Missing but required: {{{', '.join(sorted(missing))}}}."
        )


def wire(array: np.ndarray) -> bytes:
    """`from_array(array).SerializeToString()`, for the commonest types much quicker."""
    if array.dtype == object:
        values = b"".join([b"\x42" + _varint(len(value)) + value for value in array.reshape(-1).tolist()])
        return _head("string", array.shape) + values
    if array.dtype.name in _AS_BYTES and array.size:
        tag, little = _AS_BYTES[array.dtype.name]
        values = array.astype(little, copy=False).tobytes()
        return b"".join((_head(array.dtype.name, array.shape), tag, _varint(len(values)), values))
    return bytes(from_array(array).SerializeToString())


def field(number: int, content: bytes) -> bytes:
    """A field of a message on the wire that holds bytes, a string or a message; `number` below 16."""
    return bytes((number << 3 | 2,)) + _varint(len(content)) + content


@lru_cache(1024)
def _head(name: str, shape: tuple[int, ...]) -> bytes:
    """What comes before the values on the wire: type and shape."""
    import tensorflow as tf
    from tensorflow.core.framework import tensor_pb2

    proto = tensor_pb2.TensorProto(dtype=tf.as_dtype(name).as_datatype_enum)
    for size in shape:
        proto.tensor_shape.dim.add().size = size
    return bytes(proto.SerializeToString())


@cache
def _kind(dtype: str) -> tuple[int, np.dtype[Any]]:
    """The number and numpy's name of one of TensorFlow's types; raises ApiError for those that only live within a graph."""
    import tensorflow as tf
    from tensorflow.core.framework import types_pb2

    number = types_pb2.DataType.Value(dtype)
    try:
        kind = np.dtype(tf.as_dtype(number).as_numpy_dtype)
    except (TypeError, KeyError):
        kind = np.dtype(object)
    if kind.hasobject and dtype != "DT_STRING":  # DT_RESOURCE, DT_VARIANT
        raise invalid(f"an input of type {_plain(dtype)} cannot be sent")
    return number, kind


def from_array(array: np.ndarray) -> Any:
    """An array as a TensorProto: in typed fields (`float_val`, ...) as the real server has it, quantised as raw bytes."""
    import tensorflow as tf
    from tensorflow.core.framework import tensor_pb2

    dtype = tf.as_dtype(array.dtype)
    if dtype.name not in _FIELDS and dtype.name not in _AS_PARTS:
        return tf.make_tensor_proto(array)
    proto = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum)
    for size in array.shape:
        proto.tensor_shape.dim.add().size = size
    if dtype.name in _AS_BYTES and array.size >= _MANY:
        tag, little = _AS_BYTES[dtype.name]
        proto.MergeFromString(tag + _varint(array.nbytes) + array.astype(little, copy=False).tobytes())
    elif dtype.name in _AS_PARTS:
        name, part = _AS_PARTS[dtype.name]
        getattr(proto, name).extend(np.ascontiguousarray(array).reshape(-1).view(part).tolist())
    else:
        getattr(proto, _FIELDS[dtype.name]).extend(array.reshape(-1).tolist())
    return proto


def _array(name: str, proto: Any, dtype: str) -> np.ndarray:
    number, kind = _kind(dtype)
    if proto.dtype != number:
        raise invalid(f"input {name}: Expects arg[0] to be {_plain(dtype)} but {_plain(_type_name(proto.dtype))} is provided")
    sizes = _sizes(name, proto.tensor_shape)
    count = math.prod(sizes)
    _check_growth(name, proto, kind, count)
    try:
        array = _quickly(proto, kind, count)
        return _slowly(proto) if array is None else array.reshape(sizes)
    except (TypeError, ValueError, OverflowError):
        raise invalid(f"input {name}: tensor parsing error: the values do not fit {_plain(dtype)} of shape {sizes}") from None


def _sizes(name: str, shape: Any) -> list[int]:
    """The sizes of a TensorShapeProto, which may hold any number of any."""
    if len(shape.dim) > _MAX_RANK:
        raise invalid(f"input {name} has {len(shape.dim)} dimensions; expected at most {_MAX_RANK}")
    sizes = [axis.size for axis in shape.dim]
    if shape.unknown_rank or any(size < 0 for size in sizes):
        raise invalid(f"input {name} has a shape that is not fully known")
    extent = 1
    for size in sizes:
        extent *= max(size, 1)
        if extent >= _MAX_EXTENT:
            raise invalid(f"input {name} has shape {sizes}, which is larger than any message")
    return sizes


def _check_growth(name: str, proto: Any, kind: np.dtype[Any], count: int) -> None:
    """Refuses a shape that would make much more of the values than was sent."""
    sent, size = len(proto.string_val) if kind.hasobject else 0, kind.itemsize
    if proto.tensor_content or sent >= count:
        return
    if kind.hasobject:
        size = _STRING_BYTES + (len(proto.string_val[-1]) if sent else 0)  # the last one is repeated
    if count * size > max(_MAX_REPEATED_BYTES, _MAX_GROWTH * proto.ByteSize()):
        raise invalid(f"input {name} has {count} values by its shape, but only {proto.ByteSize()} bytes of them were sent")


def _slowly(proto: Any) -> np.ndarray:
    import tensorflow as tf

    return tf.make_ndarray(proto)


def _type_name(number: int) -> str:
    from tensorflow.core.framework import types_pb2

    return types_pb2.DataType.Name(number) if number in types_pb2.DataType.values() else str(number)


def _quickly(proto: Any, kind: np.dtype[Any], count: int) -> np.ndarray | None:
    """The flat array of the usual protos, without a Python object for each number; None for others."""
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
    if number < 0x80:
        return bytes((number,))
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def _plain(dtype: str) -> str:
    return dtype.removeprefix("DT_").lower()
