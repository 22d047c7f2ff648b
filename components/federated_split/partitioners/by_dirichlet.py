"""Label skew drawn from a Dirichlet distribution."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from components.federated_split.partitioners.allocation import (
    Allocation,
    check_enough,
    check_labels,
    client_ids,
    equal_parts,
    largest_remainder,
    per_label,
    portions,
)
from components.federated_split.partitioners.by_size import given_sizes
from errors import DataError

_MAX_DRAWS = 1000
# Draws of labels x clients in all; a million clients are not drawn a thousand times.
_MAX_DRAWN_CELLS = 2 * 10**8
# Proportions in memory at a time.
_CHUNK_CELLS = 4 * 10**6

Alpha = float | Sequence[float] | Mapping[str, float]
"""One concentration for every label; or one per label, as a list in the labels' order or as a mapping."""


def dirichlet(
    strata: Sequence[str],
    counts: np.ndarray,
    rng: np.random.Generator,
    *,
    clients: int,
    alpha: Alpha = 0.5,
    min_examples: int = 1,
    self_balancing: bool = False,
) -> Allocation:
    """Label skew: each label's examples are shared out in proportions drawn from a symmetric Dirichlet(alpha) over the clients.

    Dirichlet label skew is from Hsu et al. 2019, "Measuring the effects of non-identical data distribution for federated visual
    classification" (arXiv:1909.06335); drawing per label over clients, and again until nobody has less than `min_examples`, is
    the variant of Yurochkin et al. 2019 (arXiv:1905.12022) and of Li et al. 2022, "Federated learning on non-IID data silos"
    (NIID-Bench, arXiv:2102.02079), and Flower Datasets' DirichletPartitioner. Small alpha is strong skew.

    Args:
      alpha: may differ between labels. (A list given to Flower Datasets is one number per client instead.)
      self_balancing: a client that has its fair share, examples / clients, gets nothing of the labels that follow (so does the
        code of Yurochkin et al.).

    Raises:
      DataError: more clients than examples; too many labels; an alpha for a label that is not there, or none for one that is;
        `min_examples` not reached in 1,000 draws (in fewer for more than 200,000 labels x clients).
    """
    examples = int(counts.sum())
    check_enough(examples, clients)
    check_labels(strata, clients)
    alphas = _alphas(alpha, strata)
    draws = min(_MAX_DRAWS, max(1, _MAX_DRAWN_CELLS // (len(counts) * clients)))
    if clients * min_examples > examples:
        draws = 0
    for _ in range(draws):
        matrix = _balanced(rng, alphas, counts, clients) if self_balancing else _shared(rng, alphas, counts, clients)
        if matrix.sum(axis=0).min() >= min_examples:
            return portions(client_ids(clients), matrix)
    raise DataError(
        f"expected at least {min_examples} examples for each of {clients} clients, which {draws} Dirichlet draws with "
        f"alpha {_shown(alphas)} over {examples} examples did not give; use a smaller min_examples, fewer clients or a "
        "larger alpha."
    )


def inner_dirichlet(
    strata: Sequence[str],
    counts: np.ndarray,
    rng: np.random.Generator,
    *,
    clients: int | None = None,
    sizes: Sequence[int] | Sequence[float] | None = None,
    alpha: Alpha = 0.5,
) -> Allocation:
    """Label skew at given sizes: each client draws its labels in proportions of its own, and these from a Dirichlet(alpha).

    From Acar et al. 2021, "Federated learning based on dynamic regularization" (arXiv:2111.04263), and Flower Datasets'
    InnerDirichletPartitioner. There one example is drawn at a time; here all clients ask at once for what they lack, a label
    that runs out is given to a random part of those who asked, and the others ask again among the labels that are left.

    Args:
      clients: how many clients of equal size; or else
      sizes: whole numbers that add up to all examples, or fractions that add up to 1.
      alpha: concentration over the labels; may differ between labels.

    Raises:
      DataError: not exactly one of `clients` and `sizes`; sizes do not add up; too many labels; an alpha for a label that is
        not there, or none for one that is.
    """
    lacking = _wanted_sizes(clients, sizes, int(counts.sum()))
    check_labels(strata, len(lacking))
    alphas = _alphas(alpha, strata)
    taste = np.concatenate([_drawn(rng, alphas, rows) for rows in _chunks(len(lacking), len(strata))])
    taken, supply = np.zeros(taste.shape, dtype=np.int64), counts.astype(np.int64)
    while lacking.any():
        granted = _granted(rng, _asked(rng, taste, lacking, supply), supply)
        taken += granted
        supply = supply - granted.sum(axis=0)
        lacking = lacking - granted.sum(axis=1)
    return portions(client_ids(len(lacking)), taken.T)


def _alphas(alpha: Alpha, strata: Sequence[str]) -> np.ndarray:
    """Returns float64[len(strata)]."""
    if isinstance(alpha, Mapping | Sequence):
        return np.array(per_label(alpha, strata, "alpha", "a number"), dtype=np.float64)
    return np.full(len(strata), alpha, dtype=np.float64)


def _shown(alphas: np.ndarray) -> str:
    low, high = float(alphas.min()), float(alphas.max())
    return str(low) if low == high else f"{low} to {high}"


def _shared(rng: np.random.Generator, alphas: np.ndarray, counts: np.ndarray, clients: int) -> np.ndarray:
    """Returns int64[labels, clients] whose rows add up to `counts`."""
    if np.all(alphas == alphas[0]):
        chunks = _chunks(len(counts), clients)
        symmetric = np.full(clients, alphas[0])
        return np.concatenate([largest_remainder(_drawn(rng, symmetric, rows), counts[rows]) for rows in chunks])
    rows = [_drawn(rng, np.full(clients, alpha), slice(0, 1))[0] for alpha in alphas]
    return np.stack([largest_remainder(row, int(count)) for row, count in zip(rows, counts, strict=True)])


def _balanced(rng: np.random.Generator, alphas: np.ndarray, counts: np.ndarray, clients: int) -> np.ndarray:
    """As `_shared`, label after label, leaving out who has the fair share already."""
    fair = counts.sum() / clients
    matrix = np.zeros((len(counts), clients), dtype=np.int64)
    reached = np.zeros(clients, dtype=np.int64)
    for row, alpha, count in zip(matrix, alphas, counts, strict=True):
        is_open = reached < fair
        drawn = _drawn(rng, np.full(clients, alpha), slice(0, 1))[0] * is_open
        # With a tiny alpha all the weight can be on clients that are left out.
        drawn = drawn if drawn.sum() > 0 else is_open.astype(np.float64)
        row[:] = largest_remainder(drawn / drawn.sum(), int(count))
        reached += row
    return matrix


def _wanted_sizes(clients: int | None, sizes: Sequence[int] | Sequence[float] | None, examples: int) -> np.ndarray:
    if (clients is None) == (sizes is None):
        raise DataError("expected one of the split parameters 'clients' and 'sizes' for 'inner_dirichlet', got both or none.")
    if sizes is not None:
        return given_sizes(sizes, examples)
    assert clients is not None
    check_enough(examples, clients)
    return equal_parts(examples, clients)


def _asked(rng: np.random.Generator, taste: np.ndarray, lacking: np.ndarray, supply: np.ndarray) -> np.ndarray:
    """Returns int64[clients, labels]: what each client asks for, adding up to what it lacks, of labels that are left."""
    open_taste = taste * (supply > 0)
    weight = open_taste.sum(axis=1, keepdims=True)
    # A client none of whose labels is left takes of what there is.
    open_taste = np.where(weight > 0, open_taste, supply)
    return rng.multinomial(lacking, open_taste / open_taste.sum(axis=1, keepdims=True))


def _granted(rng: np.random.Generator, asked: np.ndarray, supply: np.ndarray) -> np.ndarray:
    """Returns int64[clients, labels]: all that was asked, or a random part of it where a label does not reach."""
    granted = asked.copy()
    for label in np.flatnonzero(asked.sum(axis=0) > supply):
        granted[:, label] = rng.multivariate_hypergeometric(asked[:, label], int(supply[label]), method="marginals")
    return granted


def _chunks(rows: int, columns: int) -> Iterator[slice]:
    step = max(1, _CHUNK_CELLS // columns)
    return (slice(first, min(rows, first + step)) for first in range(0, rows, step))


def _drawn(rng: np.random.Generator, alphas: np.ndarray, rows: slice) -> np.ndarray:
    """Returns float64[rows, len(alphas)], a Dirichlet draw per row."""
    drawn = rng.dirichlet(alphas, size=rows.stop - rows.start)
    if not np.allclose(drawn.sum(axis=1), 1.0):
        raise DataError(
            f"expected an alpha that floating point can draw with, got {alphas.max():g}; use one between 1e-3 and 1e9."
        )
    return drawn
