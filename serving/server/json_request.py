"""The body of a REST predict: JSON to numpy arrays by a signature, as TensorFlow Serving's util/json_tensor.cc reads it."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import orjson

from serving.server import json_text
from serving.server.signature import DEFAULT_SIGNATURE, Signature, TensorSpec
from serving.server.status import ApiError, cut, invalid

_SHOWN = 256  # bytes of an offending value in an error
_MAX_RANK = 32  # numpy's
_MAX_CONTAINERS = 1 << 22  # each takes tens of bytes for the two or three that were sent
_FLOATS = {"DT_FLOAT": np.float32, "DT_DOUBLE": np.float64}
# The range that the token must be in; the narrow types take any int32 and wrap, as the real server does.
_INTEGERS: dict[str, tuple[Any, Any]] = {
    "DT_INT8": (np.int8, np.int32),
    "DT_INT16": (np.int16, np.int32),
    "DT_INT32": (np.int32, np.int32),
    "DT_UINT8": (np.uint8, np.int32),
    "DT_INT64": (np.int64, np.int64),
    "DT_UINT32": (np.uint32, np.uint32),
    "DT_UINT64": (np.uint64, np.uint64),
}
_NAMES = {str: "String", bool: "Boolean", int: "Number", float: "Number", list: "Array", dict: "Object", type(None): "Null"}
# What tells a bare word from one in a string.
_TOKENS = re.compile(r'\\.|"|-?Inf(?:inity)?|-?NaN', re.DOTALL)
_PYTHON_WORDS = {"Inf": "Infinity", "-Inf": "-Infinity", "-NaN": "NaN"}
_MAYBE_OVER_64_BITS = re.compile(rb"\d{19}")
_MAYBE_TOO_BIG = re.compile(r"[eE]\+?\d{2}|(?<!\d)\d{309}")


def parse_object(body: bytes) -> dict[str, Any]:
    """Reads strict JSON with the bare words NaN, Inf and Infinity and their negatives; the top must be an object.

    Raises:
      ApiError: INVALID_ARGUMENT, with the offset in bytes of what is wrong.
    """
    if not body.strip():
        raise invalid("JSON Parse error: The document is empty")
    _check_containers(body)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _parse_error("Invalid encoding in string.", error.start) from None
    try:
        value = _loads(text)
        if isinstance(value, dict) and json_text.may_repeat(body, value):
            _check_keys(text)
    except RecursionError:
        raise _parse_error("nested too deeply", _bytes_before(text, json_text.deepest(text))) from None
    except json.JSONDecodeError as error:
        raise _parse_error(f"{error.msg}.", _bytes_before(text, error.pos)) from None
    except ValueError as error:  # a number that is too big
        raise _parse_error(f"{error}", _bytes_before(text, json_text.too_big(text))) from None
    if not isinstance(value, dict):
        raise invalid(f"JSON Value: {_shown(value)} is not an object; the request must be an object")
    return value


def parse_quickly(body: bytes) -> dict[str, Any]:
    """`parse_object` by a faster parser, where that takes the body.

    What it takes it reads alike, but for integers over 64 bits, which become floats: equal ones where a float is wanted, and
    refused where an integer is. So what is refused is read again by `parse_object`, for the exact words; see `inputs_of`.

    Raises:
      ApiError: as of `parse_object`.
    """
    _check_containers(body)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return parse_object(body)
    return value if isinstance(value, dict) and not json_text.may_repeat(body, value) else parse_object(body)


def _check_containers(body: bytes) -> None:
    if len(body) > _MAX_CONTAINERS and body.count(b"[") + body.count(b"{") > _MAX_CONTAINERS:
        raise invalid(f"JSON Parse error: more than {_MAX_CONTAINERS} lists and objects; send tensors this large over gRPC")


def _check_keys(text: str) -> None:
    """Refuses an object that has a key twice, of which the real server would take one and others the other."""
    top: list[tuple[str, Any]] = []

    def keep(pairs: list[tuple[str, Any]]) -> None:  # called for the outermost object last
        nonlocal top
        top = pairs

    _loads(text, keep)
    keys = Counter(key for key, _ in top)
    if repeated := [key for key in json_text.KEYS if keys[key] > 1]:
        raise invalid(f"JSON Parse error: the key '{repeated[0]}' is given more than once")


def signature_name(body: Mapping[str, Any]) -> str:
    """The signature that a request asks for; serving_default if it says none."""
    name = body.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid("'signature_name' key must be a string value.")
    return name or DEFAULT_SIGNATURE


def inputs(body: Mapping[str, Any], signature: Signature) -> tuple[dict[str, np.ndarray], bool]:
    """The request's arrays by input name, and whether it is in row format (`instances`) and not in column format (`inputs`).

    Raises:
      ApiError: INVALID_ARGUMENT for what does not fit; UNIMPLEMENTED for types that have no JSON form.
    """
    if ("instances" in body) == ("inputs" in body):
        raise invalid(
            "Missing 'inputs' or 'instances' key" if "inputs" not in body else "Both 'inputs' and 'instances' are given"
        )
    if "instances" in body:
        return _from_rows(body["instances"], signature), True
    return _from_columns(body["inputs"], signature), False


def inputs_of(content: Mapping[str, Any], signature: Signature, body: bytes) -> tuple[dict[str, np.ndarray], bool]:
    """`inputs` of what `parse_quickly` made of a body.

    Raises:
      ApiError: as of `inputs`.
    """
    try:
        return inputs(content, signature)
    except ApiError:
        if not _MAYBE_OVER_64_BITS.search(body):
            raise
    return inputs(parse_object(body), signature)


def to_array(value: Any, dtype: str) -> np.ndarray:
    """A JSON value as an array; its shape is that of the first element at each level, and all others must have it too.

    Strings become bytes objects: the UTF-8 of a JSON string, or what `{"b64": ".."}` holds.
    """
    shape, items = _flatten(value)
    if dtype in _FLOATS:
        return _floats(items, dtype).reshape(shape)
    if dtype in _INTEGERS:
        return _integers(items, dtype).reshape(shape)
    if dtype == "DT_BOOL":
        _check_types(items, {bool}, dtype)
        return np.array(items, np.bool_).reshape(shape)
    if dtype == "DT_STRING":
        _check_types(items, {str, dict}, dtype)
        array = np.empty(len(items), object)
        array[:] = [_bytes(item) for item in items]
        return array.reshape(shape)
    raise ApiError("UNIMPLEMENTED", f"Conversion of JSON to type {dtype[3:].lower()} is not supported; use gRPC")


def kind_name(value: Any) -> str:
    """What JSON calls a value: Number, Object, ..."""
    return _NAMES[type(value)]


def _loads(text: str, pairs: Callable[[list[tuple[str, Any]]], None] | None = None) -> Any:
    # Looking for what could overflow is much quicker than a call for each number.
    parse_float = _finite if _MAYBE_TOO_BIG.search(text) else None
    try:
        return json.loads(text, parse_float=parse_float, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        if not text.startswith(("Inf", "-Inf", "-NaN"), error.pos):
            raise
    python_text, shifts = _with_python_words(text)
    try:
        return json.loads(python_text, parse_float=parse_float, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        shift = next((by for end, by in reversed(shifts) if end <= error.pos), 0)
        raise json.JSONDecodeError(error.msg, text, error.pos - shift) from None


def _with_python_words(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The text with its bare words as Python's parser knows them, and where, from then on, by how much it is longer."""
    pieces, shifts, done, shift, in_string = [], [], 0, 0, False
    for token in _TOKENS.finditer(text):
        if token[0] == '"':
            in_string = not in_string
        elif not in_string and token[0] in _PYTHON_WORDS:
            word = _PYTHON_WORDS[token[0]]
            pieces += [text[done : token.start()], word]
            done = token.end()
            shift += len(word) - len(token[0])
            shifts.append((done + shift, shift))
    return "".join([*pieces, text[done:]]), shifts


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"Number too big to be stored in double: {cut(text, _SHOWN)}")
    return value


