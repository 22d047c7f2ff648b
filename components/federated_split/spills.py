"""Temporary files between the passes: Arrow record batches, appended to one file and read back by offset.

They hold the records while they are being sorted, instead of the Beam runner's own shuffle: memory then does not grow with
the number of examples on any runner, and no record passes through a Beam coder. A worker that is retried writes a file of a
new name, and only files that a finished step reported are read.
"""

from __future__ import annotations

import itertools
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa

# A record, framed as in a block, and what the first pass found out about it. The digest orders records; it depends on the
# seed and the content only.
READ_SCHEMA = pa.schema(
    [
        ("stratum", pa.large_string()),
        ("label", pa.large_string()),
        ("digest", pa.binary(32)),
        ("record", pa.large_binary()),
    ]
)
# A record with its client's number, in digest order within each client.
PLACED_SCHEMA = pa.schema([("client", pa.int64()), ("label", pa.large_string()), ("record", pa.large_binary())])


@dataclass(frozen=True)
class Segment:
    """One record batch in a spill file, and what is in it.

    partition: which range of digests it holds (see `reading.partition_of`).
    examples, record_bytes: how many records, and the bytes of all of them.
    kinds: what kinds of values the strata of a run came from (see `features`); such a segment holds nothing else.
    label_kinds: the same of the labels, in the same segment.
    fault: why the input file could not be read, "" if it could; such a segment holds nothing else.
    """

    partition: int
    path: str = ""
    offset: int = 0
    length: int = 0
    examples: int = 0
    record_bytes: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    label_kinds: dict[str, int] = field(default_factory=dict)
    fault: str = ""

    def batch(self, schema: pa.Schema) -> pa.RecordBatch:
        """Returns the stored rows, memory-mapped: what is not looked at is not read."""
        with pa.memory_map(self.path) as file:
            file.seek(self.offset)
            return pa.ipc.read_record_batch(file.read_buffer(self.length), schema)


class SpillFile:
    """Appends record batches to a new file in `folder`; use it in a `with`."""

    def __init__(self, folder: str):
        self.path = str(Path(folder, f"spill-{uuid.uuid4().hex}.arrow"))

    def __enter__(self) -> SpillFile:
        self._file = open(self.path, "wb", buffering=1 << 20)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()

    def append(self, batch: pa.RecordBatch) -> tuple[int, int]:
        """Writes `batch` and returns its offset and length in bytes."""
        offset = self._file.tell()
        return offset, self._file.write(batch.serialize())


def runs(numbers: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Yields (number, first, last + 1) for each run of equal numbers."""
    starts = np.append(np.flatnonzero(np.diff(numbers, prepend=-1)), len(numbers)).tolist()
    for first, last in itertools.pairwise(starts):
        yield int(numbers[first]), first, last


@contextmanager
def whole_file(path: Path, folder: str) -> Iterator[BinaryIO]:
    """Opens a file that lies in `folder` until it is complete: a step may run twice, and one of the two be killed.

    Both must be on one file system.
    """
    partial = Path(folder, f"partial-{uuid.uuid4().hex}")
    with open(partial, "wb", buffering=1 << 20) as file:
        yield file
    os.replace(partial, path)


def write_table(path: Path, table: pa.Table) -> None:
    """Writes a table into a file of its own, for `read_table`."""
    with whole_file(path, str(path.parent)) as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def read_table(path: Path) -> pa.Table:
    """Returns a table that `write_table` wrote, memory-mapped."""
    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_file(file).read_all()
