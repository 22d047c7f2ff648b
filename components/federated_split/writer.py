"""Writes records, sorted by client, as one shard of blocks and its rows of the index; in vectors, a step per block."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.federated_split.blocks import INDEX_SCHEMA, block_header, unframed_lengths


class Rows(NamedTuple):
    """Records in the order in which they are to be written.

    clients: int64[n], rising: each record's position among all client ids. labels: large_string, null where there is none.
    records: large_binary, each as `blocks.frame` gives it.
    """

    clients: np.ndarray
    labels: pa.LargeStringArray
    records: pa.LargeBinaryArray

    def slice(self, first: int, last: int) -> Rows:
        """Returns rows first to last - 1, without copying."""
        size = last - first
        return Rows(self.clients[first:last], self.labels.slice(first, size), self.records.slice(first, size))

    def after(self, other: Rows) -> Rows:
        """Returns the other's rows and then these."""
        both = zip(other, self, strict=True)
        clients, labels, records = (
            np.concatenate(pair) if isinstance(pair[0], np.ndarray) else pa.concat_arrays(pair) for pair in both
        )
        return Rows(clients, labels, records)


class ShardWriter:
    """Writes one shard from any number of `add`s and a `close`; the cuts between blocks do not depend on those between adds."""

    def __init__(self, file: BinaryIO, shard: int, block_bytes: int, client_ids: pa.Array, held_out: np.ndarray):
        """A block holds at most `block_bytes` bytes of records, or one record; held_out: bool[clients]."""
        self._file = file
        self._shard = shard
        self._block_bytes = block_bytes
        self._client_ids = client_ids
        self._held_out = held_out
        self._offset = 0
        # The last block so far: the client's next records may still go into it.
        self._open: Rows | None = None
        self._last = (-1, 0)  # Client and number of the last block that was written.
        self._tables: list[pa.Table] = []

    def add(self, rows: Rows) -> None:
        """Takes records; a client's may go on in the next call, all others come after."""
        if self._open is not None:
            rows = rows.after(self._open)
        starts = block_starts(rows, self._block_bytes)
        keep = int(starts[-2])
        self._open = rows.slice(keep, len(rows.clients))
        self._write(rows.slice(0, keep), starts[:-1])

    def close(self) -> pa.Table:
        """Writes what is left and returns the shard's rows of the index, as INDEX_SCHEMA."""
        if self._open is not None:
            self._write(self._open, np.array([0, len(self._open.clients)]))
            self._open = None
        return pa.concat_tables(self._tables or [INDEX_SCHEMA.empty_table()])

    def _write(self, rows: Rows, starts: np.ndarray) -> None:
        if len(starts) < 2:
            return
        ends = offsets(rows.records)[starts]
        data = memoryview(rows.records.buffers()[2])
        lengths, digests = [], []
        for count, first, last in zip(np.diff(starts).tolist(), ends[:-1].tolist(), ends[1:].tolist(), strict=True):
            header, frames = block_header(count), data[first:last]
            digest = hashlib.sha256(header)
            digest.update(frames)
            self._file.write(header)
            self._file.write(frames)
            lengths.append(len(header) + len(frames))
            digests.append(digest.hexdigest())
        self._describe(rows, starts, np.array(lengths), digests)

    def _describe(self, rows: Rows, starts: np.ndarray, lengths: np.ndarray, digests: list[str]) -> None:
        clients, sizes = rows.clients[starts[:-1]], np.diff(starts)
        columns = [
            self._client_ids.take(pa.array(clients)).cast(pa.string()),
            self._numbers(clients).astype(np.int32),
            np.full(len(sizes), self._shard, np.int32),
            self._offset + np.cumsum(lengths) - lengths,
            lengths,
            sizes,
            self._held_out[clients],
            _label_counts(rows.labels, np.repeat(np.arange(len(sizes)), sizes), len(sizes)),
            pa.array(digests, pa.string()),
        ]
        self._tables.append(pa.table([pa.array(c) if isinstance(c, np.ndarray) else c for c in columns], schema=INDEX_SCHEMA))
        self._offset += int(lengths.sum())

    def _numbers(self, clients: np.ndarray) -> np.ndarray:
        """Returns int64[n], which block of its client each is, going on where the last write stopped."""
        first = np.flatnonzero(np.diff(clients, prepend=-1))
        numbers = np.arange(len(clients)) - np.repeat(first, np.diff(first, append=len(clients)))
        client, number = self._last
        if clients[0] == client:
            numbers[: first[1] if len(first) > 1 else None] += number + 1
        self._last = (int(clients[-1]), int(numbers[-1]))
        return numbers


def block_starts(rows: Rows, block_bytes: int) -> np.ndarray:
    """Returns int64[n_blocks + 1], where blocks start, and the number of rows; blocks are as full as they can be."""
    lengths = unframed_lengths(np.diff(offsets(rows.records)))
    ends = np.concatenate([[0], np.cumsum(lengths)])
    of_client = np.append(np.flatnonzero(np.diff(rows.clients, prepend=-1)), len(rows.clients))
    large = np.flatnonzero(np.diff(ends[of_client]) > block_bytes)
    cuts = [cut for n in large for cut in _cuts(ends, int(of_client[n]), int(of_client[n + 1]), block_bytes)]
    return np.sort(np.concatenate([of_client, np.array(cuts, dtype=np.int64)]))


def _cuts(ends: np.ndarray, first: int, last: int, block_bytes: int) -> Iterator[int]:
    """Yields where a client's blocks after the first one start; record i is the bytes from ends[i] to ends[i + 1]."""
    while ends[last] - ends[first] > block_bytes:
        fits = int(np.searchsorted(ends, ends[first] + block_bytes, side="right")) - 1
        first = max(first + 1, fits)
        if first < last:
            yield first
        else:
            return


def offsets(array: pa.LargeBinaryArray) -> np.ndarray:
    """Returns int64[n + 1]: value i is the bytes from [i] to [i + 1] of the array's data."""
    return np.frombuffer(array.buffers()[1], np.int64)[array.offset : array.offset + len(array) + 1]


def _label_counts(labels: pa.LargeStringArray, block: np.ndarray, blocks: int) -> pa.ListArray:
    """Returns, for each block, its labels in order and how many examples of each it has."""
    encoded = labels.dictionary_encode()
    names = encoded.dictionary
    order = pc.sort_indices(names).to_numpy() if len(names) else np.zeros(0, np.int64)
    rank = np.empty(len(names), np.int64)
    rank[order] = np.arange(len(names))
    labelled = labels.is_valid().to_numpy(zero_copy_only=False)
    codes = rank[encoded.indices.drop_null().to_numpy()]
    cells, counts = np.unique(block[labelled] * max(1, len(names)) + codes, return_counts=True)
    block_of_cell, code = np.divmod(cells, max(1, len(names)))
    ends = np.searchsorted(block_of_cell, np.arange(blocks + 1)).astype(np.int32)
    columns = [names.take(pa.array(order[code])).cast(pa.string()), pa.array(counts)]
    return pa.ListArray.from_arrays(pa.array(ends), pa.StructArray.from_arrays(columns, ["label", "count"]))
