"""Sums that do not depend on who was first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.federated_trainer.clients.contribution import COLUMNS, COUNTED, LOSS_SUM, SEEN, WEIGHT
from components.federated_trainer.clients.results import Result, Tree, merge


def part(number: int, stacks: bool = False) -> Result:
    random = np.random.default_rng(number)
    clients = 1 + number % 3
    sums = [random.normal(size=[clients, 2] if stacks else [3]).astype(np.float32)]
    return Result(sums, [random.normal(size=2)], random.random([clients, COLUMNS]), [random.normal(size=[clients, 4])], stacks)


def bits(result: Result) -> list[bytes]:
    return [array.tobytes() for array in (*result.sums, *result.metrics, result.rows, *result.states)]


@settings(max_examples=50, deadline=None)
@given(st.permutations(range(13)), st.lists(st.integers(0, 3), min_size=13, max_size=13), st.booleans())
def test_any_order_and_any_bundles_give_the_same_bits(order, bundles, stacks) -> None:
    expected = Tree()
    for number in range(13):
        expected.add(number, part(number, stacks))
    trees = [Tree() for _ in range(4)]
    for number, bundle in zip(order, bundles, strict=True):
        trees[bundle].add(number, part(number, stacks))
    joined = Tree()
    for tree in trees:
        joined.join(tree)
    assert bits(joined.total()) == bits(expected.total())
    in_order = merge([part(number, stacks) for number in range(13)])
    np.testing.assert_array_equal(joined.total().rows, in_order.rows)
    np.testing.assert_allclose(joined.total().sums[0], in_order.sums[0], rtol=1e-12)


def test_whole_numbers_are_added_exactly() -> None:
    parts = [
        Result([np.array([2**62 + 1])], [], np.zeros([1, COLUMNS]), [], False),
        Result([np.array([2])], [], np.zeros([1, COLUMNS]), [], False),
    ]
    assert merge(parts).sums[0].tolist() == [2**62 + 3]


@pytest.mark.parametrize(
    ("sums", "loss", "finite"),
    [
        ([[1e17], [3.0]], 1.0, True),
        ([[1.0], [3e19]], 1.0, False),
        ([[0.0], [np.nan]], 1.0, False),
        ([[np.inf], [0.0]], 1.0, False),
        ([[0.0], [0.0]], np.inf, False),
    ],
)
def test_sums_whose_squares_float32_does_not_hold_are_not_taken_for_finite(sums, loss: float, finite: bool) -> None:
    rows = np.ones([1, COLUMNS], np.float32)
    rows[:, LOSS_SUM] = loss
    assert Result([np.array(total, np.float32) for total in sums], [], rows, [], False).finite is finite


def test_clients_that_do_not_count_weigh_nothing_and_do_not_spoil_the_loss() -> None:
    rows = np.zeros([3, COLUMNS], np.float32)
    rows[:, COUNTED], rows[:, WEIGHT] = [1, 0, 1], [4, 5, 6]
    rows[:, LOSS_SUM], rows[:, SEEN] = [2, np.nan, 10], [4, 5, 8]
    result = Result([], [], rows, [], False)
    assert result.counted.tolist() == [True, False, True]
    assert result.weights.tolist() == [4, 0, 6]
    assert result.loss == pytest.approx(1.0)
    assert np.isnan(Result([], [], rows[1:2], [], False).loss)
