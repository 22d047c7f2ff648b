"""What people give as inputs, made into the arrays that a signature takes."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from errors import DataError
from serving.server.signature import Signature, TensorSpec

NUMPY_TYPES: dict[str, Any] = {
    "DT_FLOAT": np.float32,
    "DT_DOUBLE": np.float64,
    "DT_HALF": np.float16,
    "DT_INT8": np.int8,
    "DT_INT16": np.int16,
    "DT_INT32": np.int32,
    "DT_INT64": np.int64,
    "DT_UINT8": np.uint8,
    "DT_UINT16": np.uint16,
    "DT_UINT32": np.uint32,
    "DT_UINT64": np.uint64,
    "DT_BOOL": np.bool_,
    "DT_STRING": object,
}
_SHOWN = 60


def to_arrays(inputs: Any, signature: Signature) -> dict[str, np.ndarray]:
    """Inputs as arrays with the signature's types.

    Args:
      inputs: name -> value; a list of such rows; or, for a signature with one input, its bare value. A value is a number, a
        string, bytes, `{"b64": ".."}`, a numpy array, or nested lists of these. One that lacks the batch's dimension is a
        batch of one.
      signature: what takes them.

    Raises:
      DataError: names, types or shapes that the signature does not take.
    """
    named = _named(inputs, signature)
    missing, extra = signature.inputs.keys() - named.keys(), named.keys() - signature.inputs.keys()
    if missing or extra:
        got = ", ".join(named) or "none"
        wrong = f"{sorted(missing)[0]!r} is missing" if missing else f"{sorted(extra)[0]!r} is not an input"
        raise DataError(f"{wrong}; signature {signature.name} takes {_inputs_text(signature)}, got {got}.")
    return {name: _to_array(name, named[name], spec) for name, spec in signature.inputs.items()}


def _named(inputs: Any, signature: Signature) -> Mapping[str, Any]:
    if isinstance(inputs, Mapping) and inputs.keys() != {"b64"}:
        return inputs
    if isinstance(inputs, list) and inputs and all(isinstance(row, Mapping) and row.keys() != {"b64"} for row in inputs):
        for number, row in enumerate(inputs, 1):
            if row.keys() != signature.inputs.keys():
                raise DataError(f"row {number} has {', '.join(row) or 'nothing'}; expected {_inputs_text(signature)}.")
        return {name: [row[name] for row in inputs] for name in signature.inputs}
    if len(signature.inputs) != 1:
        raise DataError(f"expected an object with {_inputs_text(signature)}, got {_shown(inputs)}.")
    return {next(iter(signature.inputs)): inputs}


def _to_array(name: str, value: Any, spec: TensorSpec) -> np.ndarray:
    if spec.dtype not in NUMPY_TYPES:
        raise DataError(f"input {name} is of type {spec.dtype}, which cannot be given from here; call another signature.")
    array = _strings(name, value) if spec.dtype == "DT_STRING" else _numbers(name, value, spec)
    if spec.shape is not None and array.ndim == len(spec.shape) - 1 and spec.shape[0] in (None, 1):
        array = array[np.newaxis]
    if not spec.takes(array.shape):
        raise DataError(f"input {name} has shape {list(array.shape)}; expected {spec.shape_text()}, the first being the batch.")
    return array


def _numbers(name: str, value: Any, spec: TensorSpec) -> np.ndarray:
    kind = np.dtype(NUMPY_TYPES[spec.dtype])
    try:
        given = np.asarray(value)
    except ValueError:  # lists of different lengths
        raise DataError(f"input {name}: {_shown(value)} has lists of different lengths; expected {_spec_text(spec)}.") from None
    right = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}[kind.kind]
    if given.size and given.dtype.kind not in right:
        raise DataError(f"input {name}: {_shown(value)} is not {_spec_text(spec)}; give numbers of that type.")
    if kind.kind in "iu" and given.size and not _within(given, np.iinfo(kind)):
        raise DataError(f"input {name}: {_shown(value)} is out of the range of {_spec_text(spec)}.")
    with np.errstate(over="ignore"):
        return given.astype(kind)


def _within(array: np.ndarray, limits: Any) -> bool:
    return bool(int(array.min()) >= limits.min and int(array.max()) <= limits.max)


def _strings(name: str, value: Any) -> np.ndarray:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    shape, items = _flatten(name, value)
    array = np.empty(len(items), object)
    array[:] = [_bytes(name, item) for item in items]
    return array.reshape(shape)


def _flatten(name: str, value: Any) -> tuple[tuple[int, ...], list[Any]]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes | bytearray):
        return (), [value]
    parts = [_flatten(name, item) for item in value]
    if any(shape != parts[0][0] for shape, _ in parts):
        raise DataError(f"input {name}: {_shown(value)} has lists of different lengths; make them equal.")
    return (len(parts), *(parts[0][0] if parts else ())), [item for _, items in parts for item in items]


def _bytes(name: str, item: Any) -> bytes:
    if isinstance(item, bytes | bytearray | memoryview):
        return bytes(item)
    try:
        if isinstance(item, str):
            return item.encode("utf-8")
        if isinstance(item, Mapping) and item.keys() == {"b64"}:
            return base64.b64decode(item["b64"], validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise DataError(f"input {name}: {_shown(item)} is neither UTF-8 text nor base64; correct it.") from None
    raise DataError(f'input {name}: {_shown(item)} is not a string; give text, bytes or {{"b64": ".."}}.')


def _inputs_text(signature: Signature) -> str:
    return ", ".join(f"{name} ({_spec_text(spec)})" for name, spec in signature.inputs.items())


def _spec_text(spec: TensorSpec) -> str:
    return f"{spec.dtype.removeprefix('DT_').lower()} {spec.shape_text()}"


def _shown(value: Any) -> str:
    # Of a large array or text, only as much is turned into text as is shown.
    if isinstance(value, str | bytes | list):
        text = repr(value[:_SHOWN])
    else:
        text = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
