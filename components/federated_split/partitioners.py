"""How many examples of which stratum each client gets. CHANGE THE SPLIT HERE.

A partitioner is a pure function of the strata (the distinct values of a feature, sorted), how many examples each holds, a
random generator, and its own parameters as keyword-only arguments. To add one: write the function, add a line to PARTITIONERS
(and the range of any new parameter in parameters.py), and test it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from errors import DataError

_MAX_DRAWS = 1000
# Labels x clients above this would need gigabytes; it means that the "label" is an id or a measurement.
_MAX_CELLS = 10**8


class Allocation(NamedTuple):
    """Who gets how many: portions of the examples in stratum order, each going to one client.

    clients: all client ids, sorted, those without examples included.
    client: int64[k], position in `clients` of each portion.
    size: int64[k], examples in each portion, above 0; the portions of a stratum follow each other and add up to its count.
    """

    clients: list[str]
    client: np.ndarray
    size: np.ndarray


class Partitioner(NamedTuple):
    """A partitioning function and the name of the parameter whose feature makes its strata ("" = one single stratum)."""

    divide: Callable[..., Allocation]
    strata: str


def iid(strata: Sequence[str], counts: np.ndarray, rng: np.random.Generator, *, clients: int) -> Allocation:
    """Shuffled examples in equal parts: sizes differ by at most 1 (McMahan et al. 2017, arXiv:1602.05629, section 3, "IID").

    Raises:
      DataError: more clients than examples.
    """
    examples = int(counts.sum())
    _check_enough(examples, clients)
    sizes = np.full(clients, examples // clients, dtype=np.int64)
    # Which clients get the one more is drawn, or low-numbered clients would be the larger ones in every split.
    sizes[rng.permutation(clients)[: examples % clients]] += 1
    return _portions(_client_ids(clients), sizes[np.newaxis, :])


def dirichlet(
    strata: Sequence[str],
    counts: np.ndarray,
    rng: np.random.Generator,
    *,
    clients: int,
    alpha: float,
    min_examples: int = 1,
) -> Allocation:
    """Label skew: each label's examples are shared out in proportions drawn from a symmetric Dirichlet(alpha) over the clients.

    Dirichlet label skew is from Hsu et al. 2019, "Measuring the effects of non-identical data distribution for federated visual
    classification" (arXiv:1909.06335); drawing per label over clients, and again until nobody has less than `min_examples`, is
    the variant of Li et al. 2022, "Federated learning on non-IID data silos" (NIID-Bench, arXiv:2102.02079). Small alpha is
    strong skew.

    Raises:
      DataError: more clients than examples; too many labels; `min_examples` not reached in 1,000 draws.
    """
    examples = int(counts.sum())
    _check_enough(examples, clients)
    if len(counts) * clients > _MAX_CELLS:
        raise DataError(
            f"expected a class label with few distinct values, got {len(counts)} of them for {clients} clients; "
            "name a class label as split parameter 'label'."
        )
    if clients * min_examples <= examples:
        for _ in range(_MAX_DRAWS):
            matrix = np.stack([largest_remainder(_proportions(rng, alpha, clients), int(count)) for count in counts])
            if matrix.sum(axis=0).min() >= min_examples:
                return _portions(_client_ids(clients), matrix)
    raise DataError(
        f"expected at least {min_examples} examples for each of {clients} clients, which {_MAX_DRAWS} Dirichlet draws with "
        f"alpha {alpha} over {examples} examples did not give; use a smaller min_examples, fewer clients or a larger alpha."
    )


def by_key(strata: Sequence[str], counts: np.ndarray, rng: np.random.Generator) -> Allocation:
    """Natural clients: the value of the key feature is the client (the natural partition of LEAF, Caldas et al. 2018).

    Raises:
      DataError: a key is empty, or keys differ only in case or surrounding spaces, which mostly is one client written twice.
    """
    folded = {key.strip().casefold() for key in strata}
    if "" in folded:
        raise DataError(
            "expected a client key with at least one visible character, got an empty one; fill it or drop these examples."
        )
    twins = len(strata) - len(folded)
    if twins:
        raise DataError(
            f"expected client keys that differ in more than case or spaces, got {twins} of {len(strata)} that repeat another "
            "one that way; write each client's key in one way."
        )
    return Allocation(list(strata), np.arange(len(counts), dtype=np.int64), np.asarray(counts, dtype=np.int64))


PARTITIONERS: dict[str, Partitioner] = {
    "iid": Partitioner(iid, strata=""),
    "dirichlet": Partitioner(dirichlet, strata="label"),
    "by_key": Partitioner(by_key, strata="key"),
}


def largest_remainder(proportions: np.ndarray, total: int) -> np.ndarray:
    """Returns whole numbers (int64[n]) that add up to `total` and are each within 1 of `proportions * total`.

    Hamilton's method: round down, then give what is left to the largest fractions, the first ones among equals.

    Args:
      proportions: float64[n], adding up to 1.
      total: what to share out.
    """
    quotas = proportions * total
    shares = np.floor(quotas).astype(np.int64)
    left = total - int(shares.sum())
    if left < 0:  # The quotas' rounding error reached over a whole number: one share is a unit too large.
        shares[np.argmax(shares)] += left
        left = 0
    shares[np.argsort(shares - quotas, kind="stable")[:left]] += 1
    return shares


def _proportions(rng: np.random.Generator, alpha: float, clients: int) -> np.ndarray:
    drawn = rng.dirichlet(np.full(clients, alpha))
    if not np.isclose(drawn.sum(), 1.0):
        raise DataError(f"expected an alpha that floating point can draw with, got {alpha!r}; use one between 1e-3 and 1e9.")
    return drawn


def _portions(clients: list[str], matrix: np.ndarray) -> Allocation:
    """Turns a dense int64[strata, clients] matrix into portions."""
    stratum, client = np.nonzero(matrix)
    return Allocation(clients, client.astype(np.int64), matrix[stratum, client])


def _client_ids(clients: int) -> list[str]:
    digits = max(5, len(str(clients - 1)))
    return [f"client-{number:0{digits}d}" for number in range(clients)]


def _check_enough(examples: int, clients: int) -> None:
    if clients > examples:
        raise DataError(
            f"expected at most as many clients as training examples ({examples}), got {clients}; use fewer clients."
        )
