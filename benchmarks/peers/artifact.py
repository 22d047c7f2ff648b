"""Writes a workload's clients as FederatedSplit leaves them on disk: blocks, shards, index."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.federated_split import blocks
from components.federated_split.writer import Rows, ShardWriter

# FederatedSplit's own sizes.
_BLOCK_BYTES, _SHARD_BYTES = 4 << 20, 64 << 20


def write(folder: Path, images: np.ndarray, labels: np.ndarray, population: int | None = None) -> str:
    """Writes a FederatedExamples artifact and returns its uri.

    images: uint8[clients, examples, 784]; labels: int64[clients, examples]. population: number of clients, if not as many as
    there are; further ones have the same examples again. An example has `image` (784 raw bytes) and `label`.
    """
    clients = population or len(labels)
    split = blocks.split_folder(str(folder))
    split.mkdir(parents=True)
    client_bytes = sum(len(frame) for frame in _frames(images[0], labels[0]))
    per_shard = max(1, _SHARD_BYTES // client_bytes)
    firsts = range(0, clients, per_shard)
    ids = pa.array([f"client-{number:08d}" for number in range(clients)])
    tables = []
    for shard, first in enumerate(firsts):
        with open(split / blocks.shard_name(shard, len(firsts)), "wb") as file:
            writer = ShardWriter(file, shard, _BLOCK_BYTES, ids, np.zeros(clients, dtype=bool))
            for rows in _rows(images, labels, range(first, min(clients, first + per_shard))):
                writer.add(rows)
            tables.append(writer.close())
    pq.write_table(pa.concat_tables(tables), split / blocks.INDEX_FILE)
    described = {"num_shards": len(firsts), "index_sha256": {"train": blocks.file_digest(split / blocks.INDEX_FILE)}}
    (folder / blocks.PARTITION_FILE).write_text(json.dumps(described))
    return str(folder)


def _rows(images: np.ndarray, labels: np.ndarray, clients: range) -> Iterator[Rows]:
    for client in clients:
        frames = pa.array(_frames(images[client % len(labels)], labels[client % len(labels)]), pa.large_binary())
        texts = pa.array(map(str, labels[client % len(labels)].tolist()), pa.large_string())
        yield Rows(np.full(len(frames), client), texts, frames)


def _frames(images: np.ndarray, labels: np.ndarray) -> list[bytes]:
    """A client's tf.Examples as they are in a block."""
    import tensorflow as tf

    frames = []
    for image, label in zip(images, labels.tolist(), strict=True):
        feature = {
            "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image.tobytes()])),
            "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        }
        example = tf.train.Example(features=tf.train.Features(feature=feature))
        frames.append(blocks.frame(example.SerializeToString(deterministic=True)))
    return frames
