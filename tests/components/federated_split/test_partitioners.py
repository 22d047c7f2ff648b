import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.federated_split.partitioners import PARTITIONERS, Allocation, by_key, dirichlet, iid, largest_remainder
from errors import DataError

COUNTS = st.lists(st.integers(1, 60), min_size=1, max_size=6).map(lambda counts: np.array(counts, dtype=np.int64))


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def names(counts: np.ndarray) -> list[str]:
    return [f"stratum {number}" for number in range(len(counts))]


def sizes(allocation: Allocation) -> np.ndarray:
    return np.bincount(allocation.client, weights=allocation.size, minlength=len(allocation.clients)).astype(int)


def assert_every_example_has_exactly_one_client(allocation: Allocation, counts: np.ndarray) -> None:
    assert (allocation.size > 0).all()
    assert set(np.cumsum(counts)) <= set(np.cumsum(allocation.size)), "a portion reaches over the end of its stratum"
    assert allocation.size.sum() == counts.sum()
    assert allocation.clients == sorted(set(allocation.clients))


@given(COUNTS.map(lambda counts: counts[:1]), st.integers(1, 60), st.integers(0, 2**32))
def test_iid_sizes_differ_by_at_most_one(counts: np.ndarray, clients: int, seed: int) -> None:
    clients = min(clients, int(counts.sum()))
    allocation = iid([""], counts, generator(seed), clients=clients)
    assert_every_example_has_exactly_one_client(allocation, counts)
    assert len(allocation.clients) == clients
    assert np.ptp(sizes(allocation)) <= 1


@settings(deadline=None)
@given(COUNTS, st.integers(1, 20), st.floats(1e-6, 1e6), st.integers(0, 2**32))
def test_dirichlet_shares_out_every_label_completely(counts: np.ndarray, clients: int, alpha: float, seed: int) -> None:
    clients = min(clients, int(counts.sum()))
    allocation = dirichlet(names(counts), counts, generator(seed), clients=clients, alpha=alpha, min_examples=0)
    assert_every_example_has_exactly_one_client(allocation, counts)
    assert len(allocation.clients) == clients


def test_dirichlet_draws_until_every_client_has_the_least_number() -> None:
    counts = np.full(10, 60)
    allocation = dirichlet(names(counts), counts, generator(), clients=10, alpha=0.5, min_examples=15)
    assert sizes(allocation).min() >= 15


def test_dirichlet_proportions_have_the_mean_and_variance_of_the_distribution() -> None:
    clients, alpha, total = 4, 0.5, 10**6
    rng = generator()
    one = [dirichlet(["a"], np.array([total]), rng, clients=clients, alpha=alpha, min_examples=0) for _ in range(2000)]
    shares = np.stack([sizes(allocation) for allocation in one]) / total
    mean = 1 / clients
    variance = mean * (1 - mean) / (clients * alpha + 1)
    np.testing.assert_allclose(shares.mean(axis=0), mean, atol=5 * np.sqrt(variance / 2000))
    np.testing.assert_allclose(shares.var(axis=0), variance, rtol=0.15)


def test_small_alpha_skews_labels_more_than_large_alpha() -> None:
    counts = np.full(10, 1000)

    def largest_share(alpha: float) -> float:
        allocation = dirichlet(names(counts), counts, generator(), clients=10, alpha=alpha, min_examples=0)
        return float(allocation.size.max() / 1000)

    assert largest_share(0.05) > 0.6 > 0.2 > largest_share(1000.0)


@pytest.mark.parametrize(
    ("strategy", "parameters"), [("iid", {"clients": 7}), ("dirichlet", {"clients": 7, "alpha": 0.3}), ("by_key", {})]
)
def test_same_generator_gives_the_same_allocation(strategy: str, parameters: dict) -> None:
    counts = np.array([40, 50, 60])
    first, second = (PARTITIONERS[strategy].divide(names(counts), counts, generator(3), **parameters) for _ in range(2))
    assert first.clients == second.clients
    np.testing.assert_array_equal(first.client, second.client)
    np.testing.assert_array_equal(first.size, second.size)


def test_by_key_makes_each_key_a_client() -> None:
    allocation = by_key(["anna", "bob"], np.array([2, 3]), generator())
    assert allocation.clients == ["anna", "bob"]
    assert sizes(allocation).tolist() == [2, 3]


@given(st.lists(st.floats(1e-9, 1), min_size=1, max_size=30), st.integers(0, 10**9))
def test_largest_remainder_adds_up_and_stays_within_one_of_the_quota(weights: list[float], total: int) -> None:
    proportions = np.array(weights) / np.sum(weights)
    shares = largest_remainder(proportions, total)
    assert shares.sum() == total
    assert (shares >= 0).all()
    np.testing.assert_allclose(shares, proportions * total, atol=1 + 1e-6)


def test_largest_remainder_takes_back_what_rounding_gave_too_much() -> None:
    assert largest_remainder(np.array([0.5, 0.5 + 1e-12]), 10**13).sum() == 10**13


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"clients": 31, "alpha": 1.0}, r"at most as many clients as training examples \(30\), got 31"),
        ({"clients": 10, "alpha": 1.0, "min_examples": 4}, "at least 4 examples for each of 10 clients.*smaller min_examples"),
        ({"clients": 15, "alpha": 0.01, "min_examples": 1}, "1000 Dirichlet draws with alpha 0.01.*larger alpha"),
        ({"clients": 15, "alpha": 1.7e308}, "alpha that floating point can draw with"),
    ],
)
def test_dirichlet_refuses_what_it_cannot_do(parameters: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        dirichlet(["a", "b", "c"], np.array([10, 10, 10]), generator(), **parameters)


def test_dirichlet_refuses_an_id_as_label() -> None:
    counts = np.ones(20_000, dtype=np.int64)
    with pytest.raises(DataError, match="few distinct values, got 20000 of them"):
        dirichlet(names(counts), counts, generator(), clients=10_000, alpha=1.0)


@pytest.mark.parametrize("keys", [["Anna", "anna"], ["anna", "anna "], [" a", "A"]])
def test_by_key_refuses_keys_that_look_alike_without_naming_them(keys: list[str]) -> None:
    with pytest.raises(DataError, match="got 1 of 2 that repeat another") as raised:
        by_key(keys, np.array([1, 1]), generator())
    assert keys[1] not in str(raised.value)


@pytest.mark.parametrize("key", ["", "  "])
def test_by_key_refuses_an_empty_key(key: str) -> None:
    with pytest.raises(DataError, match="got an empty one"):
        by_key([key, "x"], np.array([1, 1]), generator())
