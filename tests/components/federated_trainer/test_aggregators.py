"""Robust rules under attack up to their breakdown point and beyond, adaptive norms against TFF's, bytes of an update."""

from __future__ import annotations

import dataclasses
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import minimize
from scipy.spatial.distance import cdist

from components.federated_trainer.aggregators import (
    RULES,
    adaptive_clipping,
    adaptive_zeroing,
    clients_needed,
    combine,
    squared_distances,
    update_bytes,
)
from components.federated_trainer.executors import tff_runtime as runtime
from errors import TrainingError

CLIENTS = 11
# The most dishonest clients of 11 that each rule withstands.
WITHSTANDS = {"median": 5, "trimmed_mean": 5, "krum": 4, "multi_krum": 4, "geometric_median": 5}

ATTACKS: dict[str, Callable[[np.ndarray, int, np.random.Generator], np.ndarray]] = {
    "scaled": lambda honest, f, rng: 100 * honest[:f],
    "scaled without end": lambda honest, f, rng: 1e30 * honest[:f],
    "sign flipped": lambda honest, f, rng: -honest[:f],
    "sign flipped and scaled": lambda honest, f, rng: -100 * honest[:f],
    "random": lambda honest, f, rng: rng.normal(scale=100, size=[f, honest.shape[1]]),
    "all the same": lambda honest, f, rng: np.full([f, honest.shape[1]], 50.0),
    # Baruch et al. 2019, "A Little Is Enough": together, each coordinate one standard deviation off
    "a little": lambda honest, f, rng: np.tile(honest.mean(axis=0) - honest.std(axis=0), [f, 1]),
}

# Whole numbers, so that sums and differences are exact and equality means equality.
tables = hnp.arrays(
    np.float32, st.tuples(st.integers(5, 9), st.integers(1, 6)), elements=st.integers(-50, 50).map(float), fill=st.nothing()
)
rules = pytest.mark.parametrize("rule", RULES)


def honest_updates(count: int, dim: int = 200) -> np.ndarray:
    return np.random.default_rng(1).normal(loc=1.0, scale=0.5, size=[count, dim]).astype(np.float32)


def poisoned(honest: np.ndarray, attack: str, f: int) -> np.ndarray:
    """The honest updates and those of f attackers, in mixed order."""
    rng = np.random.default_rng(2)
    updates = np.concatenate([honest, ATTACKS[attack](honest, f, rng)]).astype(np.float32)
    return updates[rng.permutation(len(updates))]


def aggregate(rule: str, updates: np.ndarray, byzantine: int) -> np.ndarray:
    return combine(rule, updates, np.ones(len(updates)), byzantine).astype(np.float64)


def agrees(rule: str, found: np.ndarray, expected: np.ndarray) -> None:
    """Exact, but for the rule that iterates and the one that sums in another order."""
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-4 if rule == "geometric_median" else 1e-5)


@rules
@pytest.mark.parametrize("attack", ATTACKS)
def test_up_to_the_breakdown_point_the_result_stays_among_the_honest(rule: str, attack: str) -> None:
    f = WITHSTANDS[rule]
    honest = honest_updates(CLIENTS - f)
    result = aggregate(rule, poisoned(honest, attack, f), f)
    if rule in ("median", "trimmed_mean"):
        assert (result >= honest.min(axis=0)).all() and (result <= honest.max(axis=0)).all()
        return
    # Minsker 2015, "Geometric median and robust estimation in Banach spaces", lemma 2.1; the others are held to less.
    factor = 2 * (1 - f / CLIENTS) / (1 - 2 * f / CLIENTS) if rule == "geometric_median" else 1.1
    center = honest.mean(axis=0)
    assert np.linalg.norm(result - center) <= factor * np.linalg.norm(honest - center, axis=1).max()


@rules
def test_beyond_the_breakdown_point_a_majority_that_agrees_gets_its_way(rule: str) -> None:
    honest = honest_updates(5)
    result = aggregate(rule, poisoned(honest, "all the same", 6), WITHSTANDS[rule])
    # The 7 that multi_krum averages are these 6 and one honest client.
    assert result.min() >= 6 * 50 / 7 - 1 if rule == "multi_krum" else (result == 50).all()


