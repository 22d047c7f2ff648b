"""Some clients that stand for all of them in a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from components.federated_split.census import Census

# What a picture has room for: columns, and colours, of which one may be needed for all other labels.
MAX_COLUMNS = 100
MAX_COLOURS = 12


@dataclass(frozen=True)
class Sample:
    """Clients evenly spaced in order of size, from the largest to the smallest; all of them when there are few.

    Their own sizes and labels, not means of neighbours: a mean of clients that each hold one label looks like clients that
    hold all.

    clients, examples: how many there are in all. median: of the sizes of all.
    sizes: int64[columns], examples of each sampled client.
    labels: names of the most frequent labels in a natural order. others: how many labels there are beside these.
    counts: int64[columns, len(labels) + 1], examples of each label; in the last column those of all other labels.
    totals: int64[len(labels) + 1], the same of all clients.
    """

    clients: int
    examples: int
    median: float
    sizes: np.ndarray
    labels: list[str]
    others: int
    counts: np.ndarray
    totals: np.ndarray


def draw_sample(census: Census) -> Sample:
    """Chooses the clients (ties in size: in the order of the index) and reads their labels."""
    chosen = _evenly_spaced(census.sizes)
    shown = len(census.labels) if len(census.labels) <= MAX_COLOURS else MAX_COLOURS - 1
    order = sorted(range(shown), key=lambda code: _natural(census.labels[code]))
    column = np.full(len(census.labels), shown, dtype=np.int64)
    column[order] = np.arange(shown)
    totals = np.zeros(shown + 1, dtype=np.int64)
    np.add.at(totals, column, census.totals)
    return Sample(
        clients=len(census.sizes),
        examples=int(census.sizes.sum()),
        median=float(np.median(census.sizes)),
        sizes=census.sizes[chosen],
        labels=[census.labels[code] for code in order],
        others=len(census.labels) - shown,
        counts=_counts(census, chosen, column, shown + 1),
        totals=totals,
    )


def _evenly_spaced(sizes: np.ndarray) -> np.ndarray:
    """Returns the positions of the chosen clients, the largest first."""
    by_size = np.argsort(-sizes, kind="stable")
    ranks = np.linspace(0, len(sizes) - 1, min(len(sizes), MAX_COLUMNS))
    return by_size[np.rint(ranks).astype(np.int64)]


def _natural(label: str) -> tuple[int, int, str]:
    """Whole numbers by value, before text."""
    try:
        return 0, int(label), label
    except ValueError:
        return 1, 0, label


def _counts(census: Census, chosen: np.ndarray, column: np.ndarray, columns: int) -> np.ndarray:
    counts = np.zeros((len(chosen), columns), dtype=np.int64)
    order = np.argsort(chosen)
    for chunk in census.chunks():
        client = chunk.first + chunk.cells.client
        at = np.minimum(np.searchsorted(chosen[order], client), len(chosen) - 1)
        found = chosen[order][at] == client
        np.add.at(counts, (order[at[found]], column[chunk.cells.label[found]]), chunk.cells.count[found])
    return counts
