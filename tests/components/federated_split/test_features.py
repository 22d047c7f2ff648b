"""One scalar feature out of serialized tf.Examples."""

import numpy as np

from components.federated_split.features import number_texts, numbers_of, scalar_texts


def test_numbers_survive_as_texts(make_example) -> None:
    values = np.float32([0.1, -1e38, 3e-45, 0.0]).tolist()
    texts, kinds = number_texts([make_example(age=value) for value in values], "age")
    assert (numbers_of(texts).tolist(), dict(kinds)) == (values, {"real": 4})
    texts, kinds = number_texts([make_example(age=value) for value in (-7, 2**53)], "age")
    assert (numbers_of(texts).tolist(), dict(kinds)) == ([-7.0, 2.0**53], {"integer": 2})


def test_what_is_no_number_is_counted_by_what_it_is(make_example) -> None:
    values = [1.0, float("nan"), float("-inf"), b"x", 3, None, [1.0, 2.0]]
    _, kinds = number_texts([*(make_example(age=value, x=1) for value in values), b"\xffnonsense"], "age")
    assert dict(kinds) == {
        "real": 1,
        "not_finite": 2,
        "not_a_number": 1,
        "integer": 1,
        "missing": 1,
        "several": 1,
        "unreadable": 1,
    }


def test_a_batch_that_failed_leaves_nothing_to_the_next(make_example) -> None:
    assert scalar_texts([make_example(age=4), make_example(age=b"x")], "age")[0].to_pylist() == ["4", "x"]
    assert scalar_texts([make_example(age=5)] * 2, "age")[0].to_pylist() == ["5", "5"]
    number_texts([make_example(age=1.0), make_example(age=b"x")], "age")
    texts, kinds = number_texts([make_example(age=2.5)] * 3, "age")
    assert (numbers_of(texts).tolist(), dict(kinds)) == ([2.5] * 3, {"real": 3})
