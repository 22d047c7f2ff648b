"""The on-disk layout of FederatedExamples: blocks, shards and the index.

A block is a serialized TensorProto of a 1-D tf.string tensor of serialized tf.Examples of one client, the same bytes that
`tf.io.serialize_tensor` makes. A shard is blocks one after the other, ordered by client id. The index has a row per block.
Writing (see `writer`) and reading need no TensorFlow; a TensorFlow graph reads a block with
`tf.data.FixedLengthRecordDataset(shard, record_bytes=length, header_bytes=offset, footer_bytes=size - offset - length)` and
`tf.io.parse_tensor(block, tf.string)`.
"""

from __future__ import annotations

import bisect
import functools
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from errors import IntegrityError
from lineage.digests import file_digest

PARTITION_FILE = "partition.json"
PICTURE_FILE = "partition.svg"
INDEX_FILE = "index.parquet"
INDEX_SCHEMA = pa.schema(
    [
        ("client_id", pa.string()),
        ("block", pa.int32()),
        ("shard", pa.int32()),
        ("offset", pa.int64()),
        ("length", pa.int64()),
        ("num_examples", pa.int64()),
        ("held_out", pa.bool_()),
        ("labels", pa.list_(pa.struct([("label", pa.string()), ("count", pa.int64())]))),
        ("sha256", pa.string()),
    ]
)

# Wire tags of TensorProto (tensorflow/core/framework/tensor.proto): dtype = 1, tensor_shape = 2, string_val = 8; in the shape
# dim = 2, and in that size = 1.
_DTYPE_STRING = b"\x08\x07"
_SHAPE_TAG, _DIM_TAG, _SIZE_TAG, _STRING_TAG = b"\x12", b"\x12", b"\x08", b"\x42"


def split_folder(uri: str, split: str = "train") -> Path:
    """Returns the directory of a split inside the artifact."""
    return Path(uri, f"Split-{split}")


def shard_name(shard: int, num_shards: int) -> str:
    """Returns the file name of a shard, `clients-00000-of-00016`."""
    return f"clients-{shard:05d}-of-{num_shards:05d}"


def serialize_block(records: Sequence[bytes]) -> bytes:
    """Returns the records as a serialized TensorProto of a tf.string tensor of shape [len(records)]; at least one record."""
    return b"".join((block_header(len(records)), *map(frame, records)))


@functools.lru_cache(maxsize=1 << 16)
def block_header(count: int) -> bytes:
    """Returns what a block of `count` records begins with; their frames follow."""
    size = _SIZE_TAG + _varint(count)
    dim = _DIM_TAG + _varint(len(size)) + size
    return b"".join((_DTYPE_STRING, _SHAPE_TAG, _varint(len(dim)), dim))


def frame(record: bytes) -> bytes:
    """Returns a record as it is in a block."""
    return _frame_header(len(record)) + record


@functools.lru_cache(maxsize=1 << 16)
def _frame_header(length: int) -> bytes:
    return _STRING_TAG + _varint(length)


def unframed_lengths(frames: np.ndarray) -> np.ndarray:
    """Returns int64[n], the length of each record whose frame is so many bytes long: a frame adds a tag and a varint."""
    longest = np.array([(1 << 7 * size) + size for size in range(1, 5)])  # frames whose varint has 1, 2, 3 or 4 bytes
    return frames - 2 - np.searchsorted(longest, frames, side="left")


