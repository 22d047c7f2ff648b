"""Partitioners by a natural id: a user, a hospital, a device."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np

from components.federated_split.partitioners.allocation import DROPPED, Allocation, client_ids
from errors import DataError

ALLOW_SMALLER, ALLOW_BIGGER, DROP, STRICT = REMAINDERS = ("allow-smaller", "allow-bigger", "drop-remainder", "strict")


def by_key(strata: Sequence[str], counts: np.ndarray, rng: np.random.Generator) -> Allocation:
    """Natural clients: the value of the key feature is the client (the natural partition of LEAF, Caldas et al. 2018).

    Raises:
      DataError: a key is empty, or keys look alike (see `_folded`), which mostly is one client written twice.
    """
    _check_keys(strata)
    order = sorted(range(len(strata)), key=strata.__getitem__)
    client = np.empty(len(strata), dtype=np.int64)
    client[order] = np.arange(len(strata))
    return Allocation([strata[at] for at in order], client, np.asarray(counts, dtype=np.int64))


def grouped_by_key(
    strata: Sequence[str],
    counts: np.ndarray,
    rng: np.random.Generator,
    *,
    group_size: int,
    remainder: str = ALLOW_SMALLER,
    sort_keys: bool = False,
) -> Allocation:
    """Clients that are groups of natural ids, such as organisations of users (Flower Datasets' GroupedNaturalIdPartitioner).

    Args:
      group_size: ids in a group.
      remainder: what becomes of the ids that are left when all groups are full. "allow-smaller": a last, smaller group;
        "allow-bigger": they join the groups, as evenly as possible; "drop-remainder": their examples go to nobody;
        "strict": an error.
      sort_keys: groups are made of neighbours in the order of ids; by default they are drawn.

    Raises:
      DataError: as `by_key`; fewer ids than `group_size`, except with "allow-smaller"; a remainder with "strict".
    """
    _check_keys(strata)
    keys, groups, left = len(strata), len(strata) // group_size, len(strata) % group_size
    if groups == 0 and remainder != ALLOW_SMALLER:
        raise DataError(
            f"expected at least {group_size} different keys for a group, got {keys}; use a smaller group_size or "
            f"remainder {ALLOW_SMALLER!r}."
        )
    if left and remainder == STRICT:
        raise DataError(
            f"expected a number of different keys that {group_size} divides, got {keys}; use another group_size or remainder."
        )
    order = np.arange(keys) if sort_keys else rng.permutation(keys)
    group = np.empty(keys, dtype=np.int64)
    group[order] = np.arange(keys) * groups // keys if remainder == ALLOW_BIGGER else np.arange(keys) // group_size
    if remainder == DROP:
        group[group == groups] = DROPPED
    return Allocation(client_ids(int(group.max()) + 1, "group"), group, np.asarray(counts, dtype=np.int64))


def _check_keys(keys: Sequence[str]) -> None:
    folded = set(map(_folded, keys))
    if "" in folded:
        raise DataError(
            "expected a client key with at least one visible character, got an empty one; fill it or drop these examples."
        )
    twins = len(keys) - len(folded)
    if twins:
        raise DataError(
            f"expected client keys that differ in more than case, spaces or invisible characters, got {twins} of {len(keys)} "
            "that repeat another one that way; write each client's key in one way."
        )


def _folded(key: str) -> str:
    """Returns `key` without what the eye does not tell apart: case, spaces, control and format characters, compatible forms."""
    if not (key.isascii() and key.isprintable()):
        plain = unicodedata.normalize("NFKC", key)
        key = "".join(sign for sign in plain if sign.isspace() or unicodedata.category(sign) not in ("Cf", "Cc"))
        key = unicodedata.normalize("NFKC", key.casefold())
    return " ".join(key.split()).casefold()
