"""What the first pass leaves for the second: per digest range, where its records are and how many of which stratum.

The driver reads only the sums, so that what it holds does not grow with the number of spilled segments.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from components.federated_split.spills import READ_SCHEMA, Segment, read_table, whole_file, write_table

# What a file name begins with: what the first pass left, and what `ranking` makes of it. A step may run twice, so none writes
# over what it reads.
READ, RANKED = "", "ranked-"

_STRATA_SCHEMA = pa.schema([("stratum", pa.large_string()), ("count", pa.int64())])


@dataclass(frozen=True)
class Manifest:
    """The sums of one partition; `segments` and `strata` are in files of their own.

    kinds, label_kinds: what kinds of values strata and labels came from. stage: READ or RANKED.
    """

    partition: int
    examples: int
    record_bytes: int
    kinds: dict[str, int]
    label_kinds: dict[str, int]
    faults: list[str]
    stage: str = READ

    def segments(self, folder: str) -> list[Segment]:
        """Returns where the partition's records are."""
        return load_segments(folder, self.partition, self.stage)

    def strata(self, folder: str) -> pa.Table:
        """Returns the columns stratum (large_string), sorted, and count (int64) of the partition."""
        return read_table(_path(folder, f"{self.stage}strata", self.partition, "arrow"))


def save_manifest(grouped: tuple[int, Iterable[Segment]], folder: str, stage: str = READ) -> None:
    """Sums up the segments of one partition and writes what `load_manifests` and `load_segments` read."""
    partition, segments = grouped
    segments = list(segments)
    kinds: Counter[str] = Counter()
    label_kinds: Counter[str] = Counter()
    for segment in segments:
        kinds.update(segment.kinds)
        label_kinds.update(segment.label_kinds)
    filled = [segment for segment in segments if segment.examples]
    manifest = Manifest(
        partition=partition,
        examples=sum(segment.examples for segment in filled),
        record_bytes=sum(segment.record_bytes for segment in filled),
        kinds=dict(kinds),
        label_kinds=dict(label_kinds),
        faults=sorted(segment.fault for segment in segments if segment.fault),
        stage=stage,
    )
    write_table(_path(folder, f"{stage}strata", partition, "arrow"), _count_strata(filled))
    _write_json(_path(folder, f"{stage}segments", partition), [asdict(segment) for segment in filled])
    _write_json(_path(folder, f"{stage}manifest", partition), asdict(manifest))


def _count_strata(segments: Sequence[Segment]) -> pa.Table:
    columns = [segment.batch(READ_SCHEMA).column("stratum") for segment in segments]
    counted = pc.value_counts(pa.chunked_array(columns, pa.large_string()).drop_null())
    table = pa.Table.from_arrays([counted.field("values"), counted.field("counts")], schema=_STRATA_SCHEMA)
    return table.sort_by("stratum")


def load_segments(folder: str, partition: int, stage: str = READ) -> list[Segment]:
    """Returns where a partition's records are after a stage."""
    return [Segment(**segment) for segment in json.loads(_path(folder, f"{stage}segments", partition).read_text())]


def load_manifests(folder: str, stage: str = READ) -> list[Manifest]:
    """Returns the sums of all partitions that got any segment, in the order of their numbers."""
    paths = sorted(Path(folder).glob(f"{stage}manifest-*.json"))
    return [Manifest(**json.loads(path.read_text())) for path in paths]


def _write_json(path: Path, value: Any) -> None:
    with whole_file(path, str(path.parent)) as file:
        file.write(json.dumps(value).encode())


def _path(folder: str, what: str, partition: int, suffix: str = "json") -> Path:
    return Path(folder, f"{what}-{partition:05d}.{suffix}")
