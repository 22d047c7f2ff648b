"""Partitioners that look at no feature: how many examples each client gets, drawn from all of them alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from components.federated_split.partitioners.allocation import Allocation, check_enough, client_ids, in_a_row, largest_remainder
from errors import DataError


def iid(strata: Sequence[str], counts: np.ndarray, rng: np.random.Generator, *, clients: int) -> Allocation:
    """Shuffled examples in equal parts: sizes differ by at most 1 (McMahan et al. 2017, arXiv:1602.05629, section 3, "IID").

    Raises:
      DataError: more clients than examples.
    """
    examples = int(counts.sum())
    check_enough(examples, clients)
    part = np.full(clients, examples // clients, dtype=np.int64)
    # Which clients get the one more is drawn, or low-numbered clients would be the larger ones in every split.
    part[rng.permutation(clients)[: examples % clients]] += 1
    return _of_sizes(part, counts)


def sizes(
    strata: Sequence[str], counts: np.ndarray, rng: np.random.Generator, *, sizes: Sequence[int] | Sequence[float]
) -> Allocation:
    """The sizes given, client by client (Flower Datasets' SizePartitioner; here nothing is left over without being said).

    Args:
      sizes: either whole numbers that add up to all examples, or fractions that add up to 1.

    Raises:
      DataError: they add up to something else; more clients than examples.
    """
    return _of_sizes(given_sizes(sizes, int(counts.sum())), counts)


def linear(
    strata: Sequence[str], counts: np.ndarray, rng: np.random.Generator, *, clients: int, min_examples: int = 1
) -> Allocation:
    """Sizes in proportion to 1, 2, 3, ... (Flower Datasets' LinearPartitioner), none below `min_examples`.

    Raises:
      DataError: `min_examples` cannot be met.
    """
    _check_least(counts, clients, min_examples)
    return _in_proportion(np.arange(1.0, clients + 1), counts, min_examples)


def square(
    strata: Sequence[str], counts: np.ndarray, rng: np.random.Generator, *, clients: int, min_examples: int = 1
) -> Allocation:
    """Sizes in proportion to 1, 4, 9, ... (Flower Datasets' SquarePartitioner), none below `min_examples`.

    Raises:
      DataError: `min_examples` cannot be met.
    """
    _check_least(counts, clients, min_examples)
    return _in_proportion(np.arange(1.0, clients + 1) ** 2, counts, min_examples)


def exponential(
    strata: Sequence[str], counts: np.ndarray, rng: np.random.Generator, *, clients: int, min_examples: int = 1
) -> Allocation:
    """Sizes in proportion to e, e^2, e^3, ... (Flower Datasets' ExponentialPartitioner), none below `min_examples`.

    Raises:
      DataError: `min_examples` cannot be met.
    """
    _check_least(counts, clients, min_examples)
    return _in_proportion(np.exp(np.arange(1.0 - clients, 1.0)), counts, min_examples)


def lognormal(
    strata: Sequence[str], counts: np.ndarray, rng: np.random.Generator, *, clients: int, sigma: float, min_examples: int = 1
) -> Allocation:
    """Sizes in proportion to log-normal draws of standard deviation `sigma` (of the logarithm); 0 makes them equal.

    From FedLab (Zeng et al. 2023, "FedLab: a flexible federated learning framework", arXiv:2107.11621), where it is
    `lognormal_unbalance_split`; none is below `min_examples`.

    Raises:
      DataError: `min_examples` cannot be met.
    """
    _check_least(counts, clients, min_examples)
    logarithm = sigma * rng.standard_normal(clients)
    return _in_proportion(np.exp(logarithm - logarithm.max()), counts, min_examples)


def given_sizes(sizes: Sequence[int] | Sequence[float], examples: int) -> np.ndarray:
    """Returns int64[len(sizes)] adding up to `examples`, from whole numbers that do so or fractions that add up to 1.

    Raises:
      DataError: they add up to something else; more clients than examples.
    """
    check_enough(examples, len(sizes))
    if any(isinstance(size, float) for size in sizes):
        values = np.asarray(sizes, dtype=np.float64)
        if abs(values.sum() - 1) > 1e-6:
            raise DataError(
                f"expected split parameter 'sizes' to add up to 1 (fractions), got {values.sum():.6g}; change them."
            )
        return largest_remainder(values / values.sum(), examples)
    total = sum(map(int, sizes))  # Python's whole numbers do not wrap around.
    if total != examples:
        raise DataError(
            f"expected split parameter 'sizes' to add up to the {examples} training examples, got {total}; "
            "change them, or give fractions that add up to 1."
        )
    return np.asarray(sizes, dtype=np.int64)


def proportional(weights: np.ndarray, total: int, least: int) -> np.ndarray:
    """Shares out `total` in proportion to `weights`, but never less than `least`; the others pay for it in proportion.

    Args:
      weights: float64[n], not negative and not all 0.
      least: at most total / n.

    Returns:
      int64[n], adding up to `total`.
    """
    order = np.argsort(weights, kind="stable")
    rising = weights[order]
    rest = total - least * np.arange(len(weights))  # for those above `least`, when so many of the lightest get just that
    heavier = np.cumsum(rising[::-1])[::-1]  # the weight of each and all after it
    enough = (heavier > 0) & (rising * rest >= least * heavier)
    raised = int(np.argmax(enough)) if enough.any() else len(weights) - 1
    shares = np.full(len(weights), least, dtype=np.int64)
    shares[order[raised:]] = largest_remainder(rising[raised:] / heavier[raised], total - least * raised)
    return shares


def _check_least(counts: np.ndarray, clients: int, min_examples: int) -> None:
    """Refuses before anything is made that is as long as the number of clients."""
    examples = int(counts.sum())
    check_enough(examples, clients)
    if clients * min_examples > examples:
        raise DataError(
            f"expected at least {min_examples} examples for each of {clients} clients, got {examples} examples in all; "
            "use a smaller min_examples or fewer clients."
        )


def _in_proportion(weights: np.ndarray, counts: np.ndarray, min_examples: int) -> Allocation:
    return _of_sizes(proportional(weights, int(counts.sum()), min_examples), counts)


def _of_sizes(sizes: np.ndarray, counts: np.ndarray) -> Allocation:
    return in_a_row(client_ids(len(sizes)), np.arange(len(sizes), dtype=np.int64), sizes, counts)
