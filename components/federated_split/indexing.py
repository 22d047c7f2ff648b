"""Joins the shards' rows into the index of a side."""

from __future__ import annotations

import pyarrow.parquet as pq

from components.federated_split import blocks
from components.federated_split.assembling import index_part
from components.federated_split.spills import read_table


def write_index(folder: str, output: str, side: str, num_shards: int) -> int:
    """Writes a side's index, sorted by client id and block, from what `assemble` left in `folder`; one shard in memory.

    Shards follow each other in the order of their clients, so their rows need no sorting. Shards that no client fell into
    become empty files, so that all names from 0 to num_shards - 1 are there.

    Returns:
      The number of examples.
    """
    target, examples = blocks.split_folder(output, side), 0
    with pq.ParquetWriter(target / blocks.INDEX_FILE, blocks.INDEX_SCHEMA) as index:
        for shard in range(num_shards):
            (target / blocks.shard_name(shard, num_shards)).touch()
            if index_part(folder, side, shard).exists():
                rows = read_table(index_part(folder, side, shard))
                index.write_table(rows)
                examples += int(rows["num_examples"].to_numpy().sum())
    return examples
