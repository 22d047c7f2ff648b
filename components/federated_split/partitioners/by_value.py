"""Partitioners by a number that each example has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from components.federated_split.partitioners.allocation import Allocation, check_enough, client_ids, equal_parts, in_a_row


def continuous(
    strata: Sequence[str], counts: np.ndarray, rng: np.random.Generator, *, clients: int, strictness: float
) -> Allocation:
    """Skew of a numeric feature: examples sorted by it, more or less strictly, and cut in equal parts (within 1).

    The order is that of strictness * z + (1 - strictness) * noise, z the standardised value and noise from a standard normal
    distribution (Flower Datasets' ContinuousPartitioner): 0 is iid, 1 follows the value. The strata are already in that order;
    `ranking` makes them, with the `strictness` that is checked here only for being named.

    Raises:
      DataError: more clients than examples.
    """
    check_enough(int(counts.sum()), clients)
    part = equal_parts(int(counts.sum()), clients)
    return in_a_row(client_ids(clients), np.arange(clients, dtype=np.int64), part, counts)
