"""Non-inferiority by a paired bootstrap: how much worse than the baseline a model is, at worst, with a stated confidence.

Both models answered the same examples, so examples are drawn in pairs: n of n with replacement, many times, and each time the
difference of the two means is taken. The lower end is the (1 - confidence) quantile of these differences, rounded to the lower
neighbour: the percentile interval of Efron and Tibshirani 1993 (An Introduction to the Bootstrap, chapters 8 and 13). A model
is not inferior if even this lower end is no more than the margin below zero (Walker and Nowacki 2011, J Gen Intern Med 26:192).
In place of a baseline's answers there may be one given number, such as what the best constant prediction reaches; then only the
model's mean is uncertain. As every percentile interval, it promises somewhat too much for less than some dozens of examples.
And it draws examples, not clients: it takes them for independent. Examples of one client are alike, and where the models differ
by client, the true lower end lies lower than this one.

For many examples the same is had with less work:
  differences that take few values, as those of accuracies do: how often each value is drawn is multinomial, so these counts are
    drawn instead. The distribution is the very same.
  others: all examples are put into groups at random, whose sizes differ by one at most, and groups are drawn. The mean is that
    of the examples in the groups drawn: their sums over their sizes. Its standard error is that of the mean of examples drawn
    one by one, which is found to 1 % with 10,000 groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

UNITS = 10_000
"""The most examples, or groups of them, that are drawn one by one."""
_FEW = 64
_CHUNK = 1 << 21  # random indices held at a time: 16 MiB


def lower_bound(gains: Values, confidence: float, resamples: int, seed: int, *, relative_to: Values | None = None) -> float:
    """Returns the lower end of the mean gain, with one-sided confidence.

    Args:
      gains: float64 [n], by how much the model is better than the baseline on each example; finite, n at least 1.
      confidence: of the lower end, such as 0.95.
      resamples: how many times to draw.
      seed: the same seed gives the same result.
      relative_to: float64 [n], the baseline's own values; the gain is then taken as a share of their mean's absolute value.

    Returns:
      The lower end; minus infinity if it is a loss relative to a mean that may be zero. A gain over zero counts as 0.
    """
    rng = np.random.default_rng(seed)
    columns = gains[:, None] if relative_to is None else np.stack([gains, relative_to], axis=1)
    drawn = np.concatenate(list(_means(columns, resamples, rng)))
    if relative_to is None:
        statistic = drawn[:, 0]
    else:
        with np.errstate(divide="ignore", invalid="ignore"):
            statistic = np.where(drawn[:, 1] == 0, np.where(drawn[:, 0] >= 0, 0, -np.inf), drawn[:, 0] / np.abs(drawn[:, 1]))
    return float(np.quantile(statistic, 1 - confidence, method="lower"))


def _means(columns: Values, resamples: int, rng: np.random.Generator) -> Iterator[Values]:
    """Yields float64 [some, columns], the means of resampled examples."""
    totals, sizes = columns, np.ones(len(columns))
    if len(columns) > UNITS:
        values, counts = np.unique(columns, axis=0, return_counts=True)
        if len(values) <= _FEW:
            drawn = rng.multinomial(len(columns), counts / len(columns), size=resamples)
            yield drawn @ values / len(columns)
            return
        totals, sizes = _groups(columns, rng)
    chunk = max(1, _CHUNK // len(sizes))
    for start in range(0, resamples, chunk):
        picked = rng.integers(len(sizes), size=(min(chunk, resamples - start), len(sizes)))
        drawn = sizes[picked].mean(axis=1)
        yield np.stack([total[picked].mean(axis=1) / drawn for total in totals.T], axis=1)


def _groups(columns: Values, rng: np.random.Generator) -> tuple[Values, Values]:
    """Returns float64 [UNITS, columns] and [UNITS], the sums and sizes of groups into which all examples are put at random."""
    starts = np.arange(UNITS) * len(columns) // UNITS
    totals: Values = np.add.reduceat(columns[rng.permutation(len(columns))], starts, axis=0)
    return totals, np.diff(starts, append=len(columns)).astype(np.float64)
