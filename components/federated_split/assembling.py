"""The third pass: a shard of a side -> the shard file with its blocks, and its part of the index.

Memory is bounded whatever the sizes: the shard's segments are merged a few clients at a time, and a client that is larger than
that a few digest ranges at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from components.federated_split import blocks
from components.federated_split.disk import full_disk_is_one_line
from components.federated_split.plan import load_plan
from components.federated_split.spills import PLACED_SCHEMA, Segment, runs, whole_file, write_table
from components.federated_split.writer import Rows, ShardWriter, offsets

# Bytes of records that are merged at a time.
_MERGE_BYTES = 32 << 20


class _Pieces(NamedTuple):
    """Each client's rows in each segment, sorted by client and segment.

    client, segment, first, last, size: int64[k]; rows first to last - 1 of segment number `segment`, of `size` bytes.
    """

    client: np.ndarray
    segment: np.ndarray
    first: np.ndarray
    last: np.ndarray
    size: np.ndarray

    def pick(self, which: np.ndarray | slice) -> _Pieces:
        """Returns some of the pieces, in that order."""
        return _Pieces(*(column[which] for column in self))


def assemble(grouped: tuple[tuple[str, int], Iterable[Segment]], folder: str, output: str, block_bytes: int) -> None:
    """Writes one shard file and its rows of the index, which goes as a file of its own into `folder`.

    Args:
      grouped: side and number of the shard, and what `place` yielded for it in any order.
      folder: where the plan is, and where the rows of the index go.
      output: directory of the artifact to be.
      block_bytes: a block holds at most this many bytes of records, or one record.

    Raises:
      FedtfxError: the disk is full.
    """
    (side, shard), segments = grouped
    plan = load_plan(folder)
    # Partitions rise with the digest: in their order, each client's records come in digest order.
    in_order = sorted(segments, key=lambda segment: segment.partition)
    path = blocks.split_folder(output, side) / blocks.shard_name(shard, plan.num_shards)
    with full_disk_is_one_line(folder):
        with whole_file(path, folder) as file:
            writer = ShardWriter(file, shard, block_bytes, plan.clients, plan.held_out)
            for rows in merged(in_order):
                writer.add(rows)
            index = writer.close()
        write_table(index_part(folder, side, shard), index)


def index_part(folder: str, side: str, shard: int) -> Path:
    """Returns where `assemble` leaves a shard's rows of the index."""
    return Path(folder, f"index-{side}-{shard:05d}.arrow")


def assembled(folder: str) -> list[tuple[str, int]]:
    """Returns side and number of all shards that `assemble` has left in `folder`."""
    names = sorted(path.stem.split("-") for path in Path(folder).glob("index-*.arrow"))
    return [(side, int(shard)) for _, side, shard in names]


def merged(segments: Sequence[Segment]) -> Iterator[Rows]:
    """Yields the rows of all segments sorted by client, and within a client by segment; about _MERGE_BYTES at a time."""
    pieces = _pieces(segments)
    for first, last in _cuts(pieces.size):
        yield _gathered(segments, pieces.pick(slice(first, last)))


def _pieces(segments: Sequence[Segment]) -> _Pieces:
    """Finds out who is where. Of the records only their lengths are read for it."""
    parts = []
    for number, segment in enumerate(segments):
        batch = segment.batch(PLACED_SCHEMA)
        client, ends = batch.column(0).to_numpy(), offsets(batch.column(2))
        first = np.flatnonzero(np.diff(client, prepend=-1))
        last = np.append(first[1:], len(client))
        parts.append(np.stack([client[first], np.full(len(first), number), first, last, ends[last] - ends[first]]))
    columns = np.concatenate(parts, axis=1)
    return _Pieces(*columns).pick(np.lexsort((columns[1], columns[0])))


def _cuts(sizes: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yields ranges of pieces of at most _MERGE_BYTES together, or of one."""
    ends, first = np.cumsum(sizes), 0
    while first < len(sizes):
        fits = int(np.searchsorted(ends, ends[first] - sizes[first] + _MERGE_BYTES, side="right"))
        last = max(first + 1, fits)
        yield first, last
        first = last


def _gathered(segments: Sequence[Segment], pieces: _Pieces) -> Rows:
    """Returns the rows of some neighbouring pieces, which are neighbours in every segment as well."""
    by_segment = pieces.pick(np.argsort(pieces.segment, kind="stable"))
    batches = []
    for number, one, beyond in runs(by_segment.segment):
        first, last = int(by_segment.first[one]), int(by_segment.last[beyond - 1])
        batches.append(segments[number].batch(PLACED_SCHEMA).slice(first, last - first))
    client, label, record = (pa.concat_arrays(columns) for columns in zip(*(b.columns for b in batches), strict=True))
    order = np.argsort(client.to_numpy(), kind="stable")
    take = pa.array(order)
    return Rows(client.to_numpy()[order], label.take(take), record.take(take))
