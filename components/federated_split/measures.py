"""How unlike each other clients are: formulas on plain arrays.

Labels x clients is mostly zeros, so it comes as cells: `client`, `label` and `count` of what is above 0, each pair once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

_POINTS = {"min": 0, "p10": 10, "p25": 25, "median": 50, "p75": 75, "p90": 90, "max": 100}


@dataclass(frozen=True)
class Cells:
    """int64[k] each: position of a client, code of a label, and how many examples of it the client has (above 0)."""

    client: np.ndarray
    label: np.ndarray
    count: np.ndarray


class Unlikeness(NamedTuple):
    """Of each client, float64[n]; see `unlikeness`."""

    weight: np.ndarray
    jensen_shannon: np.ndarray
    hellinger: np.ndarray
    effective_labels: np.ndarray


def quantiles(values: np.ndarray, times: np.ndarray) -> dict[str, float]:
    """Returns the 0, 10, 25, 50, 75, 90 and 100 % quantiles of numbers given as a histogram.

    Linear between neighbours (type 7 of Hyndman and Fan 1996, "Sample quantiles in statistical packages", The American
    Statistician 50(4), NumPy's default).

    Args:
      values: int64[k], rising; k at least 1.
      times: int64[k], how often each is there, above 0.
    """
    ends = np.cumsum(times)
    position = (int(ends[-1]) - 1) * np.array(list(_POINTS.values())) / 100
    below = np.floor(position).astype(np.int64)
    low, high = (values[np.searchsorted(ends, np.minimum(at, ends[-1] - 1), side="right")] for at in (below, below + 1))
    return dict(zip(_POINTS, (low + (position - below) * (high - low)).tolist(), strict=True))


def gini(values: np.ndarray, times: np.ndarray) -> float:
    """Returns the Gini coefficient of numbers given as a histogram (as for `quantiles`), not all 0.

    0 when all are equal, near 1 when one has everything: sum_i (2i - n - 1) x_i / (n sum_i x_i) over rising x (Damgaard and
    Weiner 2000, "Describing inequality in plant size or fecundity", Ecology 81(4)), without their factor n / (n - 1).
    """
    ends = np.cumsum(times).astype(np.float64)
    n = ends[-1]
    # The ranks i of equal values run from ends - times + 1 to ends: on average 2i is 2 ends - times + 1.
    weight = (2 * ends - times - n) * times
    return float(weight @ values / (n * float(times @ values)))


def unlikeness(cells: Cells, clients: int, totals: np.ndarray) -> Unlikeness:
    """Compares the label distribution p of each of `clients` clients with that of the whole, q.

    weight: the client's labelled examples; where it is 0, the others mean nothing.
    jensen_shannon: in bits, between 0 (p = q) and 1 (no label in common): KL(p, m) / 2 + KL(q, m) / 2 with m = (p + q) / 2
      (Lin 1991, "Divergence measures based on the Shannon entropy", IEEE Transactions on Information Theory 37(1)).
    hellinger: between 0 and 1 likewise: sqrt(1 - sum sqrt(p q)) (Hellinger 1909). Both are usual measures of label skew
      (Jimenez et al. 2024, "FedArtML", IEEE Access 12).
    effective_labels: exp(entropy of p), the number of equally frequent labels that would be as diverse (Hill 1973, "Diversity
      and evenness", Ecology 54(2)).

    Args:
      cells: of these clients.
      clients: how many there are.
      totals: int64[labels], examples of each label in the whole; `cells.label` are positions in it.
    """

    def per_client(values: np.ndarray) -> np.ndarray:
        return np.bincount(cells.client, weights=values, minlength=clients)

    weight = per_client(cells.count)
    p = cells.count / weight[cells.client]
    q = (totals / totals.sum())[cells.label]
    m = (p + q) / 2
    # A label that the client lacks adds q log2(q / (q / 2)) = q to KL(q, m), and nothing to the other sums.
    divergence = (per_client(p * np.log2(p / m)) + per_client(q * np.log2(q / m)) + 1 - per_client(q)) / 2
    distance = np.sqrt(np.clip(1 - per_client(np.sqrt(p * q)), 0, 1))
    return Unlikeness(weight, np.clip(divergence, 0, 1), distance, np.exp(per_client(-p * np.log(p))))
