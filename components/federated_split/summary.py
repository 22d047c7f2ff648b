"""Tells of a division without naming a client: partition.json and a picture."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from components.federated_split import blocks
from components.federated_split.census import Census, count_clients, take_census
from components.federated_split.facts import describe
from components.federated_split.picture import draw
from components.federated_split.plan import Plan
from components.federated_split.sample import draw_sample
from components.federated_split.sides import EVAL, TRAIN
from lineage.digests import file_digest


def write_partition(uri: str, sides: Collection[str], plan: Plan, request: Mapping[str, Any]) -> dict[str, Any]:
    """Writes partition.json, with `request` (strategy, parameters, seed), facts about the clients and each index's sha256; and
    partition.svg.

    Clients that are held out count on the evaluation side only, whose facts are under its name.

    Returns:
      What was written to partition.json.
    """
    with_labels = not _label_is_key(request["parameters"])
    census = take_census(_index_file(uri, TRAIN), int((~plan.held_out).sum()), with_labels=with_labels)
    partition = {
        **request,
        **describe(census),
        "num_shards": plan.num_shards,
        "index_sha256": {side: file_digest(_index_file(uri, side)) for side in sides},
    }
    if plan.dropped:
        partition["dropped_examples"] = plan.dropped
    if EVAL in sides:
        evaluated = take_census(_index_file(uri, EVAL), count_clients(_index_file(uri, EVAL)), with_labels=with_labels)
        partition[EVAL] = describe(evaluated)
        partition["held_out_clients"] = int(plan.held_out.sum())
        partition["clients_without_training_examples"] = partition["clients_without_examples"]
        # A held-out client always has some.
        partition["clients_without_evaluation_examples"] = len(plan.clients) - partition[EVAL]["num_clients"]
    Path(uri, blocks.PARTITION_FILE).write_text(json.dumps(partition, indent=2, sort_keys=True) + "\n")
    Path(uri, blocks.PICTURE_FILE).write_bytes(_picture(census, partition))
    return partition


def _index_file(uri: str, side: str) -> Path:
    return blocks.split_folder(uri, side) / blocks.INDEX_FILE


def _label_is_key(parameters: Mapping[str, Any]) -> bool:
    """Whether the label's values are the client ids, which nothing but the index is to hold."""
    return "key" in parameters and parameters["key"] == parameters.get("label")


def _picture(census: Census, partition: Mapping[str, Any]) -> bytes:
    return draw(draw_sample(census), partition["strategy"], partition["heterogeneity"].get("label_divergence"))
