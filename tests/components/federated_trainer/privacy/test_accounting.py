"""Epsilon: published figures, what must hold for any accountant, and neighbours that would show a bound to be wrong."""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import replace

import dp_accounting
import numpy as np
import pytest
from scipy.special import logsumexp

from components.federated_trainer.privacy import accounting as privacy
from components.federated_trainer.privacy import mechanisms
from components.federated_trainer.privacy.accounting import Release, calibrate, cautions, check, guarantee, series
from errors import ConfigError

pytestmark = pytest.mark.slow

EMNIST = Release("gaussian", "poisson", 1.0, 50, 3383, 100)
ONE_IN_3383 = 1 / 3383

# z, clients per round, population, rounds, delta; classic, improved and PLD epsilon by dp_accounting 0.4.3. The classic ones of
# the rows with (p) are published: Abadi et al. 2016, the tutorials of TF Privacy, and McMahan et al. 2018.
FIGURES = {
    "abadi (p)": (4.0, 100, 10_000, 10_000, 1e-5, 1.26, 1.035, 0.947),
    "tutorial 60 epochs (p)": (1.12, 256, 60_000, 14_062, 1e-5, 2.92, 2.521, 2.310),
    "tutorial 10 epochs (p)": (1.2, 256, 60_000, 2_344, 1e-5, 1.20, 0.932, 0.792),
    "tutorial 30 epochs (p)": (0.6, 256, 60_000, 7_032, 1e-5, 9.74, 8.819, 7.690),
    "older tutorial 15 epochs (p)": (1.3, 256, 60_000, 3_516, 1e-5, 1.19, 0.955, 0.865),
    "older tutorial 60 epochs (p)": (1.1, 256, 60_000, 14_063, 1e-5, 3.01, 2.597, 2.382),
    "older tutorial 45 epochs (p)": (0.7, 256, 60_000, 10_547, 1e-5, 7.10, 6.373, 5.640),
    "mcmahan (p)": (1.0, 5_000, 763_430, 5_000, 1e-9, 4.634, 4.211, 3.899),
    "mcmahan 4120 rounds": (1.0, 5_000, 763_430, 4_120, 1e-9, 4.274, 3.882, 3.554),
    "emnist": (1.0, 50, 3_383, 100, 1e-5, 1.938, 1.507, 1.062),
    "emnist, one in all clients": (1.0, 50, 3_383, 100, ONE_IN_3383, None, 1.005, 0.676),
    "one release": (1.0, 1, 1, 1, 1e-5, None, 4.729, 4.377),
    "half the silos": (1.0, 10, 20, 50, 1e-3, None, 22.25, 19.91),
    "all silos": (2.0, 20, 20, 50, 1e-2, None, 15.46, 13.71),
}


def _of(z: float, clients: int, population: int, rounds: int) -> Release:
    return Release("gaussian", "full" if clients == population else "poisson", z, clients, population, rounds)


def _rdp(release: Release, delta: float = 1e-5) -> float:
    return series(release, delta)[-1]


@pytest.mark.parametrize("name", FIGURES)
def test_renyi_epsilons_are_the_published_ones(name: str) -> None:
    *setting, delta, classic, improved, _ = FIGURES[name]
    release = _of(*setting)
    curve = privacy._curve(release, release.relation)
    by_classic = np.min((curve - math.log(delta) / (privacy.ORDERS - 1))[np.isin(privacy.ORDERS, privacy._CLASSIC_ORDERS)])
    if classic:
        assert by_classic == pytest.approx(classic, rel=0.005)
    by_improved = privacy._epsilon(curve, delta)
    assert improved * 0.99 <= by_improved <= improved * 1.0005  # finer orders than some of the figures: a little lower
    assert by_improved <= by_classic


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if "emnist" in name else pytest.mark.slow) for name in FIGURES])
def test_the_tightest_epsilon_is_the_one_by_privacy_loss_distributions(name: str) -> None:
    *setting, delta, _, _, pld = FIGURES[name]
    found = guarantee([_of(*setting)], delta)
    assert found.epsilon == found.pld == pytest.approx(pld, rel=1e-3)
    assert found.pld <= found.rdp <= found.classic


