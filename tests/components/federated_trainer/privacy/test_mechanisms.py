"""Noise of the asked size on the right sum, divided by the right number, from the right key; clips that adapt privately."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pytest

from components.federated_trainer.privacy.mechanisms import Mechanism, State, mechanism, split_noise
from errors import TrainingError

KEY, OTHER_KEY = bytes(range(16)), bytes(range(1, 17))
DIM = 40_000
# Five standard deviations of a standard deviation measured on DIM values.
STD_TOLERANCE = 5 / math.sqrt(2 * DIM)


def make(
    kind: str = "gaussian",
    clip: Any = 2.0,
    noise: float = 1.5,
    clients: int = 100,
    shapes: Any = ((DIM,),),
    quantile: float = 0.5,
) -> Mechanism:
    return mechanism({"mechanism": kind, "clip": clip, "clip_quantile": quantile}, clients, shapes, noise)


def zeros(made: Mechanism) -> list[np.ndarray]:
    return [np.zeros(shape, np.float32) for shape in made.shapes]


def released(made: Mechanism, rounds: int, key: bytes = KEY) -> list[np.ndarray]:
    """The first tensor of the means of `rounds` releases of nothing."""
    state, means = made.initial(), []
    for number in range(1, rounds + 1):
        mean, state, _ = made.release(state, zeros(made), 50, 100, key, number)
        means.append(mean[0].astype(np.float64))
    return means


@pytest.mark.parametrize("kind", ["gaussian", "tree"])
def test_noise_has_the_standard_deviation_asked_for(kind: str) -> None:
    made = make(kind)
    noise = released(made, 1)[0]
    assert noise.std() == pytest.approx(1.5 * 2.0 / 100, rel=STD_TOLERANCE)
    assert abs(noise.mean()) < 5 * noise.std() / math.sqrt(DIM)
    _, _, facts = made.release(made.initial(), zeros(made), 50, 100, KEY, 1)
    assert facts == {"clip": 2.0, "noise_std": pytest.approx(1.5 * 2.0 / 100)}


def test_noise_is_normal() -> None:
    noise = released(make(), 1)[0] / (1.5 * 2.0 / 100)
    for bound, share in [(1, 0.6827), (2, 0.9545), (3, 0.9973)]:
        assert (abs(noise) <= bound).mean() == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / DIM))


def test_fewer_reports_do_not_change_the_denominator() -> None:
    made = make(noise=0.0, shapes=[(3,)])
    total = [np.array([1.0, -0.5, 0.25], np.float32)]
    for reported in (1, 40, 100, 130):
        mean, _, _ = made.release(made.initial(), total, 0, reported, KEY, 1)
        np.testing.assert_array_equal(mean[0], total[0] / np.float32(100))


def test_fewer_reports_do_not_change_the_noise() -> None:
    made = make()
    few, many = (made.release(made.initial(), zeros(made), 0, reported, KEY, 1)[0][0] for reported in (3, 100))
    np.testing.assert_array_equal(few, many)


@pytest.mark.parametrize("kind", ["gaussian", "tree"])
@pytest.mark.parametrize("clip", [2.0, "adaptive"])
def test_without_noise_the_mean_is_the_sum_over_the_expected_clients(kind: str, clip: Any) -> None:
    made = make(kind, clip, noise=0.0, clients=7, shapes=[(5, 3), ()])
    rng, state = np.random.default_rng(1), made.initial()
    for number in range(1, 6):
        total = [(0.01 * rng.normal(size=shape)).astype(np.float32) for shape in made.shapes]
        mean, state, facts = made.release(state, total, 3, 6, KEY, number)
        assert facts["noise_std"] == 0
        for found, tensor in zip(mean, total, strict=True):
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found, tensor / np.float32(7))


@pytest.mark.parametrize("kind", ["gaussian", "tree"])
def test_the_same_key_gives_the_same_noise_and_another_key_another(kind: str) -> None:
    made = make(kind)
    first, again, other = (np.array(released(made, 4, key)) for key in (KEY, KEY, OTHER_KEY))
    np.testing.assert_array_equal(first, again)
    assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 5 / math.sqrt(first.size)


def test_noise_of_rounds_and_of_tensors_is_independent() -> None:
    made = make(shapes=[(DIM,), (DIM,)])
    one, state, _ = made.release(made.initial(), zeros(made), 0, 100, KEY, 1)
    two, _, _ = made.release(state, zeros(made), 0, 100, KEY, 2)
    correlations = np.corrcoef([*one, *two]) - np.eye(4)
    assert np.abs(correlations).max() < 5 / math.sqrt(DIM)


def test_noise_of_a_tree_adds_up_to_one_draw_for_each_digit_1_of_the_number_of_releases() -> None:
    sums = np.cumsum(released(make("tree"), 70), axis=0) * 100 / (1.5 * 2.0)
    for t, noise in enumerate(sums, 1):
        assert noise.std() == pytest.approx(math.sqrt(bin(t).count("1")), rel=STD_TOLERANCE)
        assert noise.std() ** 2 <= math.ceil(math.log2(t + 1)) * (1 + 2 * STD_TOLERANCE)


def test_a_tree_ends_with_far_less_noise_than_fresh_noise_each_round() -> None:
    tree, gaussian = (np.sum(released(make(kind), 64), axis=0).std() for kind in ("tree", "gaussian"))
    assert gaussian / tree == pytest.approx(8, rel=3 * STD_TOLERANCE)


def test_releases_of_a_tree_share_the_nodes_that_theory_says() -> None:
    """Cumulative noise after 6 = 110b and 7 = 111b releases shares the nodes of levels 2 and 1; after 7 and 8, none."""
    sums = np.cumsum(released(make("tree"), 8), axis=0)
    assert np.corrcoef(sums[5], sums[6])[0, 1] == pytest.approx(math.sqrt(2 / 3), abs=STD_TOLERANCE)
    assert abs(np.corrcoef(sums[6], sums[7])[0, 1]) < 5 / math.sqrt(DIM)


def test_the_facts_of_a_tree_tell_the_noise_of_this_mean() -> None:
    made = make("tree")
    state = made.initial()
    for number in range(1, 9):
        mean, state, facts = made.release(state, zeros(made), 0, 0, KEY, number)
        assert mean[0].std() == pytest.approx(facts["noise_std"], rel=STD_TOLERANCE)


def stored_and_read(state: State) -> State:
    file = io.BytesIO()
    np.savez(file, **state)
    file.seek(0)
    with np.load(file) as read:
        return dict(read)


@pytest.mark.parametrize("kind", ["gaussian", "tree"])
def test_a_state_kept_in_a_file_goes_on_with_the_same_bits(kind: str) -> None:
    made = make(kind, "adaptive", clients=30, shapes=[(50,)])
    straight, kept = made.initial(), made.initial()
    for number in range(1, 12):
        mean, straight, facts = made.release(straight, zeros(made), 13, 28, KEY, number)
        kept_mean, kept, kept_facts = made.release(stored_and_read(kept), zeros(made), 13, 28, KEY, number)
        np.testing.assert_array_equal(mean[0], kept_mean[0])
        assert facts == kept_facts and made.clip(straight) == made.clip(kept)


@pytest.mark.parametrize("noise", [0.0, 0.5])
@pytest.mark.parametrize("kind", ["gaussian", "tree"])
def test_an_adaptive_clip_settles_at_its_quantile(kind: str, noise: float) -> None:
    made = make(kind, "adaptive", noise=noise, clients=100, shapes=[(2,)], quantile=0.7)
    rng, state, clips = np.random.default_rng(2), made.initial(), []
    for number in range(1, 301):
        norms = rng.lognormal(mean=2, size=100)
        _, state, _ = made.release(state, zeros(made), int((norms <= made.clip(state)).sum()), 100, KEY, number)
        clips.append(made.clip(state))
    assert np.mean(clips[-200:]) == pytest.approx(np.quantile(rng.lognormal(mean=2, size=100_000), 0.7), rel=0.06)


def test_a_client_moves_the_centred_count_by_half_whether_it_is_there_or_not() -> None:
    made = make(clip="adaptive", noise=0.0, clients=10, shapes=[()])
    shares = [
        made.release(made.initial(), zeros(made), below, n, KEY, 1)[2]["unclipped"] for below, n in [(4, 8), (4, 9), (5, 9)]
    ]
    assert np.diff(shares)[0] == pytest.approx(-0.05) and shares[2] - shares[0] == pytest.approx(0.05)


def test_the_noise_of_the_count_has_the_standard_deviation_of_the_split() -> None:
    made = make(clip="adaptive", noise=1.0, clients=100, shapes=[()])
    shares, state = [], made.initial()
    for number in range(4000):
        _, state, facts = made.release(state, zeros(made), 50, 100, KEY, number)
        shares.append(facts["unclipped"])
    assert np.std(shares) == pytest.approx(5 / 100, rel=5 / math.sqrt(2 * 4000))


def test_the_split_costs_what_one_gaussian_release_costs() -> None:
    on_sum, count_stddev = split_noise(1.2, 60)
    assert count_stddev == 3.0
    # Sensitivities 1 (in clips) and 1/2: squared ratios to the noise add up.
    assert on_sum**-2 + (0.5 / count_stddev) ** 2 == pytest.approx(1.2**-2)
    assert split_noise(0.0, 60) == (0.0, 0.0)
    assert make(clip="adaptive", noise=1.2, clients=60).noise_multiplier == on_sum


def test_noise_too_high_for_the_cohort_is_one_line_with_a_remedy() -> None:
    with pytest.raises(
        TrainingError, match=r"below 1, not 1; set clients_per_round above 10, or privacy.clip to a number"
    ) as e:
        make(clip="adaptive", noise=1.0, clients=10)
    assert "\n" not in str(e.value)
    make(clip=1.0, noise=1.0, clients=10)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"round_number": 3}, "noise must not be used twice"),
        ({"key": b"short"}, "5 bytes"),
        ({"total": [np.zeros(4, np.float32)]}, "shapes"),
        ({"total": [np.full(3, 2.0, np.float32)]}, "not clipped"),
        ({"total": [np.full(3, np.nan, np.float32)]}, "not clipped"),
    ],
)
def test_a_release_that_would_void_the_guarantee_is_refused(change: dict[str, Any], words: str) -> None:
    made = make(clip=1.0, shapes=[(3,)])
    arguments: dict[str, Any] = {"total": zeros(made), "below": 1, "reported": 2, "key": KEY}
    _, state, _ = made.release(made.initial(), round_number=3, **arguments)
    with pytest.raises(ValueError, match=words):
        made.release(state, **{**arguments, "round_number": 4, **change})


@pytest.mark.slow
def test_an_adaptive_clip_goes_the_way_of_tensorflow_privacy() -> None:
    import tensorflow as tf
    import tensorflow_privacy as tfp

    query = tfp.QuantileAdaptiveClipSumQuery(
        initial_l2_norm_clip=0.1,
        noise_multiplier=0.0,
        target_unclipped_quantile=0.6,
        learning_rate=0.2,
        clipped_count_stddev=0.0,
        expected_num_records=10,
    )
    made = make(clip="adaptive", noise=0.0, clients=10, shapes=[(4,)], quantile=0.6)
    theirs, ours, rng = query.initial_global_state(), made.initial(), np.random.default_rng(3)
    for number in range(1, 21):
        updates = rng.lognormal(mean=-1.5, size=[int(rng.integers(7, 11)), 4]).astype(np.float32)  # who drops out is missing
        params, sample = query.derive_sample_params(theirs), query.initial_sample_state(tf.zeros(4))
        for update in updates:
            sample = query.accumulate_record(params, sample, tf.constant(update))
        total, theirs, _ = query.get_noised_result(sample, theirs)
        norms = np.linalg.norm(updates, axis=1)
        clip = made.clip(ours)
        clipped = (updates * np.minimum(1, clip / norms)[:, np.newaxis]).sum(axis=0)
        mean, ours, _ = made.release(ours, [clipped], int((norms <= clip).sum()), len(updates), KEY, number)
        np.testing.assert_allclose(mean[0] * 10, total, rtol=1e-5)
        assert made.clip(ours) == pytest.approx(float(theirs.sum_state.l2_norm_clip), rel=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("noise", "clients"), [(0.5, 20), (1.0, 50), (3.0, 1000)])
def test_the_split_is_that_of_tff(noise: float, clients: int) -> None:
    from tensorflow_federated.python.aggregators.differential_privacy import adaptive_clip_noise_params

    assert split_noise(noise, clients) == pytest.approx(adaptive_clip_noise_params(noise, float(clients)))
