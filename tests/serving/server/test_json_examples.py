import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.server import json_examples, json_request
from serving.server.classify_regress import CLASSIFY, REGRESS
from serving.server.status import ApiError


def read(text: str) -> list[tf.train.Example]:
    return [tf.train.Example.FromString(one) for one in json_examples.examples(json_request.parse_object(text.encode()))]


def example(**features: tf.train.Feature) -> tf.train.Example:
    return tf.train.Example(features=tf.train.Features(feature=features))


def floats(*values: float) -> tf.train.Feature:
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def ints(*values: int) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def texts(*values: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


@pytest.mark.parametrize(
    ("value", "feature"),
    [
        ("1.0", floats(1)),
        ("1e2", floats(100)),
        ("[0.5, -2.0]", floats(0.5, -2)),
        ("Infinity", floats(float("inf"))),
        ("1", ints(1)),
        ("[1, -9223372036854775808, 9223372036854775807]", ints(1, -(2**63), 2**63 - 1)),
        ("[true, false, 7]", ints(1, 0, 7)),
        ('"ö"', texts("ö".encode())),
        ('{"b64": "/wA="}', texts(b"\xff\x00")),
        ('["a", {"b64": ""}]', texts(b"a", b"")),
        ("[]", tf.train.Feature()),
    ],
)
def test_the_token_tells_the_features_kind(value: str, feature: tf.train.Feature) -> None:
    assert read(f'{{"examples": [{{"x": {value}}}]}}') == [example(x=feature)]


def test_the_examples_feature_wins_over_the_contexts() -> None:
    body = '{"context": {"x": 1, "y": "c"}, "examples": [{"x": 2}, {}, {"y": 0.5, "z": true}]}'
    assert [dict(one.features.feature) for one in read(body)] == [
        {"x": ints(2), "y": texts(b"c")},
        {"x": ints(1), "y": texts(b"c")},
        {"x": ints(1), "y": floats(0.5), "z": ints(1)},
    ]


def test_few_bytes_cannot_become_very_many_examples_or_copies_of_a_context() -> None:
    with pytest.raises(ApiError, match="100001 examples; expected at most 100000"):
        json_examples.examples({"examples": [{}] * 100_001})
    with pytest.raises(ApiError, match="bytes would be copied to 1000 examples"):
        json_examples.examples({"context": {"x": "x" * 100_000}, "examples": [{}] * 1000})
    with pytest.raises(ApiError, match="lists and objects"):
        read('{"x": [' + "{}," * (1 << 22) + '{}], "examples": []}')


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("{}", "key 'examples' is expected and was not found"),
        ('{"examples": {}}', "Expecting 'examples' value to be a list"),
        ('{"examples": []}', "'examples' value is an empty list"),
        ('{"examples": [1]}', "Example must be JSON object but got JSON Number"),
        ('{"examples": [{}], "context": []}', "Example must be JSON object but got JSON Array"),
        ('{"examples": [{"x": null}]}', "Feature: x has element with unexpected JSON type: Null"),
        ('{"examples": [{"x": [[1]]}]}', "Feature: x has element with unexpected JSON type: Array"),
        ('{"examples": [{"x": {"b64": "", "more": 1}}]}', "Feature: x has element with unexpected JSON type: Object"),
        ('{"examples": [{"x": {"b64": 1}}]}', "is not of expected type: string"),
        ('{"examples": [{"x": {"b64": "?"}}]}', "Unable to base64 decode"),
        ('{"examples": [{"x": [1, 1.0]}]}', "Unexpected element type in feature: x"),
        ('{"examples": [{"x": ["a", true]}]}', "Unexpected element type in feature: x"),
        ('{"examples": [{"x": 9223372036854775808}]}', "Only int64_t is supported"),
        ('{"examples": [{"x": -9223372036854775809}]}', "Only int64_t is supported"),
        ('{"examples": [{"x": "\\ud800"}]}', "not valid Unicode"),
        ('{"examples": [{"\\ud800": 1}]}', "not valid Unicode"),
    ],
)
def test_what_is_no_example_is_refused(body: str, said: str) -> None:
    with pytest.raises(ApiError, match=said) as caught:
        read(body)
    assert caught.value.code == "INVALID_ARGUMENT"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(["examples", "context"]), st.lists(JSON, max_size=2) | JSON))
def test_any_json_is_either_examples_or_refused(body) -> None:
    try:
        found = json_examples.examples(body)
    except ApiError as error:
        assert error.code == "INVALID_ARGUMENT"
    else:
        assert len(found) == len(body["examples"])
        for text in found:
            tf.train.Example.FromString(text)


def test_classes_are_pairs_of_label_and_score() -> None:
    outputs = {
        "classes": np.array([[b"a", 'ö"'.encode()], [b"c", b""]], object),
        "scores": np.array([[0.1, 1], [np.nan, 1 / 3]], np.float32),
    }
    text = json_examples.answer(CLASSIFY, outputs, 2)
    assert text == '{"results": [[["a", 0.1], ["ö\\"", 1.0]], [["c", NaN], ["", 0.333333343]]]}'


def test_labels_or_scores_alone_are_filled_up() -> None:
    only_classes = {"classes": np.array([[b"a"]], object)}
    assert json.loads(json_examples.answer(CLASSIFY, only_classes, 1)) == {"results": [[["a", 0.0]]]}
    only_scores = {"scores": np.array([[0.5, 2]], np.float32)}
    assert json.loads(json_examples.answer(CLASSIFY, only_scores, 1)) == {"results": [[["", 0.5], ["", 2.0]]]}


@pytest.mark.parametrize("shape", [[2], [2, 1]])
def test_regressions_are_bare_values(shape: list[int]) -> None:
    outputs = {"outputs": np.array([4.1, -1e9], np.float32).reshape(shape)}
    assert json_examples.answer(REGRESS, outputs, 2) == '{"results": [4.1, -1e+09]}'