def test_one_gaussian_release_has_the_analytic_epsilon() -> None:
    def delta_at(epsilon: float) -> float:  # Balle and Wang 2018, theorem 8, with noise of one sensitivity
        def phi(x: float) -> float:
            return math.erfc(-x / math.sqrt(2)) / 2

        return phi(0.5 - epsilon) - math.exp(epsilon) * phi(-0.5 - epsilon)

    assert delta_at(guarantee([_of(1.0, 1, 1, 1)], 1e-5).epsilon) == pytest.approx(1e-5, rel=1e-3)


@pytest.mark.parametrize(
    ("clients", "noise"), [(50, 0.896), (85, 1.040), (120, 1.196), (155, 1.370), (190, 1.558), (225, 1.755), (500, 3.408)]
)
def test_calibration_by_renyi_gives_the_known_noise(clients: int, noise: float) -> None:
    release = replace(EMNIST, clients_per_round=clients)
    found = calibrate(release, 2.0, 1e-5, by="rdp")
    assert found == pytest.approx(noise, rel=1e-3)
    assert _rdp(replace(release, noise_multiplier=found)) <= 2.0 < _rdp(replace(release, noise_multiplier=found * 0.999))


@pytest.mark.slow
def test_calibration_takes_the_least_noise_that_any_bound_allows() -> None:
    release = replace(EMNIST, clients_per_round=500)
    found = calibrate(release, 2.0, 1e-5)
    assert found < calibrate(release, 2.0, 1e-5, by="rdp")
    assert guarantee([replace(release, noise_multiplier=found)], 1e-5).epsilon <= 2.0
    assert guarantee([replace(release, noise_multiplier=found * 0.999)], 1e-5).epsilon > 2.0


@pytest.mark.parametrize("sampling", ["fixed", "ordered"])
def test_every_sampling_can_be_calibrated(sampling: str) -> None:
    release = Release("tree" if sampling == "ordered" else "gaussian", sampling, 1.0, 50, 3383, 100)
    found = replace(release, noise_multiplier=calibrate(release, 4.0, 1e-5))
    assert 3.9 < guarantee([found], 1e-5).epsilon <= 4.0


@pytest.mark.parametrize("sampling", ["poisson", "fixed"])
def test_epsilon_grows_with_rounds_and_clients_and_falls_with_noise_and_delta(sampling: str) -> None:
    base = replace(EMNIST, sampling=sampling)
    assert _rdp(replace(base, rounds=50)) < _rdp(base) < _rdp(replace(base, rounds=200))
    assert _rdp(replace(base, clients_per_round=25)) < _rdp(base) < _rdp(replace(base, clients_per_round=100))
    assert _rdp(replace(base, population=6000)) < _rdp(base) < _rdp(replace(base, population=2000))  # a population that shrinks
    assert _rdp(replace(base, noise_multiplier=2.0)) < _rdp(base) < _rdp(replace(base, noise_multiplier=0.5))
    assert _rdp(base, 1e-4) < _rdp(base) < _rdp(base, 1e-6)


def test_without_noise_epsilon_is_infinite() -> None:
    for sampling, mechanism in (("poisson", "gaussian"), ("fixed", "gaussian"), ("ordered", "tree")):
        release = replace(EMNIST, sampling=sampling, mechanism=mechanism, noise_multiplier=0.0)
        assert guarantee([release], 1e-5).epsilon == math.inf
        assert series(release, 1e-5) == [math.inf] * 100


def test_an_epsilon_comes_with_its_unit() -> None:
    found = guarantee([EMNIST], 1e-5)
    assert str(found) == "epsilon 1.062 (client level, add/remove one client, delta=1e-5)"
    assert (
        guarantee([replace(EMNIST, sampling="fixed")], 1e-5).unit == "client level, replace one client by another, delta=1e-5"
    )


