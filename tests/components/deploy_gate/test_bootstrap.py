"""The lower end of the difference: right as often as it says, the same for the same seed, and no harder for a larger margin."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.deploy_gate import bootstrap
from components.deploy_gate.bootstrap import lower_bound

pytestmark = pytest.mark.slow

examples = st.lists(st.floats(-5, 5, allow_nan=False), min_size=1, max_size=40).map(np.array)


@given(examples, st.integers(0, 2**31 - 1))
@settings(max_examples=40, deadline=None)
def test_equal_models_are_equal_whatever_the_seed(values, seed):
    assert lower_bound(np.zeros(len(values)), 0.99, 200, seed) == 0
    assert lower_bound(np.zeros(len(values)), 0.99, 200, seed, relative_to=values) == 0


@given(examples, st.integers(0, 2**31 - 1))
@settings(max_examples=40, deadline=None)
def test_same_seed_gives_the_same_answer_and_it_lies_among_the_gains(gains, seed):
    low = lower_bound(gains, 0.95, 200, seed)
    assert low == lower_bound(gains, 0.95, 200, seed)
    assert gains.min() - 1e-9 <= low <= gains.max() + 1e-9


@given(examples, st.floats(0.5, 0.98), st.floats(0.001, 0.019))
@settings(max_examples=40, deadline=None)
def test_more_confidence_promises_no_more(gains, confidence, more):
    assert lower_bound(gains, confidence + more, 300, 1) <= lower_bound(gains, confidence, 300, 1)


@given(examples, st.floats(-1, 1))
@settings(max_examples=40, deadline=None)
def test_gain_on_every_example_moves_the_bound_by_as_much(gains, shift):
    assert lower_bound(gains + shift, 0.95, 200, 3) == pytest.approx(lower_bound(gains, 0.95, 200, 3) + shift, abs=1e-9)


def coverage(draw, true_mean, trials=400):
    """Share of simulated data sets whose lower end is at or below the true mean."""
    rng = np.random.default_rng(0)
    return np.mean([lower_bound(draw(rng), 0.9, 400, trial) <= true_mean for trial in range(trials)])


@pytest.mark.parametrize(
    ("draw", "mean"),
    [
        (lambda rng: rng.normal(0.3, 1, 200), 0.3),
        (lambda rng: rng.choice([-1.0, 0.0, 1.0], p=[0.05, 0.9, 0.05], size=400), 0.0),
        (lambda rng: rng.exponential(1, 200), 1.0),
    ],
)
def test_bound_lies_below_the_truth_as_often_as_it_says(draw, mean):
    # 400 trials at 90 %: a standard error of 1.5 percentage points; the percentile interval of skewed data adds one or two.
    assert 0.85 <= coverage(draw, mean) <= 0.95


def test_bound_is_that_of_the_normal_distribution_for_many_examples():
    gains = np.random.default_rng(5).normal(0, 1, 5000)
    expected = gains.mean() - 1.6449 * gains.std() / np.sqrt(5000)
    assert lower_bound(gains, 0.95, 4000, 1) == pytest.approx(expected, abs=0.002)


@pytest.mark.parametrize("few_values", [True, False])
def test_shortcuts_for_many_examples_agree_with_drawing_each(few_values, monkeypatch):
    rng = np.random.default_rng(2)
    gains = rng.choice([-1.0, 0.0, 1.0], p=[0.1, 0.7, 0.2], size=30_000) if few_values else rng.exponential(1, 30_000) - 1
    base = rng.choice([0.0, 1.0], size=30_000) if few_values else rng.normal(3, 1, 30_000)
    quick = lower_bound(gains, 0.95, 1000, 1), lower_bound(gains, 0.95, 1000, 1, relative_to=base)
    monkeypatch.setattr(bootstrap, "UNITS", 40_000)
    slow = lower_bound(gains, 0.95, 1000, 1), lower_bound(gains, 0.95, 1000, 1, relative_to=base)
    assert quick == pytest.approx(slow, abs=0.15 * gains.std() / np.sqrt(30_000) * 2)


@pytest.mark.parametrize("examples", [10_001, 15_000, 19_999, 29_999])
@pytest.mark.parametrize("relative", [False, True])
def test_groups_leave_no_example_out(examples, relative):
    # The bound of 2,000 draws has a standard error of 0.05 of that of the mean; half the examples would move it by more than 1.
    rng = np.random.default_rng(4)
    gains, base = rng.normal(size=examples), rng.normal(3, 0.1, size=examples)
    picked = (rng.integers(examples, size=examples) for _ in range(2000))
    direct = np.quantile([gains[at].mean() / (base[at].mean() if relative else 1) for at in picked], 0.05)
    grouped = lower_bound(gains, 0.95, 2000, 1, relative_to=base if relative else None)
    assert grouped == pytest.approx(direct, abs=0.25 / np.sqrt(examples) / (3 if relative else 1))


def test_example_that_is_worth_all_others_together_is_never_left_out():
    gains = np.random.default_rng(0).normal(0, 1e-6, size=19_999)
    gains[7] = -1e4
    assert {lower_bound(gains, 0.95, 400, seed) < -0.5 for seed in range(20)} == {True}


@pytest.mark.parametrize("few_values", [True, False])
def test_million_examples_take_little_memory(few_values):
    rng = np.random.default_rng(2)
    gains = rng.choice([-1.0, 0.0, 1.0], size=1_000_000) if few_values else rng.normal(size=1_000_000)
    tracemalloc.start()
    assert abs(lower_bound(gains, 0.95, 1000, 1)) < 0.01
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150_000_000


def test_relative_gain_is_a_share_of_the_baselines_mean():
    base = np.full(100, 4.0)
    assert lower_bound(np.full(100, -0.2), 0.95, 100, 1, relative_to=base) == pytest.approx(-0.05)
    assert lower_bound(np.full(100, -0.2), 0.95, 100, 1, relative_to=-base) == pytest.approx(-0.05)


def test_share_of_a_mean_that_may_be_zero_is_unknown():
    base = np.zeros(50)
    base[0] = 1
    assert lower_bound(np.full(50, -0.1), 0.95, 200, 1, relative_to=base) == -np.inf


def test_gain_over_a_mean_of_zero_is_no_loss():
    assert lower_bound(np.full(50, 0.1), 0.95, 200, 1, relative_to=np.zeros(50)) == 0
    assert lower_bound(np.zeros(50), 0.95, 200, 1, relative_to=np.zeros(50)) == 0
