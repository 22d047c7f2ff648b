"""From what the clients' half gave to one mean, and the norms of the next round."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from components.federated_trainer.clients.contribution import FIXED_POINT
from components.federated_trainer.clients.results import Result
from components.federated_trainer.combining import Combiner, PrivateCombiner
from components.federated_trainer.privacy import mechanisms
from errors import TrainingError

SHAPES = [(2,), (1, 1)]
RULES = {"rule": "mean", "byzantine": None, "clip": None, "clip_quantile": None, "zeroing": False, "compression": "none"}


def combiner(**given: Any) -> Combiner:
    return Combiner({**RULES, **given}, SHAPES)


def result(
    sums: list[Any],
    norms: Sequence[float] = (1.0, 1.0),
    *,
    peaks: Sequence[float] | None = None,
    stacks: bool = False,
    **of: Any,
) -> Result:
    """Of clients with these norms; `counted` and `weights` are 1 unless given."""
    n = len(norms)
    rows = np.zeros([n, 6], np.float32)
    rows[:, 0], rows[:, 1] = of.get("counted", np.ones(n)), of.get("weights", np.ones(n))
    rows[:, 2], rows[:, 3] = norms, norms if peaks is None else peaks
    return Result([np.array(total) for total in sums], [], rows, [], stacks)


def flat(parts: Sequence[np.ndarray]) -> list[float]:
    return np.concatenate([part.ravel() for part in parts]).tolist()


def test_mean_is_over_the_weights_of_those_who_count() -> None:
    mean, state, facts = combiner().combine({}, result([[6.0, 9.0], [[3.0]]], weights=[3, 5], counted=[1, 0]), 1)
    assert [part.shape for part in mean] == SHAPES
    assert all(part.dtype == np.float32 for part in mean)
    assert flat(mean) == [2.0, 3.0, 1.0]
    assert (state, facts) == ({}, {"bytes_up": 24.0})


def test_compressed_updates_are_counted_with_the_bytes_they_need() -> None:
    facts = combiner(compression="8bit").combine({}, result([[0.0, 0.0], [[0.0]]]), 1)[2]
    assert facts["bytes_up"] == 2 * (3 + 8 * 2)


def test_updates_one_by_one_are_given_to_the_rule_and_take_their_shapes_again() -> None:
    updates = [[1.0, 5.0, 0.0], [2.0, 4.0, 9.0], [np.nan, 0.0, 0.0], [3.0, 3.0, -9.0]]
    mean, _, _ = combiner(rule="median").combine({}, result([updates], [1.0] * 4, counted=[1, 1, 0, 1], stacks=True), 1)
    assert [part.shape for part in mean] == SHAPES
    assert flat(mean) == [2.0, 4.0, 0.0]


def test_weights_are_those_that_the_rule_looks_at() -> None:
    made = result([[0.0]], [1.0] * 3, weights=[5, 2, 9], counted=[1, 1, 0])
    assert combiner().weights(made).tolist() == [5, 2, 0]
    assert combiner(rule="geometric_median").weights(made).tolist() == [5, 2, 0]
    for rule in ("median", "trimmed_mean", "krum", "multi_krum"):
        assert combiner(rule=rule, byzantine=1).weights(made).tolist() == [1, 1, 0]


def test_client_that_is_excluded_is_one_of_those_that_the_rule_is_told_of() -> None:
    """Of five clients two may be hostile; one sent NaN, so of the others one may."""
    updates = [[1.0] * 3, [2.0] * 3, [4.0] * 3, [1000.0] * 3, [np.nan] * 3]
    trimmed = combiner(rule="trimmed_mean", byzantine=2)
    mean, _, _ = trimmed.combine({}, result([updates], [1.0] * 5, counted=[1, 1, 1, 1, 0], stacks=True), 1)
    assert flat(mean) == [3.0, 3.0, 3.0]
    with pytest.raises(TrainingError, match="needs the updates of 5 clients, 4 came"):
        trimmed.combine({}, result([updates[:4]], [1.0] * 4, stacks=True), 1)


def test_numbers_in_fixed_point_come_back_exactly() -> None:
    """Sums are of whole numbers, weighted; half the clip is half of FIXED_POINT."""
    unit = int(FIXED_POINT)
    mean, _, _ = combiner(rule="simulated_secure_mean", clip=0.5).combine(
        {}, result([[3 * unit, -unit], [[0]]], weights=[1, 3]), 1
    )
    assert flat(mean) == [0.375, -0.125, 0.0]


def test_fixed_clip_is_told_with_how_many_it_shortened() -> None:
    norms, fixed = [0.5, 1.0, 1.5, 99.0], combiner(clip=1)
    assert fixed.norms({}) == (1.0, math.inf)
    facts = fixed.combine({}, result([[0.0, 0.0], [[0.0]]], norms, counted=[1, 1, 1, 0]), 1)[2]
    assert (facts["clip"], facts["clipped"]) == (1.0, 1.0)


def test_clip_is_what_clients_compare_with_to_the_bit() -> None:
    """A norm of exactly the clip, as clients compute it in float32, is not above it."""
    norm = float(np.float32(0.1))
    facts = combiner(clip=0.1).combine({}, result([[0.0, 0.0], [[0.0]]], [norm]), 1)[2]
    assert facts["clipped"] == 0.0


def test_adaptive_clip_rises_while_too_many_norms_are_above_it_and_falls_else() -> None:
    adaptive = combiner(clip="adaptive", clip_quantile=0.5)
    state = adaptive.initial()
    assert adaptive.norms(state)[0] == 1.0
    nothing = [[0.0, 0.0], [[0.0]]]
    above, below = (adaptive.combine(state, result(nothing, norms), 1)[1] for norms in ([5.0, 6.0, 7.0], [0.1, 0.2, 0.3]))
    assert float(above["clip"]) == pytest.approx(math.exp(0.2 * 0.5))
    assert float(below["clip"]) == pytest.approx(math.exp(-0.2 * 0.5))
    spoiled = adaptive.combine(state, result(nothing, [5.0, math.nan], counted=[1, 0]), 1)[1]
    assert float(spoiled["clip"]) == pytest.approx(math.exp(0.2 * 0.5))


def test_zeroed_updates_are_told_and_do_not_count_as_clipped() -> None:
    zeroing = combiner(zeroing=True, clip=1)
    state = zeroing.initial()
    assert zeroing.norms(state) == (1.0, 21.0)
    made = result([[0.0, 0.0], [[0.0]]], [0.5, 2.0, 1e6], peaks=[0.5, 2.0, 1e6])
    _, after, facts = zeroing.combine(state, made, 1)
    assert (facts["zeroed"], facts["clipped"]) == (1.0, 1.0)
    assert float(after["zero"]) > 10.0


def test_private_release_has_the_fixed_denominator_and_tells_no_count() -> None:
    section = {"mechanism": "gaussian", "clip": 1.0, "clip_quantile": None}
    private = PrivateCombiner(mechanisms.mechanism(section, 10, SHAPES, 0.0), bytes(32), SHAPES)
    state = private.initial()
    assert private.norms(state) == (1.0, math.inf)
    mean, after, facts = private.combine(state, result([[2.0, 0.0], [[1.0]]], [1.0] * 4, counted=[1, 1, 1, 0]), 7)
    assert flat(mean) == pytest.approx([0.2, 0.0, 0.1])
    assert int(after["last_round"]) == 7
    assert set(facts) == {"bytes_up", "clip", "noise_std"}
