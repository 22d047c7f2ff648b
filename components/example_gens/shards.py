"""Writing a split as gzipped TFRecord shards whose bytes depend on the seed and the records alone."""

from __future__ import annotations

from collections.abc import Iterable

import apache_beam as beam
import numpy as np
import tensorflow as tf

from components.example_gens.splits import draw


class WriteSplit(beam.PTransform):
    """Writes serialized tf.Examples to `{folder}/data_tfrecord-SSSSS-of-NNNNN.gz`.

    TFX's own WriteSplit shuffles at random, so the same input gives other bytes each time, and training on it other weights.
    Here the order is as random, but drawn from the seed and the content: the same on any runner and in any bundle order. A
    shard is sorted in memory, so `num_shards` has to grow with the data.
    """

    def __init__(self, folder: str, seed: int, num_shards: int):
        super().__init__()
        self._folder, self._seed, self._num_shards = folder, seed, num_shards

    def expand(self, records: beam.PCollection) -> beam.PCollection:
        """Returns the paths written."""
        return (
            records
            | "Draw" >> beam.Map(_drawn, self._seed, self._num_shards).with_output_types(tuple[int, tuple[bytes, bytes]])
            | "Gather" >> beam.GroupByKey()
            | "Write" >> beam.Map(_write_shard, self._folder, self._num_shards)
        )


def _drawn(record: bytes, seed: int, num_shards: int) -> tuple[int, tuple[bytes, bytes]]:
    number = draw(record, seed, "order")
    return number % num_shards, (number.to_bytes(32, "big"), record)


def _write_shard(gathered: tuple[int, Iterable[tuple[bytes, bytes]]], folder: str, num_shards: int) -> str:
    shard, drawn = gathered
    tf.io.gfile.makedirs(folder)
    path = f"{folder}/data_tfrecord-{shard:05d}-of-{num_shards:05d}.gz"
    with tf.io.TFRecordWriter(path, "GZIP") as writer:
        for _, record in sorted(drawn):
            writer.write(record)
    return path


def count_records(folder: str) -> int:
    """Returns the number of records in a folder's shards; 0 for a folder that is not there."""
    paths = sorted(tf.io.gfile.glob(f"{folder}/*.gz"))
    dataset = tf.data.TFRecordDataset(paths, compression_type="GZIP")
    return int(dataset.reduce(np.int64(0), lambda count, _: count + 1)) if paths else 0
