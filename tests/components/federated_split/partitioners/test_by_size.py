import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.federated_split.partitioners.allocation import equal_parts, largest_remainder
from components.federated_split.partitioners.by_size import proportional
from errors import DataError


@given(st.integers(1, 400), st.integers(1, 60), st.integers(0, 2**32))
def test_iid_sizes_differ_by_at_most_one(allot, examples, clients, seed) -> None:
    clients = min(clients, examples)
    allocation = allot("iid", [examples], seed, clients=clients)
    assert len(allocation.clients) == clients
    assert np.ptp(allocation.sizes) <= 1


@given(st.lists(st.integers(1, 30), min_size=1, max_size=30))
def test_given_sizes_are_the_sizes(allot, sizes) -> None:
    assert allot("sizes", [sum(sizes)], sizes=sizes).sizes.tolist() == sizes


@given(st.lists(st.integers(1, 100), min_size=1, max_size=30), st.integers(30, 10**6))
def test_given_fractions_are_met_within_one_example(allot, parts, examples) -> None:
    fractions = np.array(parts) / sum(parts)
    np.testing.assert_allclose(allot("sizes", [examples], sizes=fractions.tolist()).sizes, fractions * examples, atol=1 + 1e-6)


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [("linear", [1, 2, 3, 4]), ("square", [1, 4, 9, 16]), ("exponential", np.exp([1, 2, 3, 4]))],
)
def test_sizes_follow_the_number_of_the_client(strategy, expected, allot) -> None:
    sizes = allot(strategy, [100_000], clients=4).sizes
    np.testing.assert_allclose(sizes, 100_000 * np.array(expected) / np.sum(expected), atol=1)


def test_exponential_sizes_do_not_overflow(allot) -> None:
    sizes = allot("exponential", [10**6], clients=5000).sizes
    assert sizes.min() == 1
    np.testing.assert_allclose(sizes[-1] / sizes[-2], np.e, rtol=1e-3)


def test_lognormal_sizes_have_the_deviation_asked_for(allot) -> None:
    sizes = allot("lognormal", [10**9], clients=20_000, sigma=0.7).sizes
    np.testing.assert_allclose(np.log(sizes).std(), 0.7, rtol=0.03)
    assert np.ptp(allot("lognormal", [1001], clients=10, sigma=0).sizes) <= 1


@settings(deadline=None)
@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=30).filter(lambda weights: sum(weights) > 1e-6),
    st.integers(0, 5),
    st.integers(0, 10**6),
)
def test_nobody_gets_less_than_the_least_and_the_others_share_in_proportion(weights, least, more) -> None:
    weights, total = np.array(weights), least * len(weights) + more
    shares = proportional(weights, total, least)
    assert shares.sum() == total
    assert shares.min() >= least
    above = shares > least + 1
    if above.sum() > 1:
        per_weight = shares[above] / weights[above]
        np.testing.assert_allclose(shares[above], per_weight.mean() * weights[above], atol=2, rtol=1 / shares[above].min())


@given(st.lists(st.floats(1e-9, 1), min_size=1, max_size=30), st.integers(0, 10**9))
def test_largest_remainder_adds_up_and_stays_within_one_of_the_quota(weights, total) -> None:
    proportions = np.array(weights) / np.sum(weights)
    shares = largest_remainder(proportions, total)
    assert shares.sum() == total
    assert (shares >= 0).all()
    np.testing.assert_allclose(shares, proportions * total, atol=1 + 1e-6)


def test_largest_remainder_takes_back_what_rounding_gave_too_much() -> None:
    assert largest_remainder(np.array([0.5, 0.5 + 1e-12]), 10**13).sum() == 10**13


def test_largest_remainder_takes_rows_as_it_takes_each() -> None:
    rows, totals = np.random.default_rng(0).dirichlet(np.ones(7), size=20), np.arange(20) * 13
    together = largest_remainder(rows, totals)
    np.testing.assert_array_equal(together, [largest_remainder(row, int(n)) for row, n in zip(rows, totals, strict=True)])


@given(st.integers(0, 10**12), st.integers(1, 1000))
def test_equal_parts_add_up_and_differ_by_at_most_one(total, parts) -> None:
    sizes = equal_parts(total, parts)
    assert sizes.sum() == total
    assert np.ptp(sizes) <= 1


@pytest.mark.parametrize(
    ("strategy", "parameters", "message"),
    [
        ("iid", {"clients": 101}, r"at most as many clients as training examples \(100\), got 101"),
        ("linear", {"clients": 101, "min_examples": 0}, "got 101; use fewer clients"),
        ("linear", {"clients": 50, "min_examples": 3}, "at least 3 examples for each of 50 clients, got 100 examples in all"),
        ("lognormal", {"clients": 51, "sigma": 1.0, "min_examples": 2}, "at least 2 examples for each of 51 clients"),
        ("sizes", {"sizes": [50, 49]}, "add up to the 100 training examples, got 99; change them, or give fractions"),
        ("sizes", {"sizes": [50, 51]}, "add up to the 100 training examples, got 101"),
        ("sizes", {"sizes": [0.5, 0.4]}, r"add up to 1 \(fractions\), got 0.9"),
        ("sizes", {"sizes": [2**63 - 1, 2**63 - 1, 102]}, f"add up to the 100 training examples, got {2**64 + 100}"),
        ("linear", {"clients": 10**13}, "got 10000000000000; use fewer clients"),
        ("square", {"clients": 10**13}, "got 10000000000000; use fewer clients"),
        ("exponential", {"clients": 10**13}, "got 10000000000000; use fewer clients"),
        ("lognormal", {"clients": 10**13, "sigma": 1.0}, "got 10000000000000; use fewer clients"),
        ("sizes", {"sizes": [1] * 101}, "got 101; use fewer clients"),
    ],
)
def test_sizes_that_cannot_be_are_refused_in_one_line(strategy, parameters, message, allot) -> None:
    with pytest.raises(DataError, match=message) as raised:
        allot(strategy, [100], **parameters)
    assert "\n" not in str(raised.value)
