import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from serving.server.json_answer import answer, floats
from serving.server.status import ApiError


def strings(*values: bytes) -> np.ndarray:
    return np.array(values, object)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4.1, "4.1"),
        (1, "1.0"),
        (100000, "100000.0"),
        (1e6, "1e+06"),
        (1 / 3, "0.333333343"),
        (1e-7, "1e-07"),
        (16777216, "16777216.0"),
        (-0.0, "-0.0"),
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
    ],
)
def test_a_float_is_written_as_short_as_its_type_allows(value: float, text: str) -> None:
    assert answer({"y": np.array(value, np.float32)}, row_format=False) == f'{{"outputs": {text}}}'


def test_a_double_keeps_its_digits() -> None:
    assert json.loads(answer({"y": np.array([1 / 3, 0.5])}, row_format=False)) == {"outputs": [1 / 3, 0.5]}


@given(
    st_numpy.arrays(np.float32, st_numpy.array_shapes(min_dims=0, min_side=0), elements=st.floats(width=32, allow_nan=False))
)
def test_every_float_and_shape_comes_back(array: np.ndarray) -> None:
    read = json.loads(answer({"y": array}, row_format=False))["outputs"]
    back = np.array(read, np.float32)
    np.testing.assert_array_equal(back.reshape(array.shape), array)
    if array.ndim:
        rows = json.loads(answer({"y": array}, row_format=True))["predictions"]
        assert rows == read


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(st.data())
def test_many_numbers_are_written_as_each_by_itself(dtype, data) -> None:
    width = np.dtype(dtype).itemsize * 8
    some = data.draw(st.lists(st.floats(width=width) | st.integers(-(10**12), 10**12), min_size=1, max_size=20))
    array = np.array((some * 64)[:64], dtype)
    assert floats(array) == [text for value in array for text in floats(value.reshape(1))]


def test_integers_and_booleans_are_bare() -> None:
    outputs = {"a": np.array([2**63 - 1]), "b": np.array([True]), "c": np.array([2**64 - 1], np.uint64)}
    assert answer(outputs, row_format=True) == (
        '{"predictions": [{"a": 9223372036854775807, "b": true, "c": 18446744073709551615}]}'
    )


def test_strings_are_text_unless_the_name_says_bytes() -> None:
    outputs = {"label": strings('hä"'.encode()), "code_bytes": strings(b"\xff\x00")}
    assert json.loads(answer(outputs, row_format=True)) == {"predictions": [{"label": 'hä"', "code_bytes": {"b64": "/wA="}}]}
    with pytest.raises(ApiError, match="not UTF-8"):
        answer({"label": strings(b"\xff")}, row_format=True)


def test_rows_need_one_first_dimension_for_all_outputs() -> None:
    with pytest.raises(ApiError, match="y has no shape information"):
        answer({"y": np.array(1.0)}, row_format=True)
    with pytest.raises(ApiError, match="z has inconsistent batch size: 2 expecting: 1"):
        answer({"y": np.zeros(1), "z": np.zeros(2)}, row_format=True)


def test_columns_are_bare_or_by_name() -> None:
    assert answer({"y": np.zeros([0, 3])}, row_format=False) == '{"outputs": []}'
    assert json.loads(answer({"y": np.zeros([2, 0]), "z": np.array(1)}, row_format=False)) == {
        "outputs": {"y": [[], []], "z": 1}
    }


def test_a_type_without_a_json_form_is_unimplemented() -> None:
    with pytest.raises(ApiError) as caught:
        answer({"y": np.zeros(1, np.float16)}, row_format=True)
    assert caught.value.http_status == 501
