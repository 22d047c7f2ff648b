"""Serialized tf.Examples to (x, y) batches, the same way for every trainer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modeling.contract import ModelModule


def parse(module: ModelModule, serialized: Any) -> tuple[Any, Any]:
    """Parses a [batch] string tensor of tf.Examples in one vectorised call.

    Returns:
      (x, y): what the module's preprocess makes of the raw features, and the label [batch, ...].
    """
    import tensorflow as tf

    raw = tf.io.parse_example(serialized, module.features)
    label = raw.pop(module.label_key)
    return module.preprocess(raw), label


def dataset(module: ModelModule, patterns: Sequence[str], *, batch_size: int, shuffle_seed: int | None = None) -> Any:
    """Reads gzipped TFRecords of tf.Examples into a tf.data.Dataset of (x, y) batches.

    Args:
      module: the model module.
      patterns: file patterns, as TFX hands them to a trainer.
      batch_size: examples in a batch; the last one may be smaller.
      shuffle_seed: reshuffles every epoch, reproducibly; None keeps the files' order.
    """
    import tensorflow as tf

    records = _records(patterns)
    if shuffle_seed is not None:
        records = records.shuffle(50_000, seed=shuffle_seed)
    batches = records.batch(batch_size)
    return batches.map(lambda serialized: parse(module, serialized), num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def count(patterns: Sequence[str]) -> int:
    """Returns how many records gzipped TFRecords hold; reads them all."""
    import numpy as np

    return int(_records(patterns).reduce(np.int64(0), lambda total, _: total + 1))


def _records(patterns: Sequence[str]) -> Any:
    import tensorflow as tf

    files = sorted(name for pattern in patterns for name in tf.io.gfile.glob(pattern))
    return tf.data.TFRecordDataset(files, compression_type="GZIP")
