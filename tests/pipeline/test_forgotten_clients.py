"""The DAG tells its first nodes whom to leave out, and nobody anything while nobody was forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tfx.dsl.compiler.compiler import Compiler

from errors import IntegrityError
from lineage import forgotten
from pipeline.config import from_dict
from pipeline.dag import create_pipeline
from pipeline.environment import Environment

CONFIG = {
    "name": "tiny",
    "model": "examples.digits.digits_model",
    "data": {"format": "digits"},
    "split": {"strategy": "by_key", "key": "user"},
    "train": {"rounds": 5, "clients_per_round": 3},
    "gate": {"thresholds": {"SparseCategoricalAccuracy": {"min": 0.9}}},
}


def parameters(root: Path, **changes: Any) -> dict[str, str]:
    """Node id -> all its parameters as text."""
    dag = create_pipeline(from_dict({**CONFIG, **changes}), Environment.local(str(root), str(root / "served")))
    nodes = [node.pipeline_node for node in Compiler().compile(dag).nodes]
    return {node.node_info.id: str(node.parameters) for node in nodes}


def forget(root: Path, client: str, pipeline: str = "tiny") -> forgotten.Omission:
    key = forgotten.make_key(root)
    forgotten.add(root, pipeline, forgotten.keyed_hash(key, pipeline, client), "user")
    omission = forgotten.omission(root, pipeline)
    assert omission is not None
    return omission


def test_only_the_nodes_that_leave_somebody_out_are_changed_by_it(tmp_path) -> None:
    before = parameters(tmp_path)
    omission = forget(tmp_path, "ann")
    after = parameters(tmp_path)
    assert {node for node in before if before[node] != after[node]} == {"ExampleGen", "FederatedSplit"}
    assert omission.digest in after["ExampleGen"]
    assert omission.digest in after["FederatedSplit"]


def test_every_further_client_changes_them_again(tmp_path) -> None:
    forget(tmp_path, "ann")
    before = parameters(tmp_path)
    forget(tmp_path, "bob")
    after = parameters(tmp_path)
    assert {node for node in before if before[node] != after[node]} == {"ExampleGen", "FederatedSplit"}


def test_other_pipelines_of_the_root_keep_their_caches(tmp_path) -> None:
    before = parameters(tmp_path)
    forget(tmp_path, "ann", pipeline="other")
    assert parameters(tmp_path) == before


def test_dividing_in_another_way_brings_nobody_back(tmp_path) -> None:
    omission = forget(tmp_path, "ann")
    after = parameters(tmp_path, split={"strategy": "iid", "clients": 3})
    assert omission.digest in after["ExampleGen"]
    assert omission.digest in after["FederatedSplit"]


def test_altered_list_stops_the_pipeline_before_it_runs(tmp_path) -> None:
    forget(tmp_path, "ann")
    file = tmp_path / ".clients" / "tiny.jsonl"
    file.write_text(file.read_text().replace("user", "none"))
    with pytest.raises(IntegrityError):
        parameters(tmp_path)
