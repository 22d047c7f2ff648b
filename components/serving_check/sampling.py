"""Which evaluation examples the model is asked with."""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections.abc import Iterable, Sequence

from components.federated_split.records import read_records

# Read for each example that is chosen; more would read all of a large split, fewer would choose among the first alone.
_READ_PER_SAMPLE = 32


def choose(files: Sequence[str], count: int, seed: int) -> list[bytes]:
    """Returns `count` serialized examples of the files' first ones, or all if there are fewer.

    They are those with the lowest hash of seed and content, in that order, so the same examples give the same choice.

    Raises:
      DataError: a file is missing or damaged.
    """
    records = itertools.chain.from_iterable(map(read_records, sorted(files)))
    read = itertools.islice(records, count * _READ_PER_SAMPLE)
    return _lowest(read, count, seed)


def _lowest(records: Iterable[bytes], count: int, seed: int) -> list[bytes]:
    def rank(record: bytes) -> bytes:
        return hashlib.sha256(f"{seed}\0".encode() + record).digest()

    return heapq.nsmallest(count, records, key=rank)