def test_the_series_is_epsilon_after_each_round_as_dp_accounting_has_it() -> None:
    found = series(replace(EMNIST, rounds=30), 1e-5)
    for rounds in (1, 7, 30):
        accountant = dp_accounting.rdp.RdpAccountant(privacy.ORDERS)
        assert found[rounds - 1] == pytest.approx(
            accountant.compose(privacy.event(replace(EMNIST, rounds=rounds))).get_epsilon(1e-5), rel=1e-9
        )


def test_the_series_of_a_thousand_rounds_takes_less_than_a_second() -> None:
    release = replace(EMNIST, rounds=1000, noise_multiplier=1.0123)  # not in the cache
    start = time.perf_counter()
    found = series(release, 1e-5)
    assert time.perf_counter() - start < 1
    assert found == sorted(found) and len(found) == 1000


def _divergence(order: float, log_p: np.ndarray, log_q: np.ndarray, step: float) -> float:
    return float((logsumexp(order * log_p + (1 - order) * log_q) + math.log(step)) / (order - 1))


def _replaced_pair(order: float, z: float, q: float, others: float) -> float:
    """Renyi divergence of one round, one coordinate, clip 1: the client sends +1 in one population and -1 in the other; who has
    its place in the cohort when it is left out sends `others`."""
    x = np.linspace(-30 * z - 40, 30 * z + 40, 200_001)

    def log_density(mean: float) -> np.ndarray:
        return -((x - mean) ** 2) / (2 * z**2) - math.log(z * math.sqrt(2 * math.pi))

    mixtures = [np.logaddexp(math.log1p(-q) + log_density(others), math.log(q) + log_density(own)) for own in (1, -1)]
    return _divergence(order, *mixtures, step=x[1] - x[0])


@pytest.mark.parametrize("others", [0.0, 1.0, -1.0])
@pytest.mark.parametrize(("z", "clients"), [(1.0, 100), (2.0, 500), (4.0, 100), (2.0, 10)])
@pytest.mark.parametrize("sampling", ["fixed", "poisson"])
def test_no_two_populations_with_one_client_replaced_are_further_apart_than_the_bound(
    sampling: str, z: float, clients: int, others: float
) -> None:
    others = others if sampling == "fixed" else 0.0  # nobody takes the place of a client that Poisson sampling left out
    curve = privacy._curve(Release("gaussian", sampling, z, clients, 1000, 1), privacy.REPLACE)
    bound = dict(zip(privacy.ORDERS, curve, strict=True))
    for order in (2, 4, 8):
        assert _replaced_pair(order, z, clients / 1000, others) <= bound[order]


def test_noise_of_one_clip_does_not_have_the_epsilon_of_one_sensitivity_when_clients_are_replaced() -> None:
    # two clips is the sensitivity: the known 1.407 is for noise of two clips ...
    assert guarantee([replace(EMNIST, sampling="fixed", noise_multiplier=2.0)], ONE_IN_3383).epsilon == pytest.approx(
        1.407, rel=1e-3
    )
    assert guarantee([replace(EMNIST, sampling="fixed")], ONE_IN_3383).epsilon > 5
    # ... because with z in place of z / 2, there are populations further apart than the bound
    accountant = dp_accounting.rdp.RdpAccountant([8], dp_accounting.NeighboringRelation.REPLACE_ONE)
    wrong = dp_accounting.SampledWithoutReplacementDpEvent(1000, 500, dp_accounting.GaussianDpEvent(2.0))
    assert _replaced_pair(8, 2.0, 0.5, 0.0) > accountant.compose(wrong).rdp[0]


def test_fixed_sampling_never_gets_the_epsilon_of_poisson_sampling() -> None:
    fixed = guarantee([replace(EMNIST, sampling="fixed")], 1e-5)
    assert fixed.pld is None
    assert fixed.epsilon > guarantee([EMNIST], 1e-5).rdp


