"""The three steps of the division, on files; they know neither Beam nor TFX, and Beam workers run them.

read_and_spill   an input file   -> records with stratum, label and digest, spilled by range of digest
place            a digest range  -> every record's exact rank in its stratum, hence its client; spilled by shard
assemble         a shard         -> the shard file with its blocks, and its part of the index

Ranks come from the content alone, so neither the order of the input nor of the bundles, nor the number of workers, shows in the
output. Equal records have equal digests and are interchangeable: each still gets its own rank.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.federated_split import blocks, features
from components.federated_split.plan import load_bases, load_plan
from components.federated_split.records import read_records
from components.federated_split.spills import PLACED_SCHEMA, READ_SCHEMA, Segment, SpillFile, load_manifest
from errors import DataError

# Records kept in memory before they are sorted by partition and spilled.
_RUN_BYTES = 32 << 20


@dataclass(frozen=True)
class Reading:
    """What the first step needs to know.

    folder: where spill files go. partitions: number of digest ranges; it does not show in the output.
    stratum, label: names of features, or None.
    """

    folder: str
    seed: int
    partitions: int
    stratum: str | None
    label: str | None


def read_and_spill(path: str, reading: Reading) -> Iterator[tuple[int, Segment]]:
    """Reads one TFRecord file and yields (partition, segment); a damaged file is a segment with its `fault` set."""
    with SpillFile(reading.folder) as spill:
        try:
            for run in _runs(path):
                for segment in _spill_run(run, reading, spill):
                    yield segment.partition, segment
        except DataError as error:
            yield 0, Segment(partition=0, fault=str(error))


def _runs(path: str) -> Iterator[list[bytes]]:
    run: list[bytes] = []
    size = 0
    for record in read_records(path):
        run.append(record)
        size += len(record) + 64  # 64: roughly what Python and Arrow add to each.
        if size >= _RUN_BYTES:
            yield run
            run, size = [], 0
    if run:
        yield run


def _spill_run(run: list[bytes], reading: Reading, spill: SpillFile) -> Iterator[Segment]:
    strata, labels, kinds = _columns(run, reading)
    yield Segment(partition=0, kinds=kinds)
    digests = seeded_digests(run, reading.seed)
    digest_column = pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), len(run), [None, pa.py_buffer(digests)])
    columns = [strata, labels, digest_column, pa.array(run, pa.large_binary())]
    partition = partition_of(digests, reading.partitions)
    order = np.argsort(partition, kind="stable")
    table = pa.Table.from_arrays(columns, schema=READ_SCHEMA).take(pa.array(order))
    for number, part in _parts(table, partition[order]):
        offset, length = spill.append(part)
        yield Segment(
            partition=number,
            path=spill.path,
            offset=offset,
            length=length,
            examples=len(part),
            record_bytes=pc.sum(pc.binary_length(part["record"])).as_py(),
            strata=_histogram(part["stratum"]),
        )


def _columns(run: list[bytes], reading: Reading) -> tuple[pa.Array, pa.Array, dict[str, int]]:
    """Returns strata, labels, and the kinds of values that the strata came from."""
    strata, kinds = pa.array([""] * len(run), pa.large_string()), {}
    if reading.stratum:
        strata, counted = features.scalar_texts(run, reading.stratum)
        kinds = dict(counted)
    if reading.label is None:
        return strata, pa.nulls(len(run), pa.large_string()), kinds
    if reading.label == reading.stratum:
        return strata, strata, kinds
    return strata, features.scalar_texts(run, reading.label)[0], kinds


def _parts(table: pa.Table, numbers: np.ndarray) -> Iterator[tuple[int, pa.Table]]:
    """Yields (number, its rows) for each distinct number; `numbers` is sorted and as long as the table."""
    distinct, firsts, counts = np.unique(numbers, return_index=True, return_counts=True)
    for number, first, count in zip(distinct.tolist(), firsts.tolist(), counts.tolist(), strict=True):
        yield number, table.slice(first, count)


def _histogram(column: pa.ChunkedArray) -> dict[str, int]:
    counted = pc.value_counts(column.drop_null())
    return dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))


def seeded_digests(records: Iterable[bytes], seed: int) -> bytes:
    """Returns the concatenated sha256 digests of seed and record: a random order that depends on the content only."""
    seeded = hashlib.sha256(f"{seed}\0".encode())
    digests = []
    for record in records:
        digest = seeded.copy()
        digest.update(record)
        digests.append(digest.digest())
    return b"".join(digests)


def partition_of(digests: bytes, partitions: int) -> np.ndarray:
    """Returns int64[n], the number of the equal range each 32-byte digest is in; rises with the digest."""
    leading = np.frombuffer(digests, dtype=">u4").reshape(-1, 8)[:, 0].astype(np.uint64)
    return ((leading * np.uint64(partitions)) >> np.uint64(32)).astype(np.int64)


def place(partition: int, folder: str) -> Iterator[tuple[int, Segment]]:
    """Finds each record's client by its exact rank and yields (shard, segment), sorted by client and digest.

    Reads the partition's manifest, the plan and the partition's bases, which `divide` left in `folder`.
    """
    plan, bases = load_plan(folder), load_bases(folder, partition)
    table = pa.concat_tables([segment.table() for segment in load_manifest(folder, partition).segments])
    digests = _as_bytes32(table["digest"])
    codes = pc.index_in(table["stratum"], value_set=bases["stratum"].combine_chunks()).to_numpy()
    ranks = bases["base"].to_numpy()[codes] + _rank_within(codes, digests)
    client = plan.client_of_rank(ranks)
    shard = plan.shard_of_client[client]
    order = np.lexsort((digests, client, shard))
    columns = [pa.array(client[order]), *table.select(["label", "record"]).take(pa.array(order)).columns]
    placed = pa.Table.from_arrays(columns, schema=PLACED_SCHEMA)
    with SpillFile(folder) as spill:
        for number, part in _parts(placed, shard[order]):
            offset, length = spill.append(part)
            yield number, Segment(partition=partition, path=spill.path, offset=offset, length=length, examples=len(part))


def _as_bytes32(column: pa.ChunkedArray) -> np.ndarray:
    """Returns a binary(32) column as a NumPy array that sorts like its bytes."""
    return np.frombuffer(
        b"".join(chunk.buffers()[1].slice(chunk.offset * 32, len(chunk) * 32) for chunk in column.chunks), "S32"
    )


def _rank_within(codes: np.ndarray, digests: np.ndarray) -> np.ndarray:
    """Returns int64[n], each record's rank by digest among the records of its code, from 0."""
    order = np.lexsort((digests, codes))
    in_order = codes[order]
    ranks = np.empty(len(codes), dtype=np.int64)
    ranks[order] = np.arange(len(codes)) - np.searchsorted(in_order, in_order, side="left")
    return ranks


