"""A client's dataset, built where the client is: inside the TFF worker, from the offsets and lengths of its blocks.

What crosses from Python to the worker for one client in one round is a small int64 tensor; the examples never do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from components.federated_split.datasets import block_records
from modeling import batches
from modeling.contract import ModelModule

# A client with more examples than this is shuffled within a moving window of this many, so that it is never wholly in memory.
_SHUFFLE_WINDOW = 10_000


def handle(blocks: np.ndarray, seed: int) -> np.ndarray:
    """Packs what the worker needs to build one client's dataset.

    Args:
      blocks: int64 [n_blocks, 3], (shard, offset, length in bytes) of each of the client's blocks.
      seed: decides the order of the client's examples; 0 <= seed < 2**63.

    Returns:
      int64 [n_blocks + 1, 3]: (seed, 0, 0), then the blocks.
    """
    return np.concatenate([np.array([[seed, 0, 0]], np.int64), np.asarray(blocks, np.int64)])


def dataset(
    packed: Any, module: ModelModule, shard_paths: Sequence[str], shard_sizes: Sequence[int], *, batch_size: int, epochs: int
) -> Any:
    """Builds a client's tf.data.Dataset of (x, y) batches from its handle; traceable into a graph.

    Shuffled anew in each local epoch. tf.data's autotuning and graph rewrites are off: for datasets as small as a client's they
    cost more than they give.
    """
    import tensorflow as tf

    records = block_records(packed[1:], shard_paths, shard_sizes)
    examples = records.flat_map(tf.data.Dataset.from_tensor_slices).shuffle(_SHUFFLE_WINDOW, seed=packed[0, 0])
    epoch = examples.batch(batch_size)  # a batch does not reach into the next epoch: McMahan et al. 2017, algorithm 1
    return epoch.repeat(epochs).map(lambda serialized: batches.parse(module, serialized)).with_options(_plain_options())


def _plain_options() -> Any:
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    return options