def _bytes_before(text: str, place: int | None) -> int | None:
    return None if place is None else len(text[:place].encode())


def _parse_error(message: str, offset: int | None) -> ApiError:
    where = "" if offset is None else f" at offset: {offset}"
    return invalid(f"JSON Parse error: {message}{where}")


def _from_columns(value: Any, signature: Signature) -> dict[str, np.ndarray]:
    if not _is_object(value):
        value = {_only_input(signature): value}
    if missing := signature.inputs.keys() - value.keys():
        raise invalid(f"Missing named input: {sorted(missing)[0]} in 'inputs' object.")
    arrays = {}
    for name, spec in signature.inputs.items():
        try:
            arrays[name] = _with_rank(to_array(value[name], spec.dtype), spec)
        except ApiError as error:
            raise ApiError(error.code, f"Failed to process input [key: {name}]. Error: {error.message}") from None
    return arrays


def _with_rank(array: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """`[]` says nothing of the sizes after the batch's, so they are the signature's."""
    if array.shape != (0,) or not spec.shape:
        return array
    return array.reshape([0, *(size or 0 for size in spec.shape[1:])])


def _from_rows(instances: Any, signature: Signature) -> dict[str, np.ndarray]:
    if not isinstance(instances, list) or not instances:
        raise invalid("'instances' is not a non-empty list")
    if _is_object(instances[0]):
        for position, element in enumerate(instances):
            _check_names(position, element, signature)
        columns = {name: [element[name] for element in instances] for name in signature.inputs}
    else:
        columns = {_only_input(signature): instances}
    return {name: _batch(columns[name], name, spec.dtype) for name, spec in signature.inputs.items()}


def _check_names(position: int, element: Any, signature: Signature) -> None:
    if not _is_object(element):
        raise _element_error(position, None, f"expected an object as the elements before, got {_shown(element)}")
    if missing := signature.inputs.keys() - element.keys():
        raise _element_error(position, sorted(missing)[0], "the input is missing")
    if extra := element.keys() - signature.inputs.keys():
        raise _element_error(position, sorted(extra)[0], f"no such input; expected {', '.join(signature.inputs)}")


def _batch(values: list[Any], name: str, dtype: str) -> np.ndarray:
    try:
        return to_array(values, dtype)
    except ApiError:
        raise _first_wrong(values, name, dtype) from None


def _first_wrong(values: list[Any], name: str, dtype: str) -> ApiError:
    """The error of the first element that cannot be read or has not the first one's shape."""
    position, end = 0, len(values)  # it is among these; half of them at a time are read, as each by itself would take too long
    while end - position > 1:
        middle = (position + end) // 2
        if _fit([values[0], *values[position:middle]], dtype):
            position = middle
        else:
            end = middle
    try:
        shape = to_array(values[position], dtype).shape
        expected = to_array(values[0], dtype).shape
    except ApiError as error:
        return _element_error(position, name, error.message)
    if shape != expected:
        return _element_error(position, name, f"expected shape {list(expected)} as the first element's, got {list(shape)}")
    return invalid(f"'instances' list [key: {name}] is nested too deeply")


def _fit(values: list[Any], dtype: str) -> bool:
    try:
        to_array(values, dtype)
    except ApiError:
        return False
    return True


def _element_error(position: int, name: str | None, message: str) -> ApiError:
    key = f" [key: {name}]" if name else ""
    return invalid(f"Failed to process element: {position}{key} of 'instances' list. Error: {message}")


def _only_input(signature: Signature) -> str:
    if len(signature.inputs) != 1:
        names = ", ".join(signature.inputs)
        raise invalid(f"the signature has {len(signature.inputs)} inputs ({names}); give an object of name to value")
    return next(iter(signature.inputs))


def _is_object(value: Any) -> bool:
    """Whether a value names inputs; `{"b64": ..}` is a string."""
    return isinstance(value, dict) and value.keys() != {"b64"}


def _flatten(value: Any) -> tuple[tuple[int, ...], list[Any]]:
    """The shape and, in C order, what is not a list."""
    shape: list[int] = []
    first = value
    while isinstance(first, list):
        shape.append(len(first))
        first = first[0] if first else None
    if len(shape) > _MAX_RANK:
        raise invalid(f"a list nested {len(shape)} deep; expected at most {_MAX_RANK}")
    items = [value]
    for size in shape:
        if set(map(type, items)) - {list} or set(map(len, items)) - {size}:
            wrong = next(item for item in items if not isinstance(item, list) or len(item) != size)
            raise invalid(f"Encountered list at unexpected size or depth: {_shown(wrong)}; expected size {size}")
        items = items[0] if len(items) == 1 else list(chain.from_iterable(items))
    return tuple(shape), items


def _check_types(items: Sequence[Any], allowed: set[type], dtype: str) -> None:
    if set(map(type, items)) <= allowed:
        return
    wrong = next(item for item in items if type(item) not in allowed)
    raise _type_error(wrong, dtype)


def _type_error(value: Any, dtype: str) -> ApiError:
    return invalid(f"JSON Value: {_shown(value)} Type: {kind_name(value)} is not of expected type: {dtype[3:].lower()}")


def _floats(items: Sequence[Any], dtype: str) -> np.ndarray:
    _check_types(items, {int, float}, dtype)
    with np.errstate(over="ignore"):
        try:
            return np.array(items, np.float64).astype(_FLOATS[dtype])
        except OverflowError:
            raise invalid("Number too big to be stored in double") from None


def _integers(items: Sequence[Any], dtype: str) -> np.ndarray:
    _check_types(items, {int}, dtype)
    kind, accepted = _INTEGERS[dtype]
    limits = np.iinfo(accepted)
    if items and not (limits.min <= min(items) and max(items) <= limits.max):
        raise _type_error(next(item for item in items if not limits.min <= item <= limits.max), dtype)
    return np.array(items, accepted).astype(kind)


def _bytes(item: str | dict[str, Any]) -> bytes:
    try:
        if isinstance(item, str):
            return item.encode("utf-8")
    except UnicodeEncodeError:
        raise invalid(f"JSON Value: {_shown(item)} is not valid Unicode") from None
    encoded = item.get("b64")
    if len(item) != 1 or not isinstance(encoded, str):
        raise _type_error(item, "DT_STRING")
    try:
        compact = "".join(encoded.split())
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid(f"Unable to base64 decode: {cut(encoded, _SHOWN)}") from None


def _shown(value: Any) -> str:
    """The beginning of a value as JSON, however large it is."""
    text = ""
    try:
        for piece in json.JSONEncoder().iterencode(value):
            text += piece[: _SHOWN + 1]
            if len(text) > _SHOWN:
                break
    except RecursionError:
        return "a deeply nested value"
    return cut(text, _SHOWN)
