"""The first pass: an input file -> its records with stratum, label and digest, spilled by range of digest.

Like the other passes it works on files and knows neither Beam nor TFX; Beam workers run it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from components.federated_split import features
from components.federated_split.blocks import frame
from components.federated_split.disk import full_disk_is_one_line
from components.federated_split.records import read_records
from components.federated_split.spills import READ_SCHEMA, Segment, SpillFile, runs
from errors import DataError
from lineage.forgotten import Omission

# Records kept in memory before they are sorted by partition and spilled.
_RUN_BYTES = 32 << 20

# Texts, and how many values of which kind they came from (see `features`).
_Column = tuple[pa.Array, dict[str, int]]


@dataclass(frozen=True)
class Reading:
    """What the first pass needs to know.

    folder: where spill files go. partitions: number of digest ranges; it does not show in the output.
    stratum, label: names of features, or None. numeric: the strata are numbers, to be ranked (see `ranking`).
    omission: whose records are skipped.
    """

    folder: str
    seed: int
    partitions: int
    stratum: str | None
    label: str | None
    numeric: bool = False
    omission: Omission | None = None


def read_and_spill(path: str, reading: Reading) -> Iterator[tuple[int, Segment]]:
    """Reads one TFRecord file and yields (partition, segment); a damaged file is a segment with its `fault` set.

    Raises:
      FedtfxError: the disk is full.
      IntegrityError: the list of forgotten clients is not the one that was meant.
    """
    with full_disk_is_one_line(reading.folder), SpillFile(reading.folder) as spill:
        try:
            for run in filter(None, (_kept(run, reading.omission) for run in _runs(path))):
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


def _kept(run: list[bytes], omission: Omission | None) -> list[bytes]:
    """Returns the records of all but the forgotten clients; those that do not say whose they are stay."""
    if omission is None:
        return run
    forgotten = omission.check()
    for feature in omission.features:
        clients = features.scalar_texts(run, feature)[0].to_pylist() if run else []
        run = [record for record, client in zip(run, clients, strict=True) if client is None or not forgotten(client)]
    return run


def _spill_run(run: list[bytes], reading: Reading, spill: SpillFile) -> Iterator[Segment]:
    (strata, kinds), (labels, label_kinds) = _columns(run, reading)
    yield Segment(partition=0, kinds=dict(kinds), label_kinds=dict(label_kinds))
    digests = seeded_digests(run, reading.seed)
    digest_column = pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), len(run), [None, pa.py_buffer(digests)])
    frames = pa.array(map(frame, run), pa.large_binary(), size=len(run))
    lengths = np.fromiter(map(len, run), np.int64, len(run))
    partition = partition_of(digests, reading.partitions)
    order = np.argsort(partition, kind="stable")
    batch = pa.record_batch([strata, labels, digest_column, frames], schema=READ_SCHEMA).take(pa.array(order))
    for number, first, last in runs(partition[order]):
        offset, length = spill.append(batch.slice(first, last - first))
        size = int(lengths[order[first:last]].sum())
        yield Segment(number, spill.path, offset, length, last - first, size)


def _columns(run: Sequence[bytes], reading: Reading) -> tuple[_Column, _Column]:
    """Returns strata and labels, and the kinds of values that each came from."""
    strata: _Column = pa.array([""] * len(run), pa.large_string()), {}
    if reading.stratum:
        strata = (features.number_texts if reading.numeric else features.scalar_texts)(run, reading.stratum)
    if reading.label is None:
        return strata, (pa.nulls(len(run), pa.large_string()), {})
    if reading.label == reading.stratum and not reading.numeric:
        return strata, strata
    return strata, features.scalar_texts(run, reading.label)


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
    """Returns uint16[n], the number of the equal range each 32-byte digest is in; rises with the digest."""
    leading = np.frombuffer(digests, dtype=">u4").reshape(-1, 8)[:, 0].astype(np.uint64)
    # uint16, because NumPy sorts it in linear time.
    return ((leading * np.uint64(partitions)) >> np.uint64(32)).astype(np.uint16)
