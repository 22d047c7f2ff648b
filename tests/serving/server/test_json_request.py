import json
import math
import re
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.server.json_request import inputs, inputs_of, parse_object, parse_quickly, signature_name, to_array
from serving.server.signature import Signature, TensorSpec
from serving.server.status import ApiError

ONE = Signature("one", {"x": TensorSpec("DT_FLOAT", (None,))}, {})
TWO = Signature("two", {"s": TensorSpec("DT_STRING", (None,)), "x": TensorSpec("DT_FLOAT", (None, 2))}, {})


def refusal(function, *arguments) -> ApiError:
    with pytest.raises(ApiError) as caught:
        function(*arguments)
    return caught.value


def arrays(body, signature: Signature = ONE) -> dict[str, np.ndarray]:
    return inputs(parse_object(json.dumps(body).encode()), signature)[0]


def test_rows_of_plain_values_are_a_batch_of_the_only_input() -> None:
    found, row_format = inputs({"instances": [1, 2.5]}, ONE)
    assert row_format
    assert found["x"].dtype == np.float32
    assert found["x"].tolist() == [1, 2.5]


def test_rows_of_objects_are_batches_by_name() -> None:
    found = arrays({"instances": [{"s": "ä", "x": [1, 2]}, {"s": {"b64": "/w=="}, "x": [3, 4]}]}, TWO)
    assert found["s"].tolist() == ["ä".encode(), b"\xff"]
    assert found["x"].tolist() == [[1, 2], [3, 4]]


def test_columns_are_by_name_or_plain_and_names_nobody_asked_for_are_ignored() -> None:
    assert arrays({"inputs": [1, 2]})["x"].tolist() == [1, 2]
    assert arrays({"inputs": {"x": 5}})["x"].shape == ()
    found, row_format = inputs({"inputs": {"s": ["a"], "x": [[1, 2]], "more": {"a": 1}}}, TWO)
    assert not row_format
    assert sorted(found) == ["s", "x"]


def test_an_empty_column_is_a_batch_of_none_in_the_shape_of_the_signature() -> None:
    found = arrays({"inputs": {"s": [], "x": []}}, TWO)
    assert (found["s"].shape, found["x"].shape) == ((0,), (0, 2))


def test_a_base64_object_is_a_plain_value() -> None:
    strings = Signature("strings", {"s": TensorSpec("DT_STRING", (None,))}, {})
    assert arrays({"instances": [{"b64": "AAE="}, {"b64": ""}]}, strings)["s"].tolist() == [b"\x00\x01", b""]
    assert arrays({"inputs": {"b64": "AAE"}}, strings)["s"].tolist() == b"\x00\x01"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "Missing 'inputs' or 'instances' key"),
        ({"inputs": [1], "instances": [1]}, "Both 'inputs' and 'instances'"),
        ({"instances": []}, "non-empty list"),
        ({"instances": {"x": 1}}, "non-empty list"),
        (
            {"instances": [1, "a"]},
            "Failed to process element: 1 [key: x] of 'instances' list. Error: JSON Value: \"a\" Type: String",
        ),
        ({"instances": [1, {"x": 1}]}, "element: 1 [key: x]"),
        ({"instances": [{"x": 1}, 2]}, "element: 1 of"),
        ({"instances": [{"y": 1}]}, "element: 0 [key: x] of 'instances' list. Error: the input is missing"),
        ({"instances": [{"x": 1, "y": 1}]}, "element: 0 [key: y] of 'instances' list. Error: no such input; expected x"),
        ({"instances": [[1], [1, 2]]}, "element: 1 [key: x] of 'instances' list. Error: expected shape [1]"),
        ({"instances": [[1, 2], [1, [2]]]}, "element: 1 [key: x]"),
        ({"instances": [None]}, "Null is not of expected type: float"),
        ({"instances": [True]}, "Boolean is not of expected type: float"),
        ({"instances": [{"b64": "AAE="}]}, "Object is not of expected type: float"),
        ({"inputs": {"y": [1]}}, "Missing named input: x"),
        ({"inputs": {"x": [1, [2]]}}, "Failed to process input [key: x]. Error: JSON Value: [2] Type: Array"),
        ({"inputs": {"x": [[1, 2], [3]]}}, "Encountered list at unexpected size or depth: [3]; expected size 2"),
    ],
)
def test_what_does_not_fit_is_named(body, said: str) -> None:
    error = refusal(arrays, body)
    assert error.http_status == 400
    assert said in error.message