def test_a_tree_in_one_epoch_has_the_known_epsilon() -> None:
    release = Release("tree", "ordered", 4.0, 10, 1000, 100)
    found = guarantee([release], 1e-5)
    assert found.rdp == pytest.approx(2.959, rel=1e-3)
    assert found.relation == privacy.ZERO_OUT
    event = dp_accounting.SingleEpochTreeAggregationDpEvent(4.0, 100)
    special = dp_accounting.NeighboringRelation.REPLACE_SPECIAL
    assert found.rdp == pytest.approx(dp_accounting.rdp.RdpAccountant(privacy.ORDERS, special).compose(event).get_epsilon(1e-5))
    restarted = replace(release, restart_every=30)  # each client is in one of the trees only
    by_library = dp_accounting.rdp.RdpAccountant(privacy.ORDERS, special).compose(
        dp_accounting.SingleEpochTreeAggregationDpEvent(4.0, [30, 30, 30, 10])
    )
    assert guarantee([restarted], 1e-5).rdp == pytest.approx(by_library.get_epsilon(1e-5))


def _all_patterns(rounds: int, gap: int) -> list[tuple[int, ...]]:
    patterns = itertools.product((0, 1), repeat=rounds)
    return [p for p in patterns if all(sum(p[i : i + gap]) <= 1 for i in range(rounds))]


def _nodes(rounds: int, restart_every: int) -> list[range]:
    """The rounds below each full node of each tree."""
    nodes = []
    for start in range(0, rounds, restart_every):
        leaves = min(restart_every, rounds - start)
        for size in (1, 2, 4, 8):
            nodes += [range(start + first, start + first + size) for first in range(0, leaves - size + 1, size)]
    return nodes


@pytest.mark.parametrize("gap", [1, 2, 3, 5, 12])
@pytest.mark.parametrize("restart_every", [3, 4, 8, 11])
def test_no_way_of_taking_part_changes_the_trees_by_more_than_the_bound(gap: int, restart_every: int) -> None:
    for rounds in (3, 8, 11):
        sampling = "full" if gap == 1 else "ordered"
        release = Release("tree", sampling, 1.0, 2, 2 * gap, rounds, restart_every=restart_every)
        nodes = _nodes(rounds, restart_every)
        worst = max(sum(sum(pattern[i] for i in node) ** 2 for node in nodes) for pattern in _all_patterns(rounds, gap))
        assert worst <= privacy._squared_sensitivity(release) <= 1.6 * worst


def test_taking_part_again_in_a_tree_costs_more() -> None:
    once = Release("tree", "ordered", 4.0, 10, 1000, 100)
    assert _rdp(replace(once, rounds=200)) > 1.3 * _rdp(once)
    assert _rdp(replace(once, clients_per_round=100)) > 2 * _rdp(once)


def test_releases_compose_as_events_and_not_as_epsilons() -> None:
    halves = guarantee([replace(EMNIST, rounds=50)] * 2, 1e-5)
    assert halves.epsilon == pytest.approx(guarantee([EMNIST], 1e-5).epsilon, rel=1e-3)
    assert halves.rdp == pytest.approx(_rdp(EMNIST))
    assert halves.epsilon < 0.9 * 2 * guarantee([replace(EMNIST, rounds=50)], 1e-5).epsilon
    assert guarantee([], 1e-5).epsilon == 0


def test_releases_with_different_neighbours_meet_in_the_one_all_have_a_bound_for() -> None:
    fixed = replace(EMNIST, sampling="fixed", noise_multiplier=2.0)
    tree = Release("tree", "ordered", 4.0, 10, 1000, 100)
    both = guarantee([EMNIST, tree], 1e-5)
    assert both.relation == privacy.ZERO_OUT and both.epsilon > guarantee([tree], 1e-5).epsilon
    everything = guarantee([EMNIST, tree, fixed], 1e-5)
    assert everything.relation == privacy.REPLACE and everything.pld is None
    assert everything.epsilon > max(guarantee([fixed], 1e-5).epsilon, both.epsilon)


