"""Ends a division: the index of all shards, and partition.json, which tells what was made without naming a client."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.federated_split import blocks
from components.federated_split.plan import Plan
from lineage.digests import file_digest


def write_index(folder: str, split_folder: Path, plan: Plan) -> pa.Table:
    """Joins the shards' rows in `folder` into the split's index, sorted by client id and block.

    Shards that no client fell into become empty files, so that all names from 0 to num_shards - 1 are there.

    Returns:
      The index.
    """
    parts = [pq.read_table(path, schema=blocks.INDEX_SCHEMA) for path in sorted(Path(folder).glob("index-*.parquet"))]
    index = pa.concat_tables(parts).sort_by([("client_id", "ascending"), ("block", "ascending")])
    pq.write_table(index, split_folder / blocks.INDEX_FILE)
    for shard in range(plan.num_shards):
        (split_folder / blocks.shard_name(shard, plan.num_shards)).touch()
    return index


def describe(index: pa.Table, num_clients: int) -> dict[str, Any]:
    """Returns totals over an index; clients without examples count as clients of size 0."""
    sizes = index.group_by("client_id").aggregate([("num_examples", "sum")])["num_examples_sum"].to_numpy()
    sizes = np.concatenate([sizes, np.zeros(num_clients - len(sizes), dtype=np.int64)])
    labels: Counter[str] = Counter()
    for batch in index.select(["labels"]).to_batches(max_chunksize=1 << 16):
        entries = batch.column(0).flatten()
        for label, count in zip(*(entries.field(name).to_pylist() for name in ("label", "count")), strict=True):
            labels[label] += count
    return {
        "num_clients": num_clients,
        "clients_without_examples": int((sizes == 0).sum()),
        "num_examples": int(sizes.sum()),
        "examples_per_client": {"min": int(sizes.min()), "median": float(np.median(sizes)), "max": int(sizes.max())},
        "label_totals": dict(labels),
        "examples_without_label": int(sizes.sum()) - labels.total(),
    }


def write_partition(uri: str, split: str, index: pa.Table, plan: Plan, request: Mapping[str, Any]) -> dict[str, Any]:
    """Writes partition.json: `request` (strategy, parameters, seed), the totals, and the index's sha256.

    Returns:
      What was written.
    """
    partition = {
        **request,
        **describe(index, len(plan.clients)),
        "num_shards": plan.num_shards,
        "index_sha256": {split: file_digest(blocks.split_folder(uri, split) / blocks.INDEX_FILE)},
    }
    Path(uri, blocks.PARTITION_FILE).write_text(json.dumps(partition, indent=2, sort_keys=True) + "\n")
    return partition
