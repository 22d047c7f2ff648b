"""Serialized tf.Examples to (x, y) batches, the same way for every trainer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from modeling.contract import ModelModule

Part = Literal["all", "tenth", "rest"]
"""All records, about a tenth of them, or the others. The bytes of a record decide: equal ones are never on both sides."""


def parse(module: ModelModule, serialized: Any) -> tuple[Any, Any]:
    """Parses a [batch] string tensor of tf.Examples in one vectorised call.

    Returns:
      (x, y): what the module's preprocess makes of the raw features, and the label [batch, ...].
    """
    import tensorflow as tf

    raw = tf.io.parse_example(serialized, module.features)
    label = raw.pop(module.label_key)
    return module.preprocess(raw), label


def dataset(
    module: ModelModule, patterns: Sequence[str], *, batch_size: int, shuffle_seed: int | None = None, part: Part = "all"
) -> Any:
    """Reads gzipped TFRecords of tf.Examples into a tf.data.Dataset of (x, y) batches.

    Args:
      module: the model module.
      patterns: file patterns, as TFX hands them to a trainer.
      batch_size: examples in a batch; the last one may be smaller.
      shuffle_seed: reshuffles every epoch, reproducibly; None keeps the files' order.
      part: which of the records.
    """
    import tensorflow as tf

    records = _records(patterns, part)
    if shuffle_seed is not None:
        records = records.shuffle(50_000, seed=shuffle_seed)
    batches = records.batch(batch_size)
    return batches.map(lambda serialized: parse(module, serialized), num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def count(patterns: Sequence[str], part: Part = "all") -> int:
    """Returns how many records of gzipped TFRecords are in the part; reads them all."""
    import numpy as np

    return int(_records(patterns, part).reduce(np.int64(0), lambda total, _: total + 1))


def _records(patterns: Sequence[str], part: Part) -> Any:
    import tensorflow as tf

    files = sorted(name for pattern in patterns for name in tf.io.gfile.glob(pattern))
    records = tf.data.TFRecordDataset(files, compression_type="GZIP")
    if part == "all":
        return records
    # A fingerprint that is the same on every machine, and another one than decides which split a record is in.
    return records.filter(lambda record: (tf.strings.to_hash_bucket_fast(record, 10) == 0) == (part == "tenth"))
