"""Clients as tf.data.Datasets, built from blocks of the shards; what they build can be traced into a graph and run elsewhere.

TensorFlow is imported where it is used: reading the index needs none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from errors import DataError

# The largest number of buckets that TensorFlow's hash has.
_BUCKETS = 2**63 - 1


def block_records(rows: Any, shard_paths: Sequence[str], shard_sizes: Sequence[int]) -> Any:
    """Returns a dataset with an element per block, a [n] string tensor of its serialized tf.Examples.

    Args:
      rows: int64 [n_blocks, 3], shard, offset and length of each block, as a tensor or an array.
      shard_paths, shard_sizes: the files of all shards and their sizes in bytes.
    """
    import tensorflow as tf

    paths, sizes = tf.constant(list(shard_paths)), tf.constant(list(shard_sizes), tf.int64)

    def block(row: Any) -> Any:
        shard, offset, length = row[0], row[1], row[2]
        bytes_after = sizes[shard] - offset - length
        return tf.data.FixedLengthRecordDataset(paths[shard], length, header_bytes=offset, footer_bytes=bytes_after)

    blocks = tf.data.Dataset.from_tensor_slices(rows).flat_map(block)
    return blocks.map(lambda block: tf.ensure_shape(tf.io.parse_tensor(block, tf.string), [None]))


def examples(blocks: Any, parse: Callable[[Any], Any] | None) -> Any:
    """Returns a dataset with an element per example: what `parse` makes of a block's records in one call, or the records."""
    return (blocks.map(parse) if parse else blocks).unbatch()


class Lookup(NamedTuple):
    """Finds a client's blocks by its id inside a graph, which has no dictionaries: by binary search over hashes of the ids.

    hashes: int64[clients], rising. start, stop: int64[clients], the client's rows of `blocks`. blocks: int64[n_blocks, 3].
    """

    hashes: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    blocks: np.ndarray

    @classmethod
    def of(cls, ids: Sequence[str], first: np.ndarray, blocks: np.ndarray) -> Lookup:
        """Makes the table.

        Args:
          ids: of the clients.
          first: int64[clients + 1], where each client's rows of `blocks` begin, and the number of rows.
          blocks: int64[n_blocks, 3], shard, offset and length of each block.

        Raises:
          DataError: two ids have the same hash.
        """
        import tensorflow as tf

        hashes = tf.strings.to_hash_bucket_fast(tf.constant(list(ids)), _BUCKETS).numpy()
        order = np.argsort(hashes)
        if not np.all(np.diff(hashes[order])):
            raise DataError("expected client ids with different 63-bit hashes, got two with the same; rename one of them.")
        return cls(hashes[order], first[:-1][order], first[1:][order], blocks)

    def rows(self, client_id: Any) -> Any:
        """Returns int64 [n, 3], the blocks of the client named by a string tensor; an unknown one is an error at run time."""
        import tensorflow as tf

        key = tf.strings.to_hash_bucket_fast(client_id, _BUCKETS)
        hashes = tf.constant(self.hashes)
        at = tf.minimum(tf.searchsorted(hashes, key[tf.newaxis])[0], len(self.hashes) - 1)
        known = tf.debugging.Assert(
            tf.equal(hashes[at], key), ["expected the id of a client that has examples, got", client_id]
        )
        with tf.control_dependencies([known] if known is not None else []):
            start, stop = tf.constant(self.start)[at], tf.constant(self.stop)[at]
            return tf.constant(self.blocks)[start:stop]
