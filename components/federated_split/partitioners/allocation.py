"""What a partitioner answers, and the arithmetic they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from errors import DataError

DROPPED = -1
"""The `client` of a portion that goes to nobody, on purpose."""

# Labels x clients above this mean that the "label" is an id or a measurement. At the peak a cell takes 50 to 55 bytes: about
# 1 GiB in all.
MAX_CELLS = 2 * 10**7


Item = TypeVar("Item")


class Allocation(NamedTuple):
    """Who gets how many: portions of the examples in stratum order, each going to one client or to nobody.

    clients: all client ids, sorted, those without examples included.
    client: int64[k], position in `clients` of each portion, or DROPPED.
    size: int64[k], examples in each portion, above 0; the portions of a stratum follow each other and add up to its count.
    """

    clients: list[str]
    client: np.ndarray
    size: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """Returns int64[len(clients)], the examples of each client."""
        kept = self.client != DROPPED
        # Sums of float64 are exact below 2^53.
        sums = np.bincount(self.client[kept], weights=self.size[kept], minlength=len(self.clients))
        return sums.astype(np.int64)

    @property
    def dropped(self) -> int:
        """Returns how many examples go to nobody."""
        return int(self.size[self.client == DROPPED].sum())


def portions(clients: list[str], matrix: np.ndarray) -> Allocation:
    """Turns a dense int64[strata, clients] matrix of counts into an allocation."""
    stratum, client = np.nonzero(matrix)
    return Allocation(clients, client.astype(np.int64), matrix[stratum, client])


def in_a_row(clients: list[str], owner: np.ndarray, size: np.ndarray, counts: np.ndarray) -> Allocation:
    """Lays pieces of all examples, in stratum order, one after the other and cuts them where a stratum ends.

    Args:
      clients: all client ids, sorted.
      owner: int64[n], position in `clients` of whoever gets each piece, or DROPPED.
      size: int64[n], examples in each piece, adding up to all; 0 is allowed.
      counts: int64[strata].
    """
    ends = np.cumsum(size)
    cuts = np.union1d(ends[size > 0], np.cumsum(counts)[np.asarray(counts) > 0])
    piece = np.searchsorted(ends, cuts, side="left")
    return Allocation(clients, owner[piece], np.diff(cuts, prepend=0))


def client_ids(count: int, prefix: str = "client") -> list[str]:
    """Returns `client-00000` and so on; they sort like their numbers."""
    digits = max(5, len(str(count - 1)))
    return [f"{prefix}-{number:0{digits}d}" for number in range(count)]


def equal_parts(total: int, parts: int) -> np.ndarray:
    """Returns int64[parts] that add up to `total` and differ by at most 1, the larger ones spread evenly."""
    return np.diff(np.arange(parts + 1, dtype=np.int64) * total // parts)


def largest_remainder(proportions: np.ndarray, totals: np.ndarray | int) -> np.ndarray:
    """Returns whole numbers (int64[..., n]) that add up to `totals` and are each within 1 of `proportions * totals`.

    Hamilton's method: round down, then give what is left to the largest fractions, the first ones among equals.

    Args:
      proportions: float64[..., n], adding up to 1 along the last axis.
      totals: int64[...], what to share out.
    """
    quotas = proportions * np.asarray(totals)[..., np.newaxis]
    shares = np.floor(quotas).astype(np.int64)
    left = totals - shares.sum(axis=-1)
    rank = np.argsort(np.argsort(shares - quotas, axis=-1, kind="stable"), axis=-1, kind="stable")
    shares += rank < left[..., np.newaxis]
    # The quotas' rounding error can reach over a whole number: then one share is too large, and the largest bears it.
    largest = np.argmax(shares, axis=-1)[..., np.newaxis]
    over = np.minimum(left, 0)[..., np.newaxis]
    np.put_along_axis(shares, largest, np.take_along_axis(shares, largest, axis=-1) + over, axis=-1)
    return shares


def per_label(given: Sequence[Item] | Mapping[str, Item], strata: Sequence[str], parameter: str, item: str) -> list[Item]:
    """Returns the items of a list or of a mapping in the order of the labels.

    Args:
      given: as many items as labels, in their order, or an item under each label.
      parameter, item: name of the split parameter, and what its items are, for messages.

    Raises:
      DataError: a list of another length; a mapping that lacks a label, or has one that is not there.
    """
    expected = f"expected {item} for each of the {len(strata)} labels as split parameter {parameter!r}"
    if not isinstance(given, Mapping):
        if len(given) != len(strata):
            raise DataError(f"{expected}, got {len(given)}; change it.")
        return list(given)
    missing, unknown = sorted(set(strata) - set(given)), sorted(set(given) - set(strata))
    if missing:
        raise DataError(f"{expected}, got none for {missing[0]!r}; add it.")
    if unknown:
        raise DataError(f"{expected}, got one for {unknown[0]!r}, which no example has; drop it.")
    return [given[stratum] for stratum in strata]


def check_enough(examples: int, clients: int) -> None:
    """Raises DataError when there are fewer examples than clients."""
    if clients > examples:
        raise DataError(
            f"expected at most as many clients as training examples ({examples}), got {clients}; use fewer clients."
        )


def check_labels(strata: Sequence[str], clients: int) -> None:
    """Raises DataError when the labels are so many that they must be something else."""
    if len(strata) * clients > MAX_CELLS:
        raise DataError(
            f"expected a class label with few distinct values, got {len(strata)} of them for {clients} clients; "
            "name a class label as split parameter 'label'."
        )