def test_an_adaptive_clip_shares_the_noise_between_updates_and_count() -> None:
    updates, count = mechanisms.split_noise(1.0, 50)
    assert updates > 1 and count == pytest.approx(2.5)
    both = dp_accounting.ComposedDpEvent([dp_accounting.GaussianDpEvent(updates), dp_accounting.GaussianDpEvent(count / 0.5)])
    accountant = dp_accounting.rdp.RdpAccountant(privacy.ORDERS).compose(both)
    assert accountant.get_epsilon(1e-5) == pytest.approx(_rdp(_of(1.0, 1, 1, 1)))


@pytest.mark.parametrize(
    ("change", "delta", "words"),
    [
        ({}, ONE_IN_3383, "less than 1/3383"),
        ({}, 0.0, "privacy.delta is 0"),
        ({}, math.nan, "privacy.delta is nan"),
        ({"noise_multiplier": 5.0, "adaptive_clip": True}, 1e-5, "too high for the cohort"),
        ({"noise_multiplier": 50.0}, 1e-5, "too high for the cohort"),
        ({"clients_per_round": 4000}, 1e-5, "clients_per_round is 4000"),
        ({"noise_multiplier": -1.0}, 1e-5, "noise_multiplier is -1.0"),
        ({"noise_multiplier": math.nan}, 1e-5, "noise_multiplier is nan"),
        ({"rounds": 0}, 1e-5, "at least 1 round"),
        ({"sampling": "full"}, 1e-5, "full sampling takes 50 of 3383"),
        ({"mechanism": "laplace"}, 1e-5, "privacy.mechanism is 'laplace'"),
        ({"mechanism": "tree"}, 1e-5, "no epsilon is known for mechanism tree with 'poisson'"),
        ({"mechanism": "tree", "sampling": "fixed"}, 1e-5, "no epsilon is known for mechanism tree with 'fixed'"),
        ({"sampling": "ordered"}, 1e-5, "no epsilon is known for mechanism gaussian with 'ordered'"),
        ({"mechanism": "tree", "sampling": "ordered", "adaptive_clip": True}, 1e-5, "adaptive with mechanism tree"),
    ],
)
def test_what_has_no_useful_guarantee_is_refused_in_one_line(change: dict, delta: float, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        check(replace(EMNIST, **change), delta)
    assert "\n" not in str(caught.value)


def test_what_is_just_within_the_limits_is_accepted() -> None:
    check(EMNIST, ONE_IN_3383 * 0.99)
    check(replace(EMNIST, noise_multiplier=4.99, adaptive_clip=True), 1e-5)
    check(replace(EMNIST, noise_multiplier=49.0), 1e-5)
    check(replace(EMNIST, noise_multiplier=0.0), 1e-5)


@pytest.mark.parametrize("target", [0.0, -1.0, math.nan, math.inf])
def test_a_target_that_is_no_positive_number_is_refused(target: float) -> None:
    with pytest.raises(ConfigError, match="target_epsilon"):
        calibrate(EMNIST, target, 1e-5)


def test_a_small_cohort_is_told_how_little_it_gets() -> None:
    silos = _of(2.0, 20, 20, 50)
    noise, weak = cautions(silos, guarantee([silos], 1e-2))
    assert "0.1 clips" in noise and "epsilon 13.71" in weak
    assert cautions(EMNIST, guarantee([EMNIST], 1e-5)) == []


def test_it_is_said_what_epsilon_leaves_out() -> None:
    for words in ("warm start", "statistics", "settings", "evaluation", "number of clients", "architecture"):
        assert words in privacy.NOT_COVERED
    assert "seed" in privacy.SEEDED_NOISE
