import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from components.federated_split.blocks import Clients, parse_block, serialize_block
from errors import IntegrityError
from lineage.digests import file_digest


@pytest.fixture
def uri(write_examples, divide, make_example) -> str:
    records = [make_example(label=number % 3, text=b"x" * number) for number in range(300)]
    return divide(write_examples(records), clients=20, label="label", block_bytes=1500, shard_bytes=10_000).uri


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=200))
def test_a_block_is_what_tensorflow_serializes_and_parses(records: list[bytes]) -> None:
    block = serialize_block(records)
    assert block == tf.io.serialize_tensor(tf.constant(records)).numpy()
    assert parse_block(block) == records


def test_reader_gives_every_client_and_count(uri: str) -> None:
    clients = Clients.open(uri)
    assert len(clients) == len(clients.ids) == 20
    assert clients.ids[0] == "client-00000"
    assert [clients.num_examples(client) for client in clients.ids] == [len(clients.examples(client)) for client in clients.ids]
    assert [sum(clients.labels(client).values()) for client in clients.ids] == [15] * 20
    assert max(len(clients.blocks(client)) for client in clients.ids) > 1
    assert len(clients.shard_paths) > 1
    clients.verify()


def test_an_unknown_client_is_a_key_error(uri: str) -> None:
    with pytest.raises(KeyError):
        Clients.open(uri).examples("client-99999")


def test_tensorflow_reads_a_client_by_offset_and_length(uri: str) -> None:
    clients = Clients.open(uri)
    for client in clients.ids:
        records: list[bytes] = []
        for shard, offset, length in clients.blocks(client):
            footer = clients.shard_sizes[shard] - offset - length
            dataset = tf.data.FixedLengthRecordDataset(clients.shard_paths[shard], length, offset, footer)
            records += tf.io.parse_tensor(next(iter(dataset)), tf.string).numpy().tolist()
        assert records == clients.examples(client)


def test_a_flipped_byte_is_found_and_the_shard_named(uri: str) -> None:
    clients = Clients.open(uri)
    shard, offset, _ = clients.blocks(clients.ids[7])[0]
    path = Path(clients.shard_paths[shard])
    data = bytearray(path.read_bytes())
    data[offset + 20] ^= 1
    path.write_bytes(data)
    for read in (clients.verify, lambda: clients.examples(clients.ids[7])):
        with pytest.raises(IntegrityError, match=path.name) as raised:
            read()
        assert "\n" not in str(raised.value)


def test_a_truncated_shard_is_found_when_opened_and_when_verified(uri: str) -> None:
    clients = Clients.open(uri)
    path = Path(clients.shard_paths[clients.blocks(clients.ids[0])[0, 0]])
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match=path.name):
        clients.verify()
    with pytest.raises(IntegrityError, match=path.name):
        Clients.open(uri)


def test_a_missing_shard_is_found(uri: str) -> None:
    path = Path(Clients.open(uri).shard_paths[0])
    path.unlink()
    with pytest.raises(IntegrityError, match=f"{path.name}, found no file"):
        Clients.open(uri)


def test_an_edited_index_is_found(uri: str) -> None:
    path = Path(uri, "Split-train", "index.parquet")
    rows = pq.read_table(path).to_pylist()
    rows[0]["num_examples"] += 1
    pq.write_table(pa.Table.from_pylist(rows, pq.read_schema(path)), path)
    with pytest.raises(IntegrityError, match=r"index\.parquet"):
        Clients.open(uri)


def test_an_index_that_leaves_a_gap_is_found_even_if_its_digest_was_replaced(uri: str) -> None:
    path = Path(uri, "Split-train", "index.parquet")
    rows = pq.read_table(path).to_pylist()
    at = next(i for i, row in enumerate(rows) if row["offset"] > 0)
    rows[at]["offset"] -= 1
    pq.write_table(pa.Table.from_pylist(rows, pq.read_schema(path)), path)
    partition_path = Path(uri, "partition.json")
    partition = json.loads(partition_path.read_text())
    partition["index_sha256"]["train"] = file_digest(path)
    partition_path.write_text(json.dumps(partition))
    with pytest.raises(IntegrityError, match="gap or overlap"):
        Clients.open(uri).verify()


@pytest.mark.parametrize("name", ["partition.json", "Split-train/index.parquet"])
def test_a_missing_description_is_found(uri: str, name: str) -> None:
    Path(uri, name).unlink()
    with pytest.raises(IntegrityError, match=Path(name).name):
        Clients.open(uri)


def test_the_reader_needs_neither_tensorflow_nor_beam() -> None:
    code = "import sys, components.federated_split.blocks; print({'tensorflow', 'apache_beam', 'tfx'} & set(sys.modules))"
    root = Path(__file__).parents[3]
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout == "set()\n"
    )
