"""Checks on what was written that no example and no held-out client is on both sides."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.federated_split import blocks
from components.federated_split.assembling import index_part
from components.federated_split.disk import full_disk_is_one_line
from components.federated_split.placing import digest_words
from components.federated_split.plan import Plan, load_plan
from components.federated_split.reading import partition_of
from components.federated_split.sides import EVAL, TRAIN
from components.federated_split.spills import Segment, SpillFile, read_table, runs
from errors import IntegrityError

_SCHEMA = pa.schema([("digest", pa.binary(32))])
# Bytes of blocks that are read before their records' digests are spilled.
_RUN_BYTES = 32 << 20


def check_clients(output: str, plan: Plan) -> None:
    """Compares the indices with who is held out.

    Raises:
      IntegrityError: a held-out client has training examples, or has none for evaluation.
    """
    held_out = plan.clients.filter(pa.array(plan.held_out)).cast(pa.string())
    if trained := _count(output, TRAIN, held_out):
        raise IntegrityError(f"expected no held-out client in the training side, found {trained}; run FederatedSplit again.")
    found = _count(output, EVAL, held_out)
    if found != len(held_out):
        raise IntegrityError(
            f"expected all {len(held_out)} held-out clients in the evaluation side, found {found}; run FederatedSplit again."
        )


def _count(output: str, side: str, client_ids: pa.StringArray) -> int:
    """Returns how many of the clients are in a side's index; each has one block of number 0."""
    found = 0
    with pq.ParquetFile(blocks.split_folder(output, side) / blocks.INDEX_FILE) as index:
        for batch in index.iter_batches(columns=["client_id", "block"]):
            first = pc.equal(batch.column(1), 0)
            found += pc.sum(pc.and_(first, pc.is_in(batch.column(0), value_set=client_ids))).as_py() or 0
    return found


def spill_digests(shard: tuple[str, int], folder: str, output: str, ranges: int) -> Iterator[tuple[int, tuple[str, Segment]]]:
    """Reads a shard file that was written and yields (range of digest, (side, segment of digests of its records)).

    Raises:
      FedtfxError: the disk is full.
    """
    side, number = shard
    with full_disk_is_one_line(folder), SpillFile(folder) as spill:
        for digests in _digests(side, number, folder, output):
            where = partition_of(digests, ranges)
            order = np.argsort(where, kind="stable")
            column = pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), len(order), [None, pa.py_buffer(digests)])
            batch = pa.record_batch([column.take(pa.array(order))], schema=_SCHEMA)
            for part, first, last in runs(where[order]):
                offset, length = spill.append(batch.slice(first, last - first))
                yield part, (side, Segment(part, spill.path, offset, length, last - first))


def _digests(side: str, shard: int, folder: str, output: str) -> Iterator[bytes]:
    """Yields the concatenated sha256 digests of a shard's records, a run of blocks at a time."""
    lengths = read_table(index_part(folder, side, shard))["length"].to_pylist()
    path = Path(blocks.split_folder(output, side), blocks.shard_name(shard, load_plan(folder).num_shards))
    digests: list[bytes] = []
    size = 0
    with open(path, "rb", buffering=1 << 20) as file:
        for length in lengths:
            digests += (hashlib.sha256(record).digest() for record in blocks.parse_block(file.read(length)))
            size += length
            if size >= _RUN_BYTES:
                yield b"".join(digests)
                digests, size = [], 0
    if digests:
        yield b"".join(digests)


def check_range(grouped: tuple[int, Iterable[tuple[str, Segment]]]) -> None:
    """Compares the two sides in one range of digests.

    Raises:
      IntegrityError: an example is on both.
    """
    digests: dict[str, list[np.ndarray]] = {TRAIN: [], EVAL: []}
    for side, segment in grouped[1]:
        digests[side].append(digest_words(segment.batch(_SCHEMA).column(0)))
    if not all(digests.values()):
        return
    trained, evaluated = (np.concatenate(words) for words in digests.values())
    alike = np.intersect1d(trained[:, 0], evaluated[:, 0])
    both = _rows(trained, alike) & _rows(evaluated, alike)
    if both:
        raise IntegrityError(f"expected each example on one side, found {len(both)} on both; run FederatedSplit again.")


def _rows(words: np.ndarray, leading: np.ndarray) -> set[tuple[int, ...]]:
    return set(map(tuple, words[np.isin(words[:, 0], leading)].tolist()))
