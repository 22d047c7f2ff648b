"""Whether a SavedModel's weights are finite, read from its checkpoint: no graph is loaded."""

from __future__ import annotations

from pathlib import Path

CHECKPOINT = "variables/variables"


def count(directory: Path) -> dict[str, int]:
    """Returns `arrays` and `values` of numbers in the checkpoint, and how many values are `non_finite`: NaN or infinite.

    One array is in memory at a time.

    Raises:
      FileNotFoundError: there is no checkpoint.
      Exception: TensorFlow's errors, if it cannot be read.
    """
    import numpy as np
    import tensorflow as tf

    if not (directory / f"{CHECKPOINT}.index").is_file():
        raise FileNotFoundError(CHECKPOINT)
    reader = tf.train.load_checkpoint(str(directory / CHECKPOINT))
    result = {"arrays": 0, "values": 0, "non_finite": 0}
    for name, kind in reader.get_variable_to_dtype_map().items():
        if kind == tf.string:  # the object graph, and what tables hold
            continue
        array = reader.get_tensor(name)
        result["arrays"] += 1
        result["values"] += int(array.size)
        if kind.is_floating or kind.is_complex:
            result["non_finite"] += int(np.count_nonzero(~np.isfinite(array)))
    return result
