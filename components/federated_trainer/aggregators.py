"""CHANGE HOW UPDATES ARE COMBINED HERE: the server's half of aggregation, on plain arrays.

RULES look at all updates of a round at once. Adding one is a function, a line in RULES, a line in `clients_needed` and a test.
All of them treat clients alike whatever their weights, because a client could claim any weight; only the geometric median,
whose paper weighs, weighs: it stands as long as the honest clients hold more than half of the weight. Updates must be finite:
who sent NaN or Inf is left out before. Work is done in column blocks, so a rule needs a few MiB above its input.

An AdaptiveNorm follows a quantile of the norms of updates, for clipping and zeroing.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from errors import TrainingError

Rule = Callable[[np.ndarray, np.ndarray, int], np.ndarray]

_BLOCK_ELEMENTS = 1 << 19  # of a column block: 4 MiB as float64, what the caches hold
# A squared distance below this share of the squared norms has lost too many digits in the Gram matrix.
_CANCELLED = 1e-8
# Of the geometric median, in units of the radius around an update that holds half of the weight: smoothing (an absolute number
# in the paper), and the step that ends the iterations.
_SMOOTHING = 1e-6
_STEP = 1e-8
_ITERATIONS = 1000
_FARTHEST = 1e6  # median norms: the most that an update's length counts


def median(updates: np.ndarray, weights: np.ndarray, byzantine: int) -> np.ndarray:
    """Coordinate-wise median (Yin et al. 2018, "Byzantine-Robust Distributed Learning", definition 1).

    Args:
      updates: float32[n, dim], one client's update per row.
      weights: float64[n]; ignored.
      byzantine: ignored, a median needs no guess.

    Returns:
      float32[dim]: between two honest values in each coordinate while less than half of the clients are dishonest.
    """
    del weights, byzantine
    n = len(updates)
    return _by_sorted(updates, (n - 1) // 2, n // 2 + 1)


def trimmed_mean(updates: np.ndarray, weights: np.ndarray, byzantine: int) -> np.ndarray:
    """Mean of what is left after cutting the `byzantine` largest and smallest values per coordinate (Yin et al. 2018,
    definition 2). Arguments and result as of `median`; needs n > 2 byzantine.
    """
    del weights
    return _by_sorted(updates, byzantine, len(updates) - byzantine)


def krum(updates: np.ndarray, weights: np.ndarray, byzantine: int) -> np.ndarray:
    """The one update with the lowest score (Blanchard et al. 2017, "Machine Learning with Adversaries", section 4).

    An update's score is the sum of its squared distances to its n - byzantine - 2 nearest others. Arguments as of `median`;
    needs n >= 2 byzantine + 3.
    """
    del weights
    return updates[_by_score(updates, byzantine)[0]].copy()


def multi_krum(updates: np.ndarray, weights: np.ndarray, byzantine: int) -> np.ndarray:
    """Mean of the n - byzantine updates of the lowest scores (Blanchard et al. 2017, section 4.2, with m = n - byzantine)."""
    del weights
    chosen = _by_score(updates, byzantine)[: len(updates) - byzantine]
    result = np.empty(updates.shape[1], np.float32)
    for columns in _blocks(updates):
        result[columns] = updates[chosen, columns].sum(axis=0, dtype=np.float64) / len(chosen)
    return result


def geometric_median(updates: np.ndarray, weights: np.ndarray, byzantine: int) -> np.ndarray:
    """The point of the least weighted sum of distances to the updates (Pillutla et al. 2022, "Robust Aggregation for
    Federated Learning", algorithm 2: smoothed Weiszfeld iterations).

    Every iterate is a convex combination of the updates, so the iterations run on its n coefficients and on the distances
    between updates; the updates themselves are read only before and after. They end with a step below 1e-8 (at most 1,000
    steps) of the radius around an update that holds half of the weight. An update over a million times as long as the median
    one counts as that long: its direction is what it has a say in.

    Args:
      updates: float32[n, dim].
      weights: float64[n], at least one above 0.
      byzantine: ignored, as for `median`.
    """
    del byzantine
    norms = np.sqrt(_squared_norms(updates))
    farthest = max(_FARTHEST * _upper_median(norms, weights), float(np.finfo(np.float64).tiny))
    scale = farthest / np.maximum(norms, farthest)
    squared = squared_distances(updates, scale)
    radii = np.array([_upper_median(row, weights) for row in np.sqrt(squared)])
    center = int(np.argmin(radii))
    if radii[center] == 0:  # more than half of the weight in one point: that is it
        return (updates[center] * scale[center]).astype(np.float32)
    return _combined(updates, _weiszfeld(squared, weights / weights.sum(), float(radii[center])) * scale)


RULES: dict[str, Rule] = {
    "median": median,
    "trimmed_mean": trimmed_mean,
    "krum": krum,
    "multi_krum": multi_krum,
    "geometric_median": geometric_median,
}


def clients_needed(rule: str, byzantine: int) -> int:
    """Returns the least number of reports with which `rule` withstands `byzantine` dishonest clients; 1 for a mean."""
    if rule in ("krum", "multi_krum"):
        return 2 * byzantine + 3
    return 2 * byzantine + 1 if rule in RULES else 1


def ignores_weights(rule: str) -> bool:
    """Whether all clients count the same with `rule`, whatever their weights."""
    return rule in RULES and rule != "geometric_median"


def combine(rule: str, updates: np.ndarray, weights: np.ndarray, byzantine: int) -> np.ndarray:
    """Returns RULES[rule] of the updates, float32[dim]; see there for the arguments.

    Raises:
      TrainingError: fewer updates came than the rule needs.
    """
    needed = clients_needed(rule, byzantine)
    if len(updates) < needed:
        raise TrainingError(
            f"aggregation.rule {rule} with byzantine {byzantine} needs the updates of {needed} clients, {len(updates)} came; "
            "raise clients_per_round and participation.quorum, or lower aggregation.byzantine."
        )
    return RULES[rule](updates, weights, byzantine)


def squared_distances(updates: np.ndarray, scale: np.ndarray | None = None) -> np.ndarray:
    """Returns the squared distance of each update (times its `scale`) to each other, float64[n, n].

    Through the Gram matrix in float64. Where the difference of its entries cancels (updates alike to 4 digits), once more with
    one of those updates as the origin, until nothing cancels.
    """
    factors = np.ones(len(updates)) if scale is None else scale
    squared, cancelled = _through_gram(updates, factors, np.arange(len(updates)), None)
    while cancelled.any():
        origin = int(np.argmax(cancelled.sum(axis=1)))
        alike = np.union1d(np.flatnonzero(cancelled[origin]), origin)
        pairs = np.ix_(alike, alike)
        again, still = _through_gram(updates, factors, alike, origin)
        squared[pairs] = np.where(cancelled[pairs], again, squared[pairs])
        cancelled[pairs] &= still
    return squared


@dataclass(frozen=True)
class AdaptiveNorm:
    """Follows the `quantile` of the norms of updates by geometric steps (Andrew et al. 2021, "Differentially Private Learning
    with Adaptive Clipping", section 2.1). The estimate is a float that the caller keeps, `initial` before the first round.

    A client tells whether its norm is at or below the estimate, and acts on `threshold(estimate)`: scales its update down to
    it, or sends zeros when its norm is above it.
    """

    initial: float
    quantile: float
    learning_rate: float
    multiplier: float = 1.0
    increment: float = 0.0

    def threshold(self, estimate: float) -> float:
        """Returns the norm that clients clip to, or above which they send zeros."""
        return self.multiplier * estimate + self.increment

    def update(self, estimate: float, below: int, clients: int) -> float:
        """Returns the next estimate after `below` of `clients` had a norm at or below this one; unchanged without clients."""
        return self.moved(estimate, below / clients) if clients else estimate

    def moved(self, estimate: float, fraction: float) -> float:
        """Returns the next estimate when `fraction` of the norms, which may be noisy, are at or below this one."""
        return estimate * math.exp(-self.learning_rate * (min(1.0, max(0.0, fraction)) - self.quantile))


def adaptive_clipping(quantile: float = 0.8) -> AdaptiveNorm:
    """Follows a moderately high L2 norm; the figures are those of TFF's `robust_aggregator`."""
    return AdaptiveNorm(initial=1.0, quantile=quantile, learning_rate=0.2)


def adaptive_zeroing() -> AdaptiveNorm:
    """Follows somewhat above the highest L-infinity norm so far; norm and figures are those of TFF's `robust_aggregator`.

    Zeroing comes before clipping, and who was zeroed keeps its weight and counts as norm 0 when clipping.
    """
    return AdaptiveNorm(initial=10.0, quantile=0.98, learning_rate=math.log(10.0), multiplier=2.0, increment=1.0)


def update_bytes(shapes: Sequence[Sequence[int]], compression: str = "none") -> int:
    """Returns the bytes of one update: float32, or with compression "8bit" a byte per element and least and greatest value
    (float32 each) per tensor.
    """
    sizes = [math.prod(shape) for shape in shapes]
    return sum(sizes) + 8 * len(sizes) if compression == "8bit" else 4 * sum(sizes)


def _blocks(updates: np.ndarray) -> Iterator[slice]:
    """Yields the columns in blocks of _BLOCK_ELEMENTS elements."""
    step = max(1, _BLOCK_ELEMENTS // len(updates))
    for start in range(0, updates.shape[1], step):
        yield slice(start, start + step)


def _by_sorted(updates: np.ndarray, first: int, end: int) -> np.ndarray:
    """Returns, per column, the mean of the sorted values from position `first` to before `end`."""
    result = np.empty(updates.shape[1], np.float32)
    for columns in _blocks(updates):
        # Sorting contiguous rows is 3 times as fast as sorting columns, and faster than any partition.
        ordered = np.sort(updates[:, columns].T.copy(), axis=1)
        result[columns] = ordered[:, first:end].mean(axis=1, dtype=np.float64)
    return result


def _by_score(updates: np.ndarray, byzantine: int) -> list[int]:
    """Returns the rows by rising Krum score; ties by their values, so that the order of reporting plays no part."""
    nearest = np.sort(squared_distances(updates), axis=1)[:, 1 : len(updates) - byzantine - 1]
    scores = nearest.sum(axis=1)

    def compare(a: int, b: int) -> int:
        if scores[a] != scores[b]:
            return -1 if scores[a] < scores[b] else 1
        differing = np.flatnonzero(updates[a] != updates[b])[:1]
        return int(np.sign(updates[a, differing] - updates[b, differing]).sum())

    return sorted(range(len(updates)), key=functools.cmp_to_key(compare))


def _through_gram(
    updates: np.ndarray, factors: np.ndarray, rows: np.ndarray, origin: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the squared distances among `rows` as seen from row `origin` (or from 0), and which of them cancelled."""
    gram = np.zeros([len(rows), len(rows)])
    for columns in _blocks(updates):
        block = updates[rows, columns] * factors[rows, None]
        if origin is not None:
            block -= updates[origin, columns] * factors[origin]
        gram += block @ block.T
    sums = np.add.outer(np.diag(gram), np.diag(gram))
    squared = sums - 2 * gram
    np.fill_diagonal(squared, 0)
    cancelled = squared < _CANCELLED * sums
    np.fill_diagonal(cancelled, False)
    return squared, cancelled


def _weiszfeld(squared: np.ndarray, weights: np.ndarray, radius: float) -> np.ndarray:
    """Returns the coefficients float64[n], of sum 1, of the geometric median of points with these squared distances."""
    coefficients = weights
    for _ in range(_ITERATIONS):
        # |sum_i b_i x_i - x_k|^2 = (S b)_k - b'S b / 2 for coefficients b of sum 1 and squared distances S
        to_each = squared @ coefficients
        distances = np.sqrt(np.maximum(to_each - coefficients @ to_each / 2, 0))
        pulls = weights / np.maximum(distances, _SMOOTHING * radius)
        step = pulls / pulls.sum() - coefficients
        coefficients = coefficients + step
        if -step @ squared @ step / 2 <= (_STEP * radius) ** 2:
            break
    return coefficients


def _combined(updates: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    result = np.empty(updates.shape[1], np.float32)
    for columns in _blocks(updates):
        result[columns] = coefficients @ updates[:, columns].astype(np.float64)
    return result


def _squared_norms(updates: np.ndarray) -> np.ndarray:
    squares = np.zeros(len(updates))
    for columns in _blocks(updates):
        block = updates[:, columns].astype(np.float64)
        squares += np.einsum("ij,ij->i", block, block)
    return squares


def _upper_median(values: np.ndarray, weights: np.ndarray) -> float:
    """Returns the least value at or below which lies more than half of the weight."""
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(2 * cumulative, cumulative[-1], side="right")])
