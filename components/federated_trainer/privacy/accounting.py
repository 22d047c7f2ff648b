"""Differential privacy accounting: what a training releases, the epsilon of it, and the noise an epsilon needs.

The unit of privacy is the client: all its examples at once. Nothing here adds noise or reads data.

In all of this module
  z (`noise_multiplier`) is the standard deviation of the noise on the *sum* of the updates, divided by the clip, which bounds
    the norm of one client's update. The sum is divided by a number that does not depend on the data.
  q is the probability that a client takes part in a round: clients per round / population.

Which pair of populations a guarantee compares depends on how the clients are sampled:
  poisson  each client takes part with probability q, whatever the others do: add or remove one client, so that the sum
           changes by at most one clip. Mironov, Talwar, Zhang 2019 (arXiv 1908.10530) for the Renyi divergence.
  full     every client takes part in every round: add or remove one client; nothing is gained by sampling.
  fixed    q * population clients, drawn anew without replacement: *replace* one client by another, so that the sum changes by
           up to two clips. `SampledWithoutReplacementDpEvent(GaussianDpEvent(x))` takes x to be noise / sensitivity, hence
           x = z / 2: with x = z there are neighbours further apart than the bound. Wang, Balle, Kasiviswanathan 2019
           (arXiv 1808.00087), theorem 27; dp_accounting has no privacy loss distribution for it.
  ordered  (tree only) clients take turns in one order that is gone round for the whole run, so that a client comes back no
           sooner than floor(population / clients per round) *releases* later. A round repeated after too few reports has to ask
           the same clients again: with the next ones, two releases of a client could be neighbours in the tree. The updates of
           one client become zero, the others keep their turns. `poisson` and `full` have one bound for it and for add/remove.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

ADD_REMOVE = "add/remove one client"
REPLACE = "replace one client by another"
ZERO_OUT = "set one client's updates to zero"

NOT_COVERED = (
    "Epsilon covers the released models and nothing else. It does not cover: data used without noise (a centralised baseline or"
    " warm start, statistics and the schema, example validation); the choice of settings, rounds or an early stop by results on"
    " these clients; evaluation, and metrics, losses or counts shown per round or per client; the number of clients; the"
    " model's architecture and preprocessing; trainings without privacy on the same clients."
)
SEEDED_NOISE = (
    "The noise is seeded: epsilon holds only against those who do not know the seed, which the records of the run contain."
)

# The orders of the figures published from 2016 to 2021, and with them finer ones, which lower epsilon by up to 1 %.
_CLASSIC_ORDERS = (1.25, 1.5, 1.75, 2, 2.25, 2.5, 3, 3.5, 4, 4.5, *range(5, 64), 128, 256, 512)
ORDERS = np.array(sorted({*_CLASSIC_ORDERS, *(1 + tenths / 10 for tenths in range(1, 100)), 1024}))

SAMPLING_OF = {"gaussian": ("poisson", "fixed", "full"), "tree": ("ordered", "full")}
"""Mechanism -> the ways of drawing cohorts that it has a bound for."""
# Of the expected clients per round: the standard deviation of the noise on the number of updates within an adaptive clip, and
# twice that, the most that z can be with it. Andrew et al. 2021, section 3.1, and tff.aggregators.
_COUNT_NOISE = 0.05
_WEAK_EPSILON = 10.0
_NO_GUARANTEE = 1000.0  # from here on a tighter figure is of no use to anybody
LARGEST_TARGET = 100.0
_NEAR = 2.5e-4  # how near calibration comes to the least noise, relatively
_COARSER = 10.0  # by which the grid of losses is coarser while noise is searched for: ten times as fast, epsilon to 1e-4
_LEAST_NOISE = 0.01  # gives a single round an epsilon in the thousands


@dataclass(frozen=True)
class Release:
    """What the rounds of one training release.

    Attributes:
      mechanism: gaussian: independent noise in each round. tree: the noise of DP-FTRL (Kairouz et al. 2021, arXiv 2103.00039).
      sampling: how the cohorts really are drawn; see the module.
      noise_multiplier: z. With an adaptive clip, of updates and clip together; in a tree, of every node.
      clients_per_round: as expected by the sampling; all of the population if it is full.
      population: the number of clients the cohorts are drawn from.
      rounds: attempted, those that failed included.
      adaptive_clip: the clip follows a quantile of the norms, measured with noise.
      restart_every: (tree only) the rounds after which a new tree begins; None: one tree for all rounds.

    Raises:
      ConfigError: it describes nothing that has a sound bound.
    """

    mechanism: Literal["gaussian", "tree"]
    sampling: Literal["poisson", "fixed", "full", "ordered"]
    noise_multiplier: float
    clients_per_round: int
    population: int
    rounds: int
    adaptive_clip: bool = False
    restart_every: int | None = None

    def __post_init__(self) -> None:
        _check_mechanism(self)
        _check_numbers(self)

    @property
    def relation(self) -> str:
        """The neighbouring populations the guarantee is about."""
        if self.mechanism == "tree":
            return ZERO_OUT
        return REPLACE if self.sampling == "fixed" else ADD_REMOVE


@dataclass(frozen=True)
class Guarantee:
    """(epsilon, delta) of one or several releases to the same clients.

    rdp, pld: upper bounds by Renyi differential privacy and by privacy loss distributions (None: not known for these releases);
    infinite without noise. classic: the conversion from Renyi used before 2020, for comparison with published figures.
    """

    delta: float
    relation: str
    rdp: float
    classic: float
    pld: float | None

    @property
    def epsilon(self) -> float:
        """The least of the valid bounds."""
        return self.rdp if self.pld is None else min(self.rdp, self.pld)

    @property
    def unit(self) -> str:
        """What epsilon is about; an epsilon without it says nothing."""
        return f"client level, {self.relation}, delta={_scientific(self.delta)}"

    def __str__(self) -> str:
        return f"epsilon {self.epsilon:.4g} ({self.unit})"


def check(release: Release, delta: float) -> None:
    """Refuses a guarantee that would be worth nothing, and noise that leaves nothing to learn from.

    With a fixed clip and z >= clients per round, the noise on each single coordinate of the mean is as large as the whole mean
    update can ever be. With an adaptive clip and z >= 0.1 * clients per round, the count alone would cost more. ConfigError.
    """
    check_delta(delta, release.population)
    most = 2 * _COUNT_NOISE * release.clients_per_round if release.adaptive_clip else release.clients_per_round
    if release.noise_multiplier >= most:
        raise ConfigError(
            f"the noise is too high for the cohort: multiplier {release.noise_multiplier:.4g}, expected less than {most:g}"
            f" with {release.clients_per_round} clients per round{' and an adaptive clip' if release.adaptive_clip else ''};"
            " use more clients per round, fewer rounds or a larger target epsilon."
        )


def check_delta(delta: float, population: int) -> None:
    """Refuses a delta of 1/population or more: it would allow to publish one client outright. Raises ConfigError."""
    if not 0 < delta < 1 / population:
        raise ConfigError(
            f"privacy.delta is {delta:g}: expected more than 0 and less than 1/{population}, one over the number of clients;"
            f" set it to {_scientific(10 ** math.floor(math.log10(0.5 / population)))}, say."
        )


def cautions(release: Release, found: Guarantee) -> list[str]:
    """What should be said before the first round, a line each: noise that will be felt, an epsilon that promises little."""
    lines, share = [], release.noise_multiplier / release.clients_per_round
    if share >= 2 * _COUNT_NOISE:
        lines.append(
            f"the noise on each coordinate of the mean update has a standard deviation of {share:.2g} clips, and the whole"
            " update a norm of at most one: expect slow learning, or use more clients per round."
        )
    if found.epsilon > _WEAK_EPSILON:
        lines.append(f"{found} promises a client very little: with so few clients a useful epsilon needs more noise.")
    return lines


def event(release: Release) -> Any:
    """The dp_accounting event of all rounds of a release, under the release's own relation."""
    import dp_accounting

    z, rounds = release.noise_multiplier, release.rounds
    if z == 0:
        return dp_accounting.NonPrivateDpEvent()
    if release.mechanism == "tree":
        return dp_accounting.GaussianDpEvent(z / math.sqrt(_squared_sensitivity(release)))
    one = _round_event(release.sampling, z, release.clients_per_round, release.population)
    return dp_accounting.SelfComposedDpEvent(one, rounds)


