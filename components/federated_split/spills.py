"""Temporary files between the passes: Arrow tables, appended to one file and read back by offset.

They hold the records while they are being sorted, instead of the Beam runner's own shuffle: memory then does not grow with
the number of examples on any runner, and no record passes through a Beam coder. A worker that is retried writes a file of a
new name, and only files that a finished step reported are read.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pyarrow as pa

# A record and what the first pass found out about it. The digest orders records; it depends on the seed and the content only.
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
    """One table in a spill file, and what is in it.

    partition: which range of digests it holds (see `stages.partition_of`).
    examples, record_bytes: how many records, and the bytes of all of them.
    strata: examples of each stratum.
    kinds: what kinds of values the strata of a run came from (see `features`); such a segment holds nothing else.
    fault: why the input file could not be read, "" if it could; such a segment holds nothing else.
    """

    partition: int
    path: str = ""
    offset: int = 0
    length: int = 0
    examples: int = 0
    record_bytes: int = 0
    strata: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)
    fault: str = ""

    def table(self) -> pa.Table:
        """Returns the stored table, memory-mapped."""
        with pa.memory_map(self.path) as file:
            file.seek(self.offset)
            return pa.ipc.open_stream(file.read_buffer(self.length)).read_all()


class SpillFile:
    """Appends tables to a new file in `folder`; use it in a `with`."""

    def __init__(self, folder: str):
        self.path = str(Path(folder, f"spill-{uuid.uuid4().hex}.arrow"))

    def __enter__(self) -> SpillFile:
        self._file = open(self.path, "wb")
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()

    def append(self, table: pa.Table) -> tuple[int, int]:
        """Writes `table` and returns its offset and length in bytes."""
        offset = self._file.tell()
        with pa.ipc.new_stream(self._file, table.schema) as writer:
            writer.write_table(table)
        return offset, self._file.tell() - offset


@dataclass(frozen=True)
class Manifest:
    """All segments of one partition and their sums, as one small JSON file between the two pipelines."""

    partition: int
    segments: list[Segment]
    examples: int
    record_bytes: int
    strata: dict[str, int]
    kinds: dict[str, int]
    faults: list[str]

    @classmethod
    def of(cls, partition: int, segments: Sequence[Segment]) -> Manifest:
        """Sums up the segments of one partition."""
        strata: Counter[str] = Counter()
        kinds: Counter[str] = Counter()
        for segment in segments:
            strata.update(segment.strata)
            kinds.update(segment.kinds)
        return cls(
            partition=partition,
            segments=[s for s in segments if s.examples],
            examples=sum(s.examples for s in segments),
            record_bytes=sum(s.record_bytes for s in segments),
            strata=dict(strata),
            kinds=dict(kinds),
            faults=sorted(s.fault for s in segments if s.fault),
        )


def save_manifest(folder: str, manifest: Manifest) -> None:
    """Writes a manifest where `load_manifest` finds it; the sums are not repeated in its segments."""
    segments = [{**asdict(segment), "strata": {}} for segment in manifest.segments]
    _manifest_path(folder, manifest.partition).write_text(json.dumps({**asdict(manifest), "segments": segments}))


def load_manifest(folder: str, partition: int) -> Manifest:
    """Reads the manifest of a partition."""
    value = json.loads(_manifest_path(folder, partition).read_text())
    return Manifest(**{**value, "segments": [Segment(**segment) for segment in value["segments"]]})


def manifest_partitions(folder: str) -> list[int]:
    """Returns the numbers of the partitions that have a manifest, sorted."""
    return sorted(int(path.stem.removeprefix("manifest-")) for path in Path(folder).glob("manifest-*.json"))


def _manifest_path(folder: str, partition: int) -> Path:
    return Path(folder, f"manifest-{partition:05d}.json")