def test_plain_values_cannot_feed_several_inputs() -> None:
    assert "the signature has 2 inputs (s, x)" in refusal(arrays, {"instances": [1]}, TWO).message
    assert "the signature has 2 inputs (s, x)" in refusal(arrays, {"inputs": [1]}, TWO).message


@pytest.mark.parametrize(
    ("value", "dtype", "fits"),
    [
        (1, "DT_INT64", True),
        (1.0, "DT_INT64", False),
        (2**63 - 1, "DT_INT64", True),
        (2**63, "DT_INT64", False),
        (-(2**31), "DT_INT32", True),
        (2**31, "DT_INT32", False),
        (2**64 - 1, "DT_UINT64", True),
        (-1, "DT_UINT64", False),
        (2**32, "DT_UINT32", False),
        (300, "DT_UINT8", True),
        (2**31, "DT_INT8", False),
        (True, "DT_INT32", False),
        (True, "DT_BOOL", True),
        (1, "DT_BOOL", False),
        (3, "DT_DOUBLE", True),
        ("a", "DT_STRING", True),
        ({"b64": "A"}, "DT_STRING", False),
        ({"b64": "AA=A"}, "DT_STRING", False),
        ({"b64": 1}, "DT_STRING", False),
        ({"b64": "AA==", "more": 1}, "DT_STRING", False),
        ("\ud800", "DT_STRING", False),
        (10**400, "DT_FLOAT", False),
    ],
)
def test_a_number_must_have_the_form_and_range_of_its_type(value, dtype: str, fits: bool) -> None:
    if fits:
        assert to_array([value], dtype).shape == (1,)
    else:
        assert refusal(to_array, [value], dtype).code == "INVALID_ARGUMENT"


def test_a_narrow_integer_wraps_as_in_the_real_server() -> None:
    assert to_array([300, -1], "DT_UINT8").tolist() == [44, 255]


def test_a_type_without_a_json_form_is_unimplemented_in_columns_and_invalid_in_rows() -> None:
    half = Signature("half", {"x": TensorSpec("DT_HALF", (None,))}, {})
    assert refusal(arrays, {"inputs": [1]}, half).http_status == 501
    assert refusal(arrays, {"instances": [1]}, half).http_status == 400


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (b"[NaN, Infinity, -Infinity]", [math.nan, math.inf, -math.inf]),
        (b"[Inf, -Inf, -NaN, 1]", [math.inf, -math.inf, math.nan, 1]),
        (b'["-Inf \\" NaN", Inf]', ['-Inf " NaN', math.inf]),
    ],
)
def test_bare_words_are_numbers(text: bytes, values: list) -> None:
    np.testing.assert_equal(parse_object(b'{"inputs": ' + text + b"}")["inputs"], values)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "The document is empty"),
        (b" \n", "The document is empty"),
        (b"{,}", "at offset: 1"),
        ('{"ä": [1,]}'.encode(), "at offset: 10"),
        (b'{"a": Inf, "b": [Inf, x]}', "at offset: 22"),
        (b'{"a": 1} 2', "at offset: 9"),
        (b'{"a": nan}', "at offset: 6"),
        (b'{"a": Infinit}', "at offset: 9"),
        (b'{"a": "\xff"}', "Invalid encoding in string. at offset: 7"),
        (b'{"a": 1e999}', "Number too big"),
        (b'{"a": ' + b"9" * 5000 + b"}", "JSON Parse error"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[1]", "is not an object"),
        (b"1", "is not an object"),
    ],
)
def test_what_is_not_a_json_object_is_refused_with_its_place(body: bytes, said: str) -> None:
    error = refusal(parse_object, body)
    assert error.http_status == 400
    assert said in error.message


def test_the_signature_name_is_a_string_and_empty_is_the_default() -> None:
    assert signature_name({}) == signature_name({"signature_name": ""}) == "serving_default"
    assert signature_name({"signature_name": "other"}) == "other"
    assert "must be a string" in refusal(signature_name, {"signature_name": 1}).message


def test_a_large_offending_value_is_cut() -> None:
    assert len(refusal(arrays, {"instances": ["a" * 10_000]}).message) < 500
    deep: list = [1]
    for _ in range(900):
        deep = [deep]
    assert len(refusal(inputs, {"instances": [1, deep]}, ONE).message) < 500


