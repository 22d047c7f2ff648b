import io
import itertools

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from components.federated_split import assembling
from components.federated_split.blocks import frame, serialize_block
from components.federated_split.spills import PLACED_SCHEMA, Segment, SpillFile
from components.federated_split.writer import Rows, ShardWriter

IDS = pa.array(["ann", "bob", "cy", "dan"])
Record = tuple[int, str | None, bytes]
RECORDS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["b", "a", None]), st.binary(max_size=200)), min_size=1, max_size=80
)


def rows(records: list[Record]) -> Rows:
    clients, labels, contents = zip(*records, strict=True)
    return Rows(
        np.array(clients),
        pa.array(labels, pa.large_string()),
        pa.array([frame(record) for record in contents], pa.large_binary()),
    )


def expected(records: list[Record], block_bytes: int) -> tuple[bytes, list[dict]]:
    """The shard and its index, put together record by record."""
    shard, index = b"", []
    groups: list[list[Record]] = []
    for record in records:
        fits = groups and groups[-1][0][0] == record[0] and sum(len(r[2]) for r in groups[-1]) + len(record[2]) <= block_bytes
        groups[-1].append(record) if fits else groups.append([record])
    for group in groups:
        block = serialize_block([record for _, _, record in group])
        labels = [label for _, label, _ in group if label is not None]
        before = sum(row["client_id"] == IDS[group[0][0]].as_py() for row in index)
        index.append(
            {
                "client_id": IDS[group[0][0]].as_py(),
                "block": before,
                "offset": len(shard),
                "length": len(block),
                "num_examples": len(group),
                "held_out": group[0][0] == 1,
                "labels": [{"label": label, "count": labels.count(label)} for label in sorted(set(labels))],
            }
        )
        shard += block
    return shard, index


@given(RECORDS, st.lists(st.integers(0, 80), max_size=4), st.integers(1, 600))
def test_blocks_and_index_do_not_depend_on_how_the_records_come(
    records: list[Record], cuts: list[int], block_bytes: int
) -> None:
    records = sorted(records, key=lambda record: record[0])
    file = io.BytesIO()
    writer = ShardWriter(file, 7, block_bytes, IDS, np.array([False, True, False, False]))
    ends = sorted({*(cut for cut in cuts if cut < len(records)), 0, len(records)})
    for first, last in itertools.pairwise(ends):
        writer.add(rows(records[first:last]))
    index = writer.close()
    shard, described = expected(records, block_bytes)
    assert file.getvalue() == shard
    assert index.select(list(described[0])).to_pylist() == described
    assert set(index["shard"].to_pylist()) == {7}


@given(st.lists(RECORDS, min_size=1, max_size=5), st.integers(1, 3000))
def test_segments_are_merged_by_client_and_then_in_their_order_a_few_bytes_at_a_time(
    tmp_path_factory, parts: list[list[Record]], merge_bytes: int
) -> None:
    parts = [sorted(part, key=lambda record: record[0]) for part in parts]
    merge_bytes, assembling._MERGE_BYTES = assembling._MERGE_BYTES, merge_bytes
    try:
        with SpillFile(str(tmp_path_factory.mktemp("spills"))) as spill:
            segments = []
            for number, part in enumerate(parts):
                clients, labels, records = rows(part)
                batch = pa.record_batch([pa.array(clients), labels, records], schema=PLACED_SCHEMA)
                segments.append(Segment(number, spill.path, *spill.append(batch), len(part)))
        merged = list(assembling.merged(segments))
    finally:
        assembling._MERGE_BYTES = merge_bytes
    pieces = [sum(len(frame(r)) for c, _, r in part if c == client) for part in parts for client in range(4)]
    assert max(len(b"".join(batch.records.to_pylist())) for batch in merged) <= max(merge_bytes, *pieces)
    found = [row for batch in merged for row in zip(batch.clients.tolist(), *(c.to_pylist() for c in batch[1:]), strict=True)]
    in_order = sorted((record for part in parts for record in part), key=lambda record: record[0])
    assert found == [(client, label, frame(record)) for client, label, record in in_order]
