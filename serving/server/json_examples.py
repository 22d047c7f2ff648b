"""The body of a REST classify or regress: JSON to tf.Examples and answers to JSON, as in the real server's json_tensor.cc."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from serving import protocol
from serving.server import classify_regress, json_answer, json_request
from serving.server.status import invalid

_Example = protocol.message("tensorflow.Example")
_INT64 = range(-(2**63), 2**63)
# Kinds of a feature's values, and the list of tf.train.Feature that takes them.
_LISTS = {int: "int64_list", bool: "int64_list", float: "float_list", str: "bytes_list", dict: "bytes_list"}


def examples(body: Mapping[str, Any]) -> np.ndarray:
    """The serialized tf.Examples [N] of a request's `examples`, each behind its `context`, whose features it overrides.

    A number with a point or an exponent is a float, other numbers and booleans are int64, a string or `{"b64": ..}` is bytes.

    Raises:
      ApiError: INVALID_ARGUMENT.
    """
    context = _serialized(body["context"]) if "context" in body else b""
    given = body.get("examples")
    if "examples" not in body:
        raise invalid("When method is classify or regress, key 'examples' is expected and was not found")
    if not isinstance(given, list):
        raise invalid("Expecting 'examples' value to be a list")
    if not given:
        raise invalid("'examples' value is an empty list")
    classify_regress.check_count(len(given), len(context))
    return classify_regress.serialized([context + _serialized(example) for example in given])


def answer(method: str, outputs: Mapping[str, np.ndarray], count: int) -> str:
    """The body of the reply to `count` examples: `{"results": [[["label", score], ..], ..]}` or `{"results": [value, ..]}`.

    Raises:
      ApiError: the outputs are no such answer.
    """
    if method == classify_regress.REGRESS:
        return _results(json_answer.floats(classify_regress.values(outputs, count)))
    labels, scores = classify_regress.labels_and_scores(outputs, count)
    texts = iter(json_answer.floats(scores.reshape(-1)))
    return _results([_list([f"[{json.dumps(label, ensure_ascii=False)}, {next(texts)}]" for label in row]) for row in labels])


def _results(texts: list[str]) -> str:
    return f'{{"results": {_list(texts)}}}'


def _list(texts: list[str]) -> str:
    return f"[{', '.join(texts)}]"


def _serialized(value: Any) -> bytes:
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {json_request.kind_name(value)}")
    example = _Example()
    try:
        for name, content in value.items():
            _fill(example.features.feature[name], name, content if isinstance(content, list) else [content])
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can write
        raise invalid("the name of a feature is not valid Unicode") from None
    return example.SerializeToString()


def _fill(feature: Any, name: str, values: list[Any]) -> None:
    """Sets a feature to values that must all go into the same list; none leaves it empty."""
    for value in values:
        if type(value) not in _LISTS or (isinstance(value, dict) and value.keys() != {"b64"}):
            raise invalid(f"Feature: {name} has element with unexpected JSON type: {json_request.kind_name(value)}")
    kinds = sorted({_LISTS[type(value)] for value in values})
    if len(kinds) > 1:
        raise invalid(f"Unexpected element type in feature: {name} expecting type: one of {' and '.join(kinds)}, got both")
    if kinds:
        getattr(feature, kinds[0]).value.extend(_READ[kinds[0]](name, values))


def _integers(name: str, values: list[Any]) -> list[Any]:
    if wrong := [value for value in values if value not in _INT64]:
        raise invalid(f"Feature: {name} has an element outside of int64: {str(wrong[0])[:40]}. Only int64_t is supported.")
    return values


def _bytes(name: str, values: list[Any]) -> list[Any]:
    return json_request.to_array(values, "DT_STRING").tolist()


_READ: dict[str, Callable[[str, list[Any]], list[Any]]] = {
    "int64_list": _integers,
    "float_list": lambda _, values: values,
    "bytes_list": _bytes,
}