def guarantee(releases: Sequence[Release], delta: float) -> Guarantee:
    """The guarantee of all releases together, to a client that may have been in every one of them.

    Composes their events rather than adding their epsilons. Different relations meet in the one that all have a bound for:
    with a fixed-size release all are accounted under REPLACE, see `_replaced`.
    """
    relation = _common_relation(releases)
    curve = sum((_curve(release, relation) for release in releases), np.zeros(len(ORDERS)))
    rdp = float(_epsilon(curve, delta))
    classic = float(np.min((curve - math.log(delta) / (ORDERS - 1))[np.isin(ORDERS, _CLASSIC_ORDERS)]))
    pld = None if relation == REPLACE else _pld_epsilon(releases, delta, rdp)
    return Guarantee(delta, relation, rdp, classic, pld)


def series(release: Release, delta: float) -> list[float]:
    """Epsilon after each of the rounds 1 to `release.rounds`, by RDP (the one that is cheap): the last is `Guarantee.rdp`."""
    curves = [_curve(replace(release, rounds=done), release.relation) for done in range(1, release.rounds + 1)]
    return [float(value) for value in _epsilon(np.array(curves), delta)]


def calibrate(release: Release, target_epsilon: float, delta: float, by: Literal["tightest", "rdp"] = "tightest") -> float:
    """The smallest noise multiplier, to a relative 1e-3, whose epsilon is at most the target. Takes seconds by "tightest".

    Args:
      release: its own noise multiplier does not matter.
      by: the bound that must reach it; "rdp" gives the figures of TFF's tutorials. The result still has to pass `check`.

    Raises:
      ConfigError: the target is not a positive number, or delta is too large for the population.
    """
    check_delta(delta, release.population)
    if not 0 < target_epsilon <= LARGEST_TARGET:
        raise ConfigError(f"privacy.target_epsilon is {target_epsilon!r}: expected more than 0, at most 100; set it to 2, say.")

    def at(log_z: float) -> Release:
        return replace(release, noise_multiplier=math.exp(log_z))

    def excess_by_rdp(log_z: float) -> float:
        return float(_epsilon(_curve(at(log_z), release.relation), delta)) - target_epsilon

    def excess(log_z: float, coarser: float = 1.0) -> float:
        rdp = excess_by_rdp(log_z) + target_epsilon
        pld = _pld_epsilon([at(log_z)], delta, rdp, coarser)
        return (rdp if pld is None else min(rdp, pld)) - target_epsilon

    enough = _least_enough(excess_by_rdp, 0.0, step=1.0)
    if by == "tightest" and release.relation != REPLACE:  # takes 5 to 20 % less noise, so not far from there
        enough = _least_enough(functools.partial(excess, coarser=_COARSER), enough, step=0.15)
        while excess(enough) > 0:  # a coarse grid gives an upper bound too, so this is a check and hardly ever a search
            enough += _NEAR
    return math.exp(enough)


