"""Partitioners by class label whose skew is laid down rather than drawn from a Dirichlet distribution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from components.federated_split.partitioners.allocation import (
    DROPPED,
    Allocation,
    check_enough,
    check_labels,
    client_ids,
    equal_parts,
    in_a_row,
    largest_remainder,
    per_label,
)
from errors import DataError

RANDOM, DETERMINISTIC, FIRST_DETERMINISTIC = ASSIGNMENTS = ("random", "deterministic", "first-deterministic")
# Draws in memory at a time.
_CHUNK_CELLS = 4 * 10**6


def shards(
    strata: Sequence[str], counts: np.ndarray, rng: np.random.Generator, *, clients: int, shards_per_client: int = 2
) -> Allocation:
    """Examples sorted by label, cut in clients * shards_per_client equal shards (within 1), as many dealt to each client.

    McMahan et al. 2017 (arXiv:1602.05629, section 3, "Non-IID"; 200 shards, 2 for each of 100 clients); Flower Datasets'
    ShardPartitioner, which leaves out what does not fill a shard.

    Raises:
      DataError: more shards than examples.
    """
    examples, number = int(counts.sum()), clients * shards_per_client
    if number > examples:
        raise DataError(
            f"expected at most as many shards as training examples ({examples}), got {number} ({clients} clients x "
            f"{shards_per_client}); use fewer clients or a smaller shards_per_client."
        )
    owner = rng.permutation(number) // shards_per_client
    return in_a_row(client_ids(clients), owner, equal_parts(examples, number), counts)


def pathological(
    strata: Sequence[str],
    counts: np.ndarray,
    rng: np.random.Generator,
    *,
    clients: int,
    classes_per_client: int = 2,
    assignment: str = RANDOM,
) -> Allocation:
    """Exactly `classes_per_client` labels for each client; a label's examples in equal parts among those that have it.

    Li et al. 2022, "Federated learning on non-IID data silos" (NIID-Bench, arXiv:2102.02079), and Flower Datasets'
    PathologicalPartitioner. The examples of a label that no client has are dropped.

    Args:
      assignment: "random": every set of labels is as likely; "deterministic": client i has labels i, i + 1, ... (modulo their
        number); "first-deterministic", as in the paper: label i (modulo) and others at random.

    Raises:
      DataError: more clients than examples; fewer labels than `classes_per_client`; a label with fewer examples than clients
        that have it.
    """
    check_enough(int(counts.sum()), clients)
    check_labels(strata, clients)
    if classes_per_client > len(strata):
        raise DataError(
            f"expected classes_per_client of at most the number of labels ({len(strata)}), got {classes_per_client}; use fewer."
        )
    label = _labels_of(rng, clients, len(strata), classes_per_client, assignment)
    holders = np.bincount(label.ravel(), minlength=len(strata))
    _check_holders(strata, counts, holders)
    return _among_holders(rng, label, holders, counts)


def distribution(
    strata: Sequence[str],
    counts: np.ndarray,
    rng: np.random.Generator,
    *,
    matrix: Sequence[Sequence[float]] | Mapping[str, Sequence[float]],
    min_per_label: int = 0,
) -> Allocation:
    """Each label's examples in proportion to a row of weights, one per client (Flower Datasets' DistributionPartitioner).

    Args:
      matrix: labels x clients, not negative; a list of rows in the labels' order, or a mapping from label to row.
      min_per_label: examples that each client first gets of each of its labels (those where its weight is above 0).

    Raises:
      DataError: more or fewer rows than labels, or other ones; a label with too few examples for `min_per_label`.
    """
    return _by_weights(strata, counts, rng, _rows(matrix, strata), min_per_label)


def power_law(
    strata: Sequence[str],
    counts: np.ndarray,
    rng: np.random.Generator,
    *,
    clients: int,
    classes_per_client: int = 2,
    sigma: float = 2.0,
    min_per_label: int = 1,
) -> Allocation:
    """Few labels each, sizes of a power law: `distribution` with log-normal weights for the labels i, i + 1, ... of client i.

    Li et al. 2020, "Federated optimization in heterogeneous networks" (FedProx, arXiv:1812.06127; its MNIST: 1,000 clients, 2
    labels each, sigma 2, 5 examples of each label first), and the example of Flower Datasets' DistributionPartitioner.

    Raises:
      DataError: more clients than examples; fewer labels than `classes_per_client`; a label with too few examples for
        `min_per_label`.
    """
    check_enough(int(counts.sum()), clients)
    check_labels(strata, clients)
    if classes_per_client > len(strata):
        raise DataError(
            f"expected classes_per_client of at most the number of labels ({len(strata)}), got {classes_per_client}; use fewer."
        )
    label = _labels_of(rng, clients, len(strata), classes_per_client, DETERMINISTIC)
    weights = np.zeros((len(strata), clients))
    weights[label, np.arange(clients)[:, np.newaxis]] = rng.lognormal(0.0, sigma, label.shape)
    return _by_weights(strata, counts, rng, weights, min_per_label)


def _labels_of(rng: np.random.Generator, clients: int, labels: int, each: int, assignment: str) -> np.ndarray:
    """Returns int64[clients, each], the numbers of each client's labels, all different."""
    first = np.arange(clients)[:, np.newaxis]
    if assignment == DETERMINISTIC:
        return (first + np.arange(each)) % labels
    step = max(1, _CHUNK_CELLS // labels)
    rows = [first[at : at + step] % labels for at in range(0, clients, step)]
    return np.concatenate([_drawn_labels(rng, own, labels, each, assignment) for own in rows])


def _drawn_labels(rng: np.random.Generator, own: np.ndarray, labels: int, each: int, assignment: str) -> np.ndarray:
    lots = rng.random((len(own), labels))
    if assignment == FIRST_DETERMINISTIC:
        np.put_along_axis(lots, own, -1.0, axis=1)
    return np.argpartition(lots, each - 1, axis=1)[:, :each]


def _check_holders(strata: Sequence[str], counts: np.ndarray, holders: np.ndarray) -> None:
    short = np.flatnonzero(holders > counts)
    if len(short):
        at = int(short[0])
        raise DataError(
            f"expected at least one example of label {strata[at]!r} for each of the {holders[at]} clients that have it, got "
            f"{counts[at]}; use fewer clients or a smaller classes_per_client."
        )


def _among_holders(rng: np.random.Generator, label: np.ndarray, holders: np.ndarray, counts: np.ndarray) -> Allocation:
    clients, each = label.shape
    order = np.argsort(label, axis=None, kind="stable")
    of = label.ravel()[order]
    place = np.arange(len(of)) - (np.cumsum(holders) - holders)[of]
    # Whose turn it is to get the one more is drawn, or low-numbered clients would always be the larger ones.
    place = (place + rng.integers(np.maximum(holders, 1))[of]) % holders[of]
    size = counts[of] // holders[of] + (place < counts[of] % holders[of])
    nobody = np.flatnonzero(holders == 0)
    owner = np.concatenate([order // each, np.full(len(nobody), DROPPED)])
    by_label = np.argsort(np.concatenate([of, nobody]), kind="stable")
    return in_a_row(client_ids(clients), owner[by_label], np.concatenate([size, counts[nobody]])[by_label], counts)


def _rows(matrix: Sequence[Sequence[float]] | Mapping[str, Sequence[float]], strata: Sequence[str]) -> np.ndarray:
    rows = per_label(matrix, strata, "matrix", "a row of weights")
    check_labels(strata, len(rows[0]))
    return np.array(rows, dtype=np.float64)


def _by_weights(
    strata: Sequence[str], counts: np.ndarray, rng: np.random.Generator, weights: np.ndarray, min_per_label: int
) -> Allocation:
    clients, holders = weights.shape[1], (weights > 0).sum(axis=1)
    # One more than there is of any label is refused like any larger number, which could overflow.
    least = min(min_per_label, int(counts.max()) + 1)
    short = np.flatnonzero(holders * least > counts)
    if len(short):
        at = int(short[0])
        raise DataError(
            f"expected {min_per_label} examples of label {strata[at]!r} for each of {holders[at]} clients, got "
            f"{counts[at]} in all; use a smaller min_per_label or fewer clients."
        )
    shared = _shared_by_row(rng, weights, counts - least * holders)
    # A label without any weight goes to nobody, which is a column of its own.
    nobody = np.where(holders > 0, 0, counts)
    matrix = np.column_stack([least * (weights > 0) + shared, nobody])
    label, client = np.nonzero(matrix)
    return Allocation(client_ids(clients), np.where(client == clients, DROPPED, client), matrix[label, client])


def _shared_by_row(rng: np.random.Generator, weights: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Returns int64[labels, clients] in proportion to each row of weights; a row of zeros gives nothing.

    Equal fractions are rounded in an order drawn for each row, or low-numbered clients would always be the larger ones.
    """
    shared = np.zeros(weights.shape, dtype=np.int64)
    step = max(1, _CHUNK_CELLS // weights.shape[1])
    filled = np.flatnonzero(weights.max(axis=1) > 0)
    for rows in (filled[at : at + step] for at in range(0, len(filled), step)):
        proportions = weights[rows] / weights[rows].max(axis=1, keepdims=True)  # The sum of large weights could overflow.
        proportions /= proportions.sum(axis=1, keepdims=True)
        order = rng.permuted(np.tile(np.arange(weights.shape[1]), (len(rows), 1)), axis=1)
        drawn = largest_remainder(np.take_along_axis(proportions, order, axis=1), totals[rows])
        shared[rows[:, np.newaxis], order] = drawn
    return shared
