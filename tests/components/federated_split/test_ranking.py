"""The order by a number: exact, and the same whatever the order and the files of the input."""

import math
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from components.federated_split import ranking
from components.federated_split.blocks import Clients
from components.federated_split.ranking import Score, moments
from errors import DataError
from lineage.digests import tree_digest

pytestmark = pytest.mark.slow  # each runs the split on Beam
HOW = {"strategy": "continuous", "feature": "age", "clients": 10}


def ages(uri: str) -> list[list[float]]:
    """The numbers of each client, in the order of the clients."""
    import tensorflow as tf

    clients = Clients.open(uri)
    spec = {"age": tf.io.FixedLenFeature([], tf.float32)}
    return [tf.io.parse_example(clients.examples(client), spec)["age"].numpy().tolist() for client in clients.ids]


@pytest.fixture
def records(make_example) -> list[bytes]:
    rng = np.random.default_rng(1)
    return [make_example(age=float(age), label=int(age) % 3) for age in rng.lognormal(3, 1, 605)]


@given(st.lists(st.one_of(st.floats(width=32, allow_nan=False, allow_infinity=False), st.integers(-(2**63), 2**63 - 1))))
@example([2.0**-149, 3e38, -3e38, 1.0, 2**63 - 1, -(2**63)] * 3)
def test_sums_are_exact(numbers) -> None:
    floats = np.array(numbers, dtype=np.float64)
    exact = [Fraction(value) for value in floats.tolist()]
    assert moments(floats) == (sum(exact), sum(value**2 for value in exact))


def test_sums_of_many_numbers_do_not_overflow() -> None:
    assert moments(np.full(3 * 10**5, 2.0**63)) == (3 * 10**5 * 2**63, 3 * 10**5 * 2**126)


def test_noise_is_standard_normal_and_independent_of_the_bits_that_order_examples() -> None:
    words = np.random.default_rng(0).integers(0, 2**64, (40_000, 4), dtype=np.uint64)
    noise = Score(0.0, 1.0, strictness=0.0).of(np.zeros(40_000), words)
    assert abs(noise.mean()) < 5 / 200
    assert noise.var() == pytest.approx(1, abs=5 * math.sqrt(2) / 200)
    assert abs(np.corrcoef(noise, words[:, 0].astype(float))[0, 1]) < 5 / 200
    extreme = np.array([[0] * 4, [2**64 - 1] * 4], dtype=np.uint64)
    assert np.isfinite(Score(0.0, 1.0, strictness=0.0).of(np.zeros(2), extreme)).all()


def test_strict_order_is_that_of_the_numbers_in_equal_parts(records, write_examples, divide) -> None:
    parts = ages(divide(write_examples(records), strictness=1, **HOW).uri)
    assert sorted(map(len, parts)) == [60] * 5 + [61] * 5
    assert all(max(lower) <= min(upper) for lower, upper in pairwise(parts))


@pytest.mark.slow
def test_strictness_0_is_iid_and_between_the_numbers_are_less_and_less_mixed(records, write_examples, divide) -> None:
    examples = write_examples(records)

    def spread_of_means(strictness: float) -> float:
        parts = ages(divide(examples, out=f"strictness {strictness}", strictness=strictness, **HOW).uri)
        logs = np.log(np.concatenate(parts))
        return float(np.std([np.log(part).mean() for part in parts]) / logs.std())

    spreads = [spread_of_means(strictness) for strictness in (0, 0.3, 0.6, 1)]
    assert spreads == sorted(spreads)
    assert spreads[0] < 4 / math.sqrt(60)
    assert spreads[-1] > 0.9


@pytest.mark.parametrize("sample", [100, ranking.SAMPLE])
def test_order_and_files_of_the_input_do_not_show(sample, records, write_examples, divide, monkeypatch) -> None:
    monkeypatch.setattr(ranking, "SAMPLE", sample)
    first = divide(write_examples(records, name="one"), out="first", strictness=0.5, **HOW)
    monkeypatch.setattr("components.federated_split.division._PARTITION_BYTES", 500)  # Many digest ranges instead of one.
    second = divide(write_examples(records[::-1], files=4, name="four"), out="second", strictness=0.5, **HOW)
    assert tree_digest(first.uri) == tree_digest(second.uri)


def test_with_a_small_sample_examples_stay_near_their_place(records, write_examples, divide, monkeypatch) -> None:
    monkeypatch.setattr(ranking, "SAMPLE", 100)
    parts = ages(divide(write_examples(records), strictness=1, **HOW).uri)
    assert sorted(map(len, parts)) == [60] * 5 + [61] * 5
    place = np.argsort(np.argsort(np.concatenate(parts), kind="stable"))
    owner = np.repeat(np.arange(10), [len(part) for part in parts])
    off = np.abs(owner[place] - owner)
    assert off.max() == 1
    assert 0 < off.mean() < 0.1


def test_whole_numbers_and_ties_are_cut_exactly(make_example, write_examples, divide) -> None:
    examples = write_examples([make_example(age=number // 40) for number in range(100)], files=2)
    clients = Clients.open(divide(examples, strictness=1, label="age", **HOW).uri)
    assert [clients.num_examples(client) for client in clients.ids] == [10] * 10
    assert clients.labels(clients.ids[0]) == {"0": 10}
    assert clients.labels(clients.ids[-1]) == {"2": 10}


WRONG = {
    "missing": ([{"age": 1.0}] * 20 + [{"x": 1}], r"feature 'age' \(split parameter 'feature'\).*got none in 1 of 21"),
    "NaN": ([{"age": 1.0}] * 20 + [{"age": math.nan}] * 2, "expected finite numbers, got NaN or infinity in 2 of 22"),
    "infinite": ([{"age": 1.0}] * 20 + [{"age": -math.inf}], "expected finite numbers, got NaN or infinity in 1 of 21"),
    "text": ([{"age": b"old"}] * 20, "expected numbers, got text in 20 of 20"),
    "several": ([{"age": [1.0, 2.0]}] * 20, "one value per example, got several in 20 of 20"),
    "beyond float64": (
        [{"age": 2**53 + 1}] * 2 + [{"age": n} for n in range(20)],
        r"from -2\^53 to 2\^53, got others in 2 of 22",
    ),
    "far below": ([{"age": -(2**63)}] + [{"age": 1}] * 20, r"from -2\^53 to 2\^53, got others in 1 of 21"),
    "two types": ([{"age": 1.0}] * 15 + [{"age": 1}] * 5, "whole numbers in 5 and floats in 15 of 20"),
    "no difference": ([{"age": 4.0}] * 20, "expected different numbers to sort by, got the same one in all 20"),
    "few": ([{"age": 4.0}, {"age": 5.0}], r"at most as many clients as training examples \(2\), got 10"),
}


@pytest.mark.parametrize(("rows", "message"), WRONG.values(), ids=WRONG.keys())
def test_numbers_that_cannot_be_sorted_are_refused_in_one_line(
    rows, message, make_example, write_examples, divide, tmp_path
) -> None:
    with pytest.raises(DataError, match=message) as raised:
        divide(write_examples([make_example(**row) for row in rows]), strictness=0.5, **HOW)
    assert "\n" not in str(raised.value)
    assert list(Path(tmp_path, "federated").iterdir()) == []


def test_equal_numbers_are_no_matter_where_they_are_not_looked_at(make_example, write_examples, divide) -> None:
    examples = write_examples([make_example(age=4.0, x=number) for number in range(20)])
    assert [len(part) for part in ages(divide(examples, strictness=0, **HOW).uri)] == [2] * 10