def parse_block(block: bytes) -> list[bytes]:
    """The inverse of `serialize_block`; the caller has checked the block's sha256."""
    shape_length, start = _read_varint(block, len(_DTYPE_STRING) + 1)
    at = start + shape_length
    records = []
    while at < len(block):
        length, at = _read_varint(block, at + 1)
        records.append(block[at : at + length])
        at += length
    return records


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append((value & 0x7F) | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while data[at] & 0x80:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
    return value | data[at] << shift, at + 1


class Clients:
    """The clients of one split of a FederatedExamples artifact; opens it with `Clients.open(uri)`."""

    def __init__(self, folder: Path, index: pa.Table, num_shards: int):
        """Use `open`, which checks what it reads."""
        self._folder = folder
        self._sha256 = index["sha256"]
        self._labels = index["labels"]
        self._held_out = index["held_out"]
        self._examples = index["num_examples"].to_numpy()
        self._blocks = np.stack([index[name].to_numpy().astype(np.int64) for name in ("shard", "offset", "length")], axis=1)
        encoded = index["client_id"].combine_chunks().dictionary_encode()
        self.ids: list[str] = encoded.dictionary.to_pylist()
        self._first = np.searchsorted(encoded.indices.to_numpy(), np.arange(len(self.ids) + 1), side="left")
        self.shard_paths: list[str] = [str(folder / shard_name(shard, num_shards)) for shard in range(num_shards)]
        sizes = np.zeros(num_shards, dtype=np.int64)
        np.add.at(sizes, self._blocks[:, 0], self._blocks[:, 2])
        self.shard_sizes: list[int] = sizes.tolist()

    @classmethod
    def open(cls, uri: str, split: str = "train") -> Clients:
        """Opens a split; checks the index against partition.json, and that the shards are there with their full size.

        Raises:
          IntegrityError: a file is missing or is not what was published.
        """
        folder, partition_file = split_folder(uri, split), Path(uri, PARTITION_FILE)
        try:
            partition = json.loads(partition_file.read_text())
            expected, num_shards = partition["index_sha256"][split], partition["num_shards"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IntegrityError(
                f"expected a readable description of split {split!r} in {partition_file}, found none; {_REMEDY}"
            ) from error
        index_file = folder / INDEX_FILE
        if not index_file.is_file() or file_digest(index_file) != expected:
            raise IntegrityError(f"expected sha256 {expected} of {index_file}, found another or no file; {_REMEDY}")
        clients = cls(folder, pq.read_table(index_file, schema=INDEX_SCHEMA), num_shards)
        clients._check_sizes()
        return clients

    def __len__(self) -> int:
        """Returns the number of clients that have examples."""
        return len(self.ids)

    @property
    def held_out(self) -> list[str]:
        """Returns the ids of the clients that are never trained on, sorted; they are in the evaluation side only."""
        first = self._held_out.take(pa.array(self._first[:-1])).to_pylist()
        return [client_id for client_id, held_out in zip(self.ids, first, strict=True) if held_out]

    def num_examples(self, client_id: str) -> int:
        """Returns how many examples a client has."""
        return int(self._examples[self._rows(client_id)].sum())

    def labels(self, client_id: str) -> dict[str, int]:
        """Returns how many examples of each label a client has; empty when no label was named for the split."""
        counts: Counter[str] = Counter()
        for block in self._labels[self._rows(client_id)].to_pylist():
            counts.update({entry["label"]: entry["count"] for entry in block})
        return dict(sorted(counts.items()))

    def all_labels(self) -> list[str]:
        """Returns the labels of all examples, each once, sorted; empty when no label was named for the split."""
        entries = self._labels.combine_chunks().flatten()
        return sorted(set(entries.field("label").unique().to_pylist())) if len(entries) else []

    def blocks(self, client_id: str) -> np.ndarray:
        """Returns int64[n_blocks, 3]: shard, offset and length in bytes of each of a client's blocks."""
        return self._blocks[self._rows(client_id)]

    def all_blocks(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns where each client's blocks begin and the last one's end, and the blocks, in the order of `ids`.

        int64[clients + 1] and int64[n_blocks, 3] (shard, offset, length): those of ids[i] are blocks[begin[i] : begin[i + 1]].
        """
        return self._first, self._blocks

    def block_examples(self) -> np.ndarray:
        """Returns int64[n_blocks], how many examples each block holds, in the order of `all_blocks`."""
        return self._examples

    def examples(self, client_id: str) -> list[bytes]:
        """Returns a client's serialized tf.Examples.

        Raises:
          IntegrityError: a block is not what was published.
        """
        return [record for block in self._read(client_id) for record in parse_block(block)]

    def check(self, client_id: str) -> None:
        """Reads a client's blocks, one at a time, and compares them with the index.

        Raises:
          IntegrityError: a block is not what was published.
        """
        for _ in self._read(client_id):
            pass

    def verify(self) -> None:
        """Reads everything and compares it with the index.

        Raises:
          IntegrityError: a shard has another size, its blocks leave gaps or overlap, or a block has other bytes.
        """
        self._check_sizes()
        order = np.lexsort((self._blocks[:, 1], self._blocks[:, 0]))
        ends = np.searchsorted(self._blocks[order, 0], np.arange(len(self.shard_paths) + 1)).tolist()
        for shard, path in enumerate(self.shard_paths):
            self._verify_shard(path, order[ends[shard] : ends[shard + 1]].tolist())

    def _verify_shard(self, path: str, rows: list[int]) -> None:
        end = 0
        with open(path, "rb") as file:
            for row in rows:
                if self._blocks[row, 1] != end:
                    raise IntegrityError(
                        f"expected a block at byte {end} of {path}, the index has a gap or overlap there; {_REMEDY}"
                    )
                self._checked_block(file, row)
                end += int(self._blocks[row, 2])

    def _read(self, client_id: str) -> Iterator[bytes]:
        rows = self._rows(client_id)
        for row in range(rows.start, rows.stop):
            with open(self.shard_paths[self._blocks[row, 0]], "rb") as file:
                yield self._checked_block(file, row)

    def _rows(self, client_id: str) -> slice:
        at = bisect.bisect_left(self.ids, client_id) if isinstance(client_id, str) else len(self.ids)
        if at == len(self.ids) or self.ids[at] != client_id:
            raise KeyError(f"expected one of the {len(self.ids)} clients that have examples here, got {client_id!r}")
        return slice(int(self._first[at]), int(self._first[at + 1]))

    def _check_sizes(self) -> None:
        for path, size in zip(self.shard_paths, self.shard_sizes, strict=True):
            found = Path(path).stat().st_size if Path(path).is_file() else "no file"
            if found != size:
                raise IntegrityError(f"expected {size} bytes in {path}, found {found}; {_REMEDY}")

    def _checked_block(self, file: BinaryIO, row: int) -> bytes:
        offset, length = self._blocks[row, 1:].tolist()
        file.seek(offset)
        block = file.read(length)
        if hashlib.sha256(block).hexdigest() != self._sha256[row].as_py():
            raise IntegrityError(
                f"expected the published block at bytes {offset} to {offset + length} of {file.name}, found others; {_REMEDY}"
            )
        return block


_REMEDY = "run FederatedSplit again."