def test_one_more_extreme_client_than_is_cut_moves_the_trimmed_mean() -> None:
    updates = poisoned(honest_updates(8), "all the same", 3)
    assert aggregate("trimmed_mean", updates, 3).max() < 4
    assert aggregate("trimmed_mean", updates, 2).min() > 5


def test_krum_with_one_attacker_more_than_declared_can_be_led_astray() -> None:
    """Five of 11 who agree, a short way off: each has four neighbours at distance 0, and krum counts five."""
    honest = honest_updates(6)
    shift = 1.5 * np.linalg.norm(honest - honest.mean(axis=0), axis=1).mean() / np.sqrt(honest.shape[1])
    attackers = np.tile(honest.mean(axis=0) - shift, [5, 1]).astype(np.float32)
    found = aggregate("krum", np.concatenate([honest, attackers]), 4)
    np.testing.assert_array_equal(found, attackers[0])


def test_krum_returns_the_update_of_the_least_score_and_multi_krum_the_mean_of_the_best() -> None:
    updates, f = honest_updates(9), 2
    distances = np.sort(cdist(updates.astype(float), updates.astype(float)) ** 2, axis=1)
    best = np.argsort(distances[:, 1 : 9 - f - 1].sum(axis=1))
    np.testing.assert_array_equal(aggregate("krum", updates, f), updates[best[0]])
    np.testing.assert_allclose(aggregate("multi_krum", updates, f), updates[best[:7]].mean(axis=0), rtol=1e-6)


def test_the_geometric_median_is_where_the_weighted_distances_add_up_to_least() -> None:
    updates, weights = honest_updates(7, dim=3).astype(np.float64), np.array([1.0, 2, 3, 1, 1, 2, 5])
    found = combine("geometric_median", updates.astype(np.float32), weights, 0)

    def total(point: np.ndarray) -> float:
        return float(weights @ np.linalg.norm(updates - point, axis=1))

    best = minimize(total, updates.mean(axis=0), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    np.testing.assert_allclose(found, best.x, rtol=1e-6)


def test_weights_count_for_the_geometric_median_alone() -> None:
    updates = poisoned(honest_updates(8), "all the same", 3)
    claimed = np.where(updates[:, 0] == 50, 1e9, 1.0)
    for rule in RULES:
        heavy, plain = combine(rule, updates, claimed, 3), combine(rule, updates, np.ones(11), 3)
        assert np.array_equal(heavy, plain) == (rule != "geometric_median")
    np.testing.assert_array_equal(combine("geometric_median", updates, claimed, 3), 50)


@rules
@given(table=tables, data=st.data())
def test_the_order_of_clients_plays_no_part(rule: str, table: np.ndarray, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(table))))
    agrees(rule, aggregate(rule, table[order], 1), aggregate(rule, table, 1))


@rules
@given(table=tables, shift=st.integers(-1000, 1000))
def test_what_all_clients_add_the_result_adds(rule: str, table: np.ndarray, shift: int) -> None:
    shifts = np.linspace(shift, -shift, table.shape[1]).round().astype(np.float32)
    if rule in ("krum", "multi_krum") and has_ties(table):
        return  # which of the tied updates is taken is settled by their values, the shift included
    agrees(rule, aggregate(rule, table + shifts, 1), aggregate(rule, table, 1) + shifts)


def has_ties(table: np.ndarray) -> bool:
    scores = np.sort(cdist(table, table, "sqeuclidean"), axis=1)[:, : len(table) - 2].sum(axis=1)
    return len(np.unique(scores)) < len(table)


@rules
@given(update=hnp.arrays(np.float32, st.integers(1, 6), elements=st.floats(-1e6, 1e6, width=32)), n=st.integers(5, 9))
def test_equal_updates_give_that_update(rule: str, update: np.ndarray, n: int) -> None:
    np.testing.assert_array_equal(aggregate(rule, np.tile(update, [n, 1]), 1), update)