def _least_enough(excess: Callable[[float], float], start: float, step: float) -> float:
    """The least value, to 1e-3, at which `excess`, which falls, is not positive. Looks around `start` in steps first."""
    from scipy.optimize import brentq

    known = functools.cache(excess)
    high = start
    while known(high) > 0:
        high += step
    low = high - step
    while known(low) <= 0:
        high, low = low, low - step
    value = float(brentq(known, low, high, xtol=_NEAR))
    while known(value) > 0:
        value += _NEAR
    return value


def _common_relation(releases: Sequence[Release]) -> str:
    relations = {release.relation for release in releases}
    return next((each for each in (REPLACE, ZERO_OUT) if each in relations), ADD_REMOVE)


def _curve(release: Release, relation: str) -> NDArray[np.float64]:
    """Renyi divergence of all rounds at ORDERS, an upper bound under the relation.

    Sampling never makes the divergence larger (it is quasi-convex, van Erven and Harremoes 2014, theorem 13), so the bound
    without sampling, order * (sensitivity / noise)**2 / 2, is a bound too, and the lower of the two counts at each order.
    """
    z = release.noise_multiplier
    if z == 0:
        return np.full(len(ORDERS), np.inf)
    clips = 2 if relation == REPLACE else 1
    unsampled = ORDERS * _squared_sensitivity(release) * clips**2 / (2 * z**2)
    if release.sampling not in ("poisson", "fixed"):
        return unsampled
    sampled = _replaced if release.sampling == "poisson" and relation == REPLACE else _sampled_curve
    one = sampled(release.sampling, z, release.clients_per_round, release.population)
    return np.minimum(unsampled, release.rounds * one)


@functools.lru_cache(maxsize=256)
def _sampled_curve(
    sampling: str, z: float, clients: int, population: int, times: int = 1, less: int = 0
) -> NDArray[np.float64]:
    """Renyi divergence of one round under the sampling's own relation, at the orders `times * ORDERS - less`."""
    import dp_accounting

    relation = dp_accounting.NeighboringRelation
    neighbours = relation.REPLACE_ONE if sampling == "fixed" else relation.ADD_OR_REMOVE_ONE
    accountant = dp_accounting.rdp.RdpAccountant(times * ORDERS - less, neighbours)
    curve = accountant.compose(_round_event(sampling, z, clients, population)).rdp
    curve.setflags(write=False)  # it is shared by all who ask for it
    return curve


def _replaced(sampling: str, z: float, clients: int, population: int) -> NDArray[np.float64]:
    """Replacing a client is removing one and adding another: the weak triangle inequality (Mironov 2017, arXiv 1702.07476,
    proposition 11, p = q = 2): D_a(P, Q) <= (a - 1/2) / (a - 1) * D_2a(P, R) + D_(2a-1)(R, Q).
    """
    removed = _sampled_curve(sampling, z, clients, population, times=2)
    added = _sampled_curve(sampling, z, clients, population, times=2, less=1)
    return (ORDERS - 0.5) / (ORDERS - 1) * removed + added


