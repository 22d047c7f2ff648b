import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.distance import jensenshannon

from components.federated_split.measures import Cells, gini, quantiles, unlikeness

numbers = hnp.arrays(np.int64, st.integers(1, 60), elements=st.integers(0, 10_000))
tables = hnp.arrays(np.int64, st.tuples(st.integers(1, 8), st.integers(1, 6)), elements=st.integers(0, 50))


def histogram(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.unique(values, return_counts=True)


def compare(table: np.ndarray):
    client, label = np.nonzero(table)
    return unlikeness(Cells(client, label, table[client, label]), len(table), table.sum(axis=0))


@given(numbers)
def test_quantiles_of_a_histogram_are_those_of_its_numbers(values: np.ndarray) -> None:
    found = quantiles(*histogram(values))
    assert list(found) == ["min", "p10", "p25", "median", "p75", "p90", "max"]
    np.testing.assert_allclose(list(found.values()), np.percentile(values, [0, 10, 25, 50, 75, 90, 100]), rtol=1e-9)


@given(numbers.filter(np.any))
def test_gini_is_half_the_relative_mean_difference(values: np.ndarray) -> None:
    differences = np.abs(values[:, np.newaxis] - values).mean()
    assert gini(*histogram(values)) == pytest.approx(differences / (2 * values.mean()), abs=1e-9)


def test_gini_is_0_among_equals_and_near_1_when_one_has_everything() -> None:
    assert gini(*histogram(np.full(7, 3))) == 0
    assert gini(*histogram(np.array([0] * 99 + [5]))) == pytest.approx(0.99)


@given(tables.filter(lambda table: np.all(table.sum(axis=0) > 0)))
def test_divergences_are_those_of_the_dense_definitions(table: np.ndarray) -> None:
    found, whole = compare(table), table.sum(axis=0) / table.sum()
    np.testing.assert_array_equal(found.weight, table.sum(axis=1))
    for client in np.flatnonzero(table.sum(axis=1)):
        own = table[client] / table[client].sum()
        # SciPy gives the distance, the root of the divergence; rounding may take it of a number just below 0.
        divergence = np.nan_to_num(jensenshannon(own, whole, base=2)) ** 2
        assert found.jensen_shannon[client] == pytest.approx(divergence, abs=1e-9)
        hellinger = np.linalg.norm(np.sqrt(own) - np.sqrt(whole)) / math.sqrt(2)
        assert found.hellinger[client] == pytest.approx(hellinger, abs=1e-6)
        logs = np.log(own, where=own > 0, out=np.zeros_like(own))
        assert found.effective_labels[client] == pytest.approx(math.exp(-(own * logs).sum()))


def test_clients_like_the_whole_diverge_by_nothing() -> None:
    found = compare(np.array([[1, 2, 3], [2, 4, 6]]))
    np.testing.assert_allclose(found.jensen_shannon, 0, atol=1e-12)
    np.testing.assert_allclose(found.hellinger, 0, atol=1e-7)


def test_the_more_clients_of_one_label_each_the_nearer_the_divergence_is_to_1() -> None:
    few, many = compare(np.eye(2, dtype=np.int64)), compare(np.eye(500, dtype=np.int64))
    np.testing.assert_allclose(few.jensen_shannon, 0.311278, atol=1e-6)
    assert np.all(many.jensen_shannon > 0.98)
    np.testing.assert_allclose(many.effective_labels, 1)