@pytest.mark.parametrize("rule", ["median", "trimmed_mean"])
@given(table=tables, bad=hnp.arrays(np.float32, [2, 6], elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_each_coordinate_lies_between_honest_values(rule: str, table: np.ndarray, bad: np.ndarray) -> None:
    found = aggregate(rule, np.concatenate([bad[:, : table.shape[1]], table]), 2)
    assert (found >= table.min(axis=0)).all() and (found <= table.max(axis=0)).all()


def test_distances_survive_a_far_offset_that_cancels_in_a_gram_matrix() -> None:
    rng = np.random.default_rng(3)
    updates = (1e6 + np.repeat([0, 1e4], 6)[:, None] + rng.normal(size=[12, 3000])).astype(np.float32)
    updates[3] = updates[2]
    np.testing.assert_allclose(squared_distances(updates), cdist(*[updates.astype(np.float64)] * 2, "sqeuclidean"), rtol=1e-6)


@rules
def test_combining_costs_little_memory_above_the_updates(rule: str) -> None:
    updates = np.random.default_rng(4).normal(size=[50, 300_000]).astype(np.float32)
    tracemalloc.start()
    aggregate(rule, updates, 5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < updates.nbytes / 3


@pytest.mark.parametrize(
    ("rule", "byzantine", "needed"),
    [
        ("krum", 2, 7),
        ("multi_krum", 2, 7),
        ("trimmed_mean", 2, 5),
        ("median", 0, 1),
        ("geometric_median", 1, 3),
        ("mean", 0, 1),
    ],
)
def test_a_rule_knows_how_many_clients_it_needs(rule: str, byzantine: int, needed: int) -> None:
    assert clients_needed(rule, byzantine) == needed
    if rule in RULES:
        aggregate(rule, honest_updates(needed), byzantine)


def test_too_few_reports_are_one_line_with_a_remedy() -> None:
    with pytest.raises(
        TrainingError, match=r"krum with byzantine 2 needs the updates of 7 clients, 6 came; raise .*quorum"
    ) as e:
        aggregate("krum", honest_updates(6), 2)
    assert "\n" not in str(e.value)


def test_an_adaptive_norm_settles_at_its_quantile() -> None:
    norms = np.random.default_rng(5).lognormal(mean=3, size=[400, 100])
    clipping = adaptive_clipping(0.6)
    estimate = clipping.initial
    for of_clients in norms:
        estimate = clipping.update(estimate, int((of_clients <= estimate).sum()), len(of_clients))
    assert estimate == pytest.approx(np.quantile(norms, 0.6), rel=0.1)


def test_a_round_without_clients_leaves_the_norm() -> None:
    assert adaptive_zeroing().update(7.0, 0, 0) == 7.0


@pytest.mark.slow
def test_adaptive_norms_go_the_way_of_tffs_robust_aggregator() -> None:
    import tensorflow_federated as tff

    worker = runtime.start(intra_op_threads=1)
    try:
        process = tff.learning.robust_aggregator(weighted=False).create(tff.TensorType(np.float32, [4]))
        state, clip, zero = process.initialize(), 1.0, 10.0
        clipping, zeroing = adaptive_clipping(), adaptive_zeroing()
        for updates in np.random.default_rng(6).lognormal(mean=2.5, sigma=1.5, size=[12, 8, 4]).astype(np.float32):
            output = process.next(state, list(updates))
            state, facts = output.state, output.measurements
            largest = np.abs(updates).max(axis=1)
            zeroed = largest > zeroing.threshold(zero)
            norms = np.where(zeroed, 0, np.linalg.norm(updates, axis=1))
            assert facts["zeroing_norm"] == pytest.approx(zeroing.threshold(zero), rel=1e-6)
            assert facts["zeroing"]["clipping_norm"] == pytest.approx(clipping.threshold(clip), rel=1e-6)
            assert facts["zeroed_count"] == zeroed.sum() and facts["zeroing"]["clipped_count"] == (norms > clip).sum()
            zero = zeroing.update(zero, int((largest <= zero).sum()), len(updates))
            clip = clipping.update(clip, int((norms <= clip).sum()), len(updates))
    finally:
        worker.kill()
        worker.wait()


def test_an_adaptive_norm_can_follow_another_quantile() -> None:
    assert adaptive_clipping(0.5) == dataclasses.replace(adaptive_clipping(), quantile=0.5)


def test_eight_bits_take_a_quarter_and_eight_bytes_for_each_tensor() -> None:
    shapes = [(784, 200), (200,), ()]
    assert update_bytes(shapes) == 4 * 157_001
    assert update_bytes(shapes, "8bit") == 157_001 + 24