def _round_event(sampling: str, z: float, clients: int, population: int) -> Any:
    import dp_accounting

    if sampling == "poisson":
        return dp_accounting.PoissonSampledDpEvent(clients / population, dp_accounting.GaussianDpEvent(z))
    if sampling == "fixed":  # z is noise / clip; the event wants noise / sensitivity, which is two clips
        return dp_accounting.SampledWithoutReplacementDpEvent(population, clients, dp_accounting.GaussianDpEvent(z / 2))
    return dp_accounting.GaussianDpEvent(z)


def _squared_sensitivity(release: Release) -> int:
    """Squared norm of all that a client can change in all sums together, in clips, with no regard to sampling.

    Independent noise: one for each round. Trees: node by node, the number of the client's rounds below it, squared. A client
    with at most p rounds in all is in at most p of the trees.
    """
    if release.mechanism == "gaussian":
        return release.rounds
    gap = max(1, release.population // release.clients_per_round)
    leaves = release.restart_every or release.rounds
    trees = [leaves] * (release.rounds // leaves) + [release.rounds % leaves]
    return sum(_tree_sensitivity(size, gap) for size in trees[: math.ceil(release.rounds / gap)])


def _tree_sensitivity(leaves: int, gap: int) -> int:
    """Bound of the sum over a tree's full nodes of (rounds of one client below the node)**2; its rounds are >= gap apart.

    Level by level, sum(k**2) <= max(k) * sum(k), with ceil(2**level / gap) rounds at most below one node. It is exact for a
    client with one round in the tree, where it is the depth, and close to the search of Kairouz et al. 2021, appendix D.2,
    else. Forming sums of nodes as Honaker 2015 does to lower the noise changes nothing.
    """
    total = 0
    for level in range(leaves.bit_length()):
        covered = leaves >> level << level  # the leaves below full nodes of this level
        total += math.ceil(2**level / gap) * math.ceil(covered / gap)
    return total


def _epsilon(curves: NDArray[np.float64], delta: float) -> NDArray[np.float64]:
    """Epsilon of each curve over ORDERS (last axis): Canonne, Kamath, Steinke 2020 (arXiv 2004.00010), proposition 12; zero
    where the Kullback-Leibler divergence alone gives delta. The same as `dp_accounting.rdp.compute_epsilon`, for many at once.
    """
    by_order = curves + np.log1p(-1 / ORDERS) - (math.log(delta) + np.log(ORDERS)) / (ORDERS - 1)
    by_order = np.where(delta**2 + np.expm1(-curves) > 0, 0, by_order)
    return np.maximum(0, np.min(by_order, axis=-1))


def _pld_epsilon(releases: Sequence[Release], delta: float, rdp: float, coarser: float = 1.0) -> float | None:
    """Epsilon by privacy loss distributions. The grid of losses grows with epsilon, so that its size does not."""
    import dp_accounting

    if rdp == math.inf:
        return math.inf
    if rdp > _NO_GUARANTEE:
        return None
    accountant = dp_accounting.pld.PLDAccountant(value_discretization_interval=1e-4 * coarser * max(1, rdp / 25))
    return float(accountant.compose(dp_accounting.ComposedDpEvent([event(release) for release in releases])).get_epsilon(delta))


def _check_mechanism(release: Release) -> None:
    allowed = SAMPLING_OF.get(release.mechanism, ())
    if not allowed:
        raise ConfigError(f"privacy.mechanism is {release.mechanism!r}: expected one of {', '.join(SAMPLING_OF)}.")
    if release.sampling not in allowed:
        raise ConfigError(
            f"no epsilon is known for mechanism {release.mechanism} with {release.sampling!r} sampling: expected"
            f" {' or '.join(allowed)}; change participation.sampling or privacy.mechanism."
        )
    if release.mechanism == "tree" and release.adaptive_clip:
        raise ConfigError(
            "privacy.clip is adaptive with mechanism tree: expected a number; set one, or use mechanism gaussian."
        )


def _check_numbers(release: Release) -> None:
    z, clients, population = release.noise_multiplier, release.clients_per_round, release.population
    if not (z == 0 or _LEAST_NOISE <= z < math.inf):
        raise ConfigError(f"noise_multiplier is {z!r}: expected 0 (no privacy) or a number of at least {_LEAST_NOISE:g}.")
    if release.rounds < 1 or (release.restart_every is not None and release.restart_every < 1):
        raise ConfigError(f"expected at least 1 round, and in each tree, got {release.rounds} and {release.restart_every}.")
    if not 1 <= clients <= population:
        raise ConfigError(f"clients_per_round is {clients}: expected 1 to {population}, the number of clients; lower it.")
    if release.sampling == "full" and clients != population:
        raise ConfigError(f"full sampling takes {clients} of {population} clients: expected all of them; use poisson.")


def _scientific(value: float) -> str:
    return f"{value:.3g}".replace("e-0", "e-")