@pytest.mark.parametrize("place", [0, 1, 77_777, 299_999])
def test_the_wrong_one_of_very_many_is_named_without_reading_each_by_itself(place: int) -> None:
    for wrong, said in (("a", "String is not of expected type: float"), ([1], "expected shape [] as the first element's")):
        values = [1.0] * 300_000
        values[place] = wrong
        started = time.process_time()
        message = refusal(inputs, {"instances": values}, ONE).message
        assert time.process_time() - started < 1
        assert "element: 1 " in message if (place, wrong) == (0, [1]) else f"element: {place} " in message and said in message


def test_only_integers_over_64_bits_are_read_once_more_for_their_words() -> None:
    signature = Signature("s", {"x": TensorSpec("DT_INT64", None)}, {})
    body = b'{"inputs": [18446744073709551616]}'
    assert "18446744073709551616" in refusal(inputs_of, parse_quickly(body), signature, body).message
    assert "String" in refusal(inputs_of, {"inputs": ["a"]}, signature, b"not read").message


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["b64", "x", "s"]), inner),
    )
)
def test_any_value_is_taken_or_refused(value) -> None:
    for key in ("instances", "inputs"):
        for signature in (ONE, TWO):
            try:
                found, _ = inputs({key: value}, signature)
            except ApiError as error:
                assert error.code == "INVALID_ARGUMENT"
            else:
                assert found.keys() == signature.inputs.keys()


@given(
    st.recursive(
        st.integers(-(2**70), 2**70)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.sampled_from([-0.0, 1e308, 10**30]),
        lambda inner: st.lists(inner, min_size=1, max_size=3),
        max_leaves=6,
    ),
    st.sampled_from(["DT_FLOAT", "DT_DOUBLE", "DT_INT64", "DT_UINT64"]),
)
def test_the_fast_parser_reads_what_the_exact_one_reads(value, dtype: str) -> None:
    signature = Signature("any", {"x": TensorSpec(dtype, None)}, {})
    body = json.dumps({"inputs": value}).encode()
    try:
        expected = inputs(parse_object(body), signature)[0]["x"]
    except ApiError:
        with pytest.raises(ApiError):
            inputs(parse_quickly(body), signature)
    else:
        found = inputs(parse_quickly(body), signature)[0]["x"]
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype


def test_what_only_the_exact_parser_takes_is_taken_and_what_neither_takes_is_refused_in_its_words() -> None:
    np.testing.assert_equal(parse_quickly(b'{"a": [NaN, -Inf]}'), {"a": [math.nan, -math.inf]})
    assert parse_quickly(b'{"a": 1, "a": 2}') == parse_object(b'{"a": 1, "a": 2}')
    for body in (b"[1]", b'{"a": [1,]}', b"", b'{"a": 1e999}', b"[" * 100_000):
        assert refusal(parse_quickly, body).message == refusal(parse_object, body).message
    assert "lists and objects" in refusal(parse_quickly, b"[" * (1 << 22) + b"{}").message


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances": [1], "instances": [2]}',
        b'{"inputs": {"inputs": 1}, "inputs": {"x": 2}}',
        b'{"instances": [1], "signature_name": "a", "signature_name": "b"}',
        b'{"examples": [{"x": -Inf}], "examples": []}',
    ],
)
@pytest.mark.parametrize("parse", [parse_quickly, parse_object])
def test_a_key_that_is_given_twice_is_refused(parse, body: bytes) -> None:
    refused = refusal(parse, body)
    assert refused.code == "INVALID_ARGUMENT"
    assert re.search("the key '(instances|inputs|signature_name|examples)' is given more than once", refused.message)


@pytest.mark.parametrize(
    "text",
    ['{"inputs": {"inputs": [1]}}', '{"instances": [{"instances": 1}, {"instances": 2}], "signature_name": "instances"}'],
)
@pytest.mark.parametrize("parse", [parse_quickly, parse_object])
def test_a_key_may_be_the_name_of_an_input_too(parse, text: str) -> None:
    assert parse(text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'{"a": "\xc3\xbc 1e999 [[", "b": [1, 1e999]}', 30),
        (b'{"a": "[[[", "b": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 18 + 99_999),
        (b'{"b": ' + b"[" * 100_000, 6 + 99_999),
    ],
)
def test_too_big_and_too_deep_have_their_place(body: bytes, place: int) -> None:
    with pytest.raises(ApiError, match=rf"JSON Parse error: .* at offset: {place}$"):
        parse_quickly(body)
