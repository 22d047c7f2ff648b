import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errors import DataError


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=6),
    st.integers(1, 20),
    st.floats(1e-6, 1e6),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_dirichlet_shares_out_every_label_completely(allot, table, counts, clients, alpha, balancing, seed) -> None:
    clients = min(clients, sum(counts))
    allocation = allot("dirichlet", counts, seed, clients=clients, alpha=alpha, min_examples=0, self_balancing=balancing)
    assert len(allocation.clients) == clients
    assert table(allocation, counts).sum(axis=1).tolist() == counts


def test_dirichlet_draws_until_every_client_has_the_least_number(allot) -> None:
    assert allot("dirichlet", [60] * 10, clients=10, alpha=0.5, min_examples=15).sizes.min() >= 15


@pytest.mark.parametrize(("clients", "alpha"), [(4, 0.5), (10, 0.1), (3, 5.0)])
def test_proportions_have_the_means_and_variances_of_the_distribution(clients, alpha, allot, table) -> None:
    labels = 2000
    counts = np.full(labels, 10**6)
    shares = table(allot("dirichlet", counts, clients=clients, alpha=alpha, min_examples=0), counts) / 10**6
    mean = 1 / clients
    variance = mean * (1 - mean) / (clients * alpha + 1)
    np.testing.assert_allclose(shares.mean(axis=0), mean, atol=5 * np.sqrt(variance / labels))
    np.testing.assert_allclose(shares.var(axis=0), variance, rtol=0.2)
    covariance = np.cov(shares.T)[np.triu_indices(clients, k=1)]
    np.testing.assert_allclose(covariance, -mean * mean / (clients * alpha + 1), atol=5 * variance / np.sqrt(labels))


def test_each_label_has_the_skew_of_its_own_alpha(allot, table) -> None:
    counts = np.full(2000, 10**6)
    alpha = [0.1] * 1000 + [10.0] * 1000
    shares = table(allot("dirichlet", counts, clients=5, alpha=alpha, min_examples=0), counts) / 10**6
    expected = [0.2 * 0.8 / (5 * a + 1) for a in (0.1, 10.0)]
    np.testing.assert_allclose([shares[:1000].var(axis=0), shares[1000:].var(axis=0)], np.outer(expected, np.ones(5)), rtol=0.2)


def test_an_alpha_may_be_given_under_its_label(allot) -> None:
    listed = allot("dirichlet", [50, 60], strata=["ant", "bee"], clients=3, alpha=[0.1, 9.0])
    named = allot("dirichlet", [50, 60], strata=["ant", "bee"], clients=3, alpha={"bee": 9.0, "ant": 0.1})
    np.testing.assert_array_equal(listed.size, named.size)


def test_self_balancing_stops_where_the_fair_share_is_reached(allot, table) -> None:
    counts = [600] * 10
    matrix = table(allot("dirichlet", counts, clients=10, alpha=0.3, min_examples=0, self_balancing=True), counts)
    reached = np.cumsum(matrix, axis=0)
    assert (matrix[1:][reached[:-1] >= 600] == 0).all()
    free = allot("dirichlet", counts, clients=10, alpha=0.3, min_examples=0)
    assert matrix.sum(axis=0).std() < free.sizes.std()


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=6),
    st.lists(st.integers(1, 9), min_size=1, max_size=9),
    st.floats(1e-2, 1e3),
    st.integers(0, 2**32),
)
def test_inner_dirichlet_has_the_sizes_given_and_gives_every_label_out(allot, table, counts, parts, alpha, seed) -> None:
    sizes = np.diff(np.cumsum([0, *parts]) * sum(counts) // sum(parts))
    sizes = sizes[sizes > 0].tolist()
    allocation = allot("inner_dirichlet", counts, seed, sizes=sizes, alpha=alpha)
    assert allocation.sizes.tolist() == sizes
    assert table(allocation, counts).sum(axis=1).tolist() == counts


def test_inner_proportions_have_the_variance_of_the_distribution(allot, table) -> None:
    clients, labels, alpha, size = 2000, 5, 0.5, 1000
    counts = np.full(labels, clients * size // labels)
    shares = table(allot("inner_dirichlet", counts, clients=clients, alpha=alpha), counts) / size
    mean = 1 / labels
    variance = mean * (1 - mean) / (labels * alpha + 1)
    np.testing.assert_allclose(shares.var(axis=1), variance, rtol=0.15)
    covariance = np.cov(shares)[np.triu_indices(labels, k=1)]
    np.testing.assert_allclose(covariance, -mean * mean / (labels * alpha + 1), atol=5 * variance / np.sqrt(clients))


def test_small_alpha_skews_labels_more_than_large_alpha(allot, table) -> None:
    counts = [1000] * 10

    def mean_largest_share(strategy: str, alpha: float) -> float:
        matrix = table(allot(strategy, counts, clients=10, alpha=alpha), counts)
        return float((matrix.max(axis=0) / matrix.sum(axis=0)).mean())

    for strategy in ("dirichlet", "inner_dirichlet"):
        assert mean_largest_share(strategy, 0.1) > 0.4 > 0.2 > mean_largest_share(strategy, 1000.0)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"clients": 31, "alpha": 1.0}, r"at most as many clients as training examples \(30\), got 31"),
        ({"clients": 10, "alpha": 1.0, "min_examples": 4}, "at least 4 examples for each of 10 clients.*smaller min_examples"),
        ({"clients": 15, "alpha": 0.01, "min_examples": 1}, "1000 Dirichlet draws with alpha 0.01.*larger alpha"),
        (
            {"clients": 15, "alpha": {"a": 0.01, "b": 0.02, "c": 0.01}},
            "draws with alpha 0.01 to 0.02 over 30 examples",
        ),
        ({"clients": 15, "alpha": 1.7e308}, "alpha that floating point can draw with"),
        ({"clients": 3, "alpha": [1.0, 2.0]}, "a number for each of the 3 labels as split parameter 'alpha', got 2"),
        ({"clients": 3, "alpha": {"a": 1.0, "b": 1.0}}, "got none for 'c'; add it"),
        ({"clients": 3, "alpha": dict.fromkeys("abcd", 1.0)}, "got one for 'd', which no example has; drop it"),
    ],
)
def test_dirichlet_refuses_what_it_cannot_do(parameters, message, allot) -> None:
    with pytest.raises(DataError, match=message) as raised:
        allot("dirichlet", [10, 10, 10], strata=["a", "b", "c"], **parameters)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"sizes": [10, 10]}, "add up to the 30 training examples, got 20"),
        ({"clients": 31}, "got 31; use fewer clients"),
        ({}, "one of the split parameters 'clients' and 'sizes'"),
        ({"clients": 2, "sizes": [15, 15]}, "got both or none"),
    ],
)
def test_inner_dirichlet_refuses_what_it_cannot_do(parameters, message, allot) -> None:
    with pytest.raises(DataError, match=message):
        allot("inner_dirichlet", [10, 10, 10], **parameters)
