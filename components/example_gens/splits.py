"""Which split an example belongs to, and where in the stored order: functions of the seed and its content only."""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Sequence


def draw(record: bytes, seed: int, purpose: str) -> int:
    """Returns a number in [0, 2**256), uniform and independent for every (record, seed, purpose).

    sha256 of seed and record. The purpose keeps the draws apart that different parts of a pipeline make from one seed: without
    it, "split = draw mod 5" and "client = draw mod 100" would be correlated, and every fifth client would get no examples.
    """
    return int.from_bytes(hashlib.sha256(f"{purpose}\0{seed}\0".encode() + record).digest(), "big")


def split_index(record: bytes, num_splits: int, bounds: Sequence[int], seed: int) -> int:
    """Returns the index of a record's split (called by beam.Partition, hence the unused `num_splits`).

    Args:
      record: a serialized tf.Example.
      num_splits: how many splits there are, len(bounds).
      bounds: cumulated hash buckets: [4, 5] are two splits of 4/5 and 1/5.
      seed: another seed draws another split.
    """
    del num_splits
    return bisect.bisect(bounds, draw(record, seed, "split") % bounds[-1])