def assemble(grouped: tuple[int, Iterable[Segment]], folder: str, split_folder: str, block_bytes: int) -> None:
    """Writes one shard file into `split_folder` and its rows of the index as a file of its own into `folder`.

    Args:
      grouped: the shard's number, and what `place` yielded for it in any order. All of it is in memory while it is written.
      folder: where the plan is, and where the rows of the index go.
      split_folder: directory of the split.
      block_bytes: a block holds at most this many bytes of records, or one record.
    """
    shard, segments = grouped
    plan = load_plan(folder)
    # Partitions rise with the digest: in their order, a stable sort by client leaves each client's records in digest order.
    in_order = sorted(segments, key=lambda segment: segment.partition)
    table = pa.concat_tables([segment.table() for segment in in_order])
    table = table.take(pa.array(np.argsort(table["client"].to_numpy(), kind="stable"))).combine_chunks()
    partial = Path(folder, f"shard-{uuid.uuid4().hex}")
    with open(partial, "wb") as file:
        writer = blocks.ShardWriter(file, shard, block_bytes)
        for client, part in _parts(table, table["client"].to_numpy()):
            writer.add(plan.clients[client], part["record"].combine_chunks(), part["label"].combine_chunks())
    pq.write_table(writer.index(), Path(folder, f"index-{shard:05d}.parquet"))
    os.replace(partial, Path(split_folder, blocks.shard_name(shard, plan.num_shards)))
