"""What is said of a metric over clients."""

from __future__ import annotations

import numpy as np
import pytest

from components.federated_evaluator.distribution import QUANTILES, describe, worst_decile
from components.federated_evaluator.measuring import bounds


def test_the_worst_tenth_is_the_low_end_or_the_high_end_and_at_least_one_client() -> None:
    values = np.arange(1.0, 26.0)
    assert worst_decile("SparseCategoricalAccuracy", values) == 1.5
    assert worst_decile("MeanSquaredError", values) == 24.5
    assert worst_decile("AUC", values[:3]) == 1.0


def test_clients_without_a_value_count_as_undefined_and_nowhere_else() -> None:
    told = describe("AUC", np.array([0.5, np.nan, 1.0]), np.array([3, 100, 1]))
    quantiles = told.pop("quantiles")
    assert told == {"undefined": 1, "mean": 0.75, "weighted_mean": 0.625, "std": 0.25, "worst_decile": 0.5}
    assert list(quantiles) == list(QUANTILES)
    assert list(quantiles.values()) == pytest.approx([0.5, 0.55, 0.625, 0.75, 0.875, 0.95, 1.0])


def test_a_metric_that_nobody_has_is_null_everywhere() -> None:
    told = describe("AUC", np.array([np.nan, np.nan]), np.array([1, 1]))
    assert told.pop("undefined") == 2
    assert told.pop("quantiles") == dict.fromkeys(QUANTILES)
    assert set(told.values()) == {None}


def test_parts_are_of_whole_clients_and_leave_none_out() -> None:
    sizes = np.array([1, 1, 1 << 20, 1, 40_000, 5, 5])
    found = bounds(sizes)
    assert (found[0], found[-1]) == (0, len(sizes))
    assert list(found) == sorted(set(found))
    assert bounds(np.array([1])) == (0, 1)
    assert len(bounds(np.full(100_000, 20))) - 1 == -(-100_000 * 20 // (1 << 15))
