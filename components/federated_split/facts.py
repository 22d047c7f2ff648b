"""What partition.json says about the clients of a division, without naming one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from components.federated_split.census import Census, Chunk
from components.federated_split.measures import gini, quantiles, unlikeness

# A feature with more values than this is no class label; listing all would let partition.json grow with the data.
_LISTED_LABELS = 1000
# NumPy's sums and logarithms may differ in their last bits from one processor to another; these facts must not.
_DECIMALS = 6
# Bits of a (label, count) pair that hold the count.
_COUNT_BITS = 40


def describe(census: Census) -> dict[str, Any]:
    """Returns the facts.

    num_clients, clients_without_examples, num_examples, num_labels, examples_without_label: totals.
    examples_per_client: min, p10, p25, median, p75, p90, max of the clients' sizes.
    label_totals: examples of each label, of the 1,000 most frequent ones. label_counts_per_client: for each of them, the same
      quantiles of how many examples of it a client has.
    heterogeneity: gini_of_sizes; and, if there are labels, means over the clients, weighted by their labelled examples, of
      label_divergence (Jensen-Shannon, bits), label_hellinger_distance and effective_labels, with effective_labels_of_all;
      see `measures`.
    """
    sizes, listed = census.sizes, min(len(census.labels), _LISTED_LABELS)
    examples = int(sizes.sum())
    return {
        "num_clients": len(sizes),
        "clients_without_examples": int((sizes == 0).sum()),
        "num_examples": examples,
        "examples_per_client": _plain(quantiles(*np.unique(sizes, return_counts=True))),
        "num_labels": len(census.labels),
        "label_totals": dict(zip(census.labels[:listed], census.totals[:listed].tolist(), strict=True)),
        "examples_without_label": examples - int(census.totals.sum()),
        "label_counts_per_client": dict(zip(census.labels[:listed], _label_quantiles(census, listed), strict=True)),
        "heterogeneity": _plain(_heterogeneity(census)),
    }


def _label_quantiles(census: Census, listed: int) -> list[dict[str, float]]:
    """Returns, for each of the first `listed` labels, the quantiles over all clients, those that lack the label included.

    Kept is how many clients have which count. A label of n examples has at most sqrt(2 n) different counts, so this stays
    small however many clients there are.
    """
    clients_with: Counter[int] = Counter()
    for chunk in census.chunks():
        kept = chunk.cells.label < listed
        pairs, times = np.unique((chunk.cells.label[kept] << _COUNT_BITS) | chunk.cells.count[kept], return_counts=True)
        clients_with.update(dict(zip(pairs.tolist(), times.tolist(), strict=True)))
    pairs = np.array(sorted(clients_with), dtype=np.int64)
    times = np.array([clients_with[pair] for pair in pairs.tolist()], dtype=np.int64)
    ends = np.searchsorted(pairs, np.arange(listed + 1) << _COUNT_BITS)
    counts = pairs & ((1 << _COUNT_BITS) - 1)
    return [
        _plain(_quantiles_with_zeros(counts[a:b], times[a:b], len(census.sizes)))
        for a, b in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
    ]


def _quantiles_with_zeros(values: np.ndarray, times: np.ndarray, clients: int) -> dict[str, float]:
    zeros = clients - int(times.sum())
    if not zeros:
        return quantiles(values, times)
    return quantiles(np.concatenate([[0], values]), np.concatenate([[zeros], times]))


def _heterogeneity(census: Census) -> dict[str, float]:
    sizes = {"gini_of_sizes": gini(*np.unique(census.sizes, return_counts=True))}
    if not census.labels:
        return sizes
    sums = sum((_weighted(chunk, census.totals) for chunk in census.chunks()), np.zeros(3))
    names = ("label_divergence", "label_hellinger_distance", "effective_labels")
    shares = census.totals / census.totals.sum()
    means = dict(zip(names, (sums / census.totals.sum()).tolist(), strict=True))
    return {**sizes, **means, "effective_labels_of_all": float(np.exp(-(shares * np.log(shares)).sum()))}


def _weighted(chunk: Chunk, totals: np.ndarray) -> np.ndarray:
    """Returns float64[3], the sums over some clients of their measures times their labelled examples."""
    weight, *measures = unlikeness(chunk.cells, len(chunk.sizes), totals)
    return np.stack(measures) @ weight


def _plain(facts: Mapping[str, float]) -> dict[str, float]:
    """Rounds; whole numbers are written as such."""
    rounded = {name: round(value, _DECIMALS) for name, value in facts.items()}
    return {name: int(value) if value == int(value) else value for name, value in rounded.items()}
