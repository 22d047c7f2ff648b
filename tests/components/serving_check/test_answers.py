from __future__ import annotations

import math

import numpy as np
import pytest

from components.serving_check.answers import Comparison, compare


def floats(*values: float) -> dict[str, np.ndarray]:
    return {"scores": np.array(values, np.float32)}


def test_the_largest_difference_counts() -> None:
    assert compare({"scores": [0.5, 1.25, -2.0]}, floats(0.5, 1.0, -2.5)) == Comparison(0.5, finite=True)


def test_the_worst_of_several_outputs_counts() -> None:
    expected = {"a": np.array([1.0]), "b": np.array(2)}
    assert compare({"a": [1.5], "b": 4}, expected).difference == 2.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_the_same_value_that_is_not_finite_is_no_difference_but_is_told(value: float) -> None:
    assert compare({"scores": [value]}, floats(value)) == Comparison(0.0, finite=False)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_not_finite_in_place_of_a_number_has_no_distance(value: float) -> None:
    assert compare({"scores": [value]}, floats(1.0)) == Comparison(None, finite=False)
    assert compare({"scores": [1.0]}, floats(value)) == Comparison(None, finite=True)


def test_other_names_shapes_or_types_have_no_distance() -> None:
    assert compare({"other": [1.0]}, floats(1.0)).difference is None
    assert compare({"scores": [1.0, 2.0]}, floats(1.0)).difference is None
    assert compare({"scores": ["1.0"]}, floats(1.0)).difference is None


def test_lists_that_are_no_tensor_are_an_error() -> None:
    with pytest.raises(ValueError):
        compare({"scores": [[1.0], [2.0, 3.0]]}, floats(1.0))


def test_strings_are_equal_or_not() -> None:
    expected = {"label": np.array([b"rose\0", b"\xff"], object)}
    assert compare({"label": ["rose\0", b"\xff"]}, expected) == Comparison(0.0, finite=True)
    assert compare({"label": ["rose\0", "\udcff"]}, expected).difference == 0.0
    assert compare({"label": ["rose", b"\xff"]}, expected).difference is None


def test_integers_beyond_the_precision_of_floats_are_compared() -> None:
    assert compare({"count": np.array([7], np.int64)}, {"count": np.array([9], np.int64)}).difference == 2.0
