"""Roots with real ML Metadata, real directories and served versions, to remove things from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from lineage import reading, store
from lineage.digests import tree_digest
from lineage.graph import Graph
from lineage.places import Places
from lineage.retention.command import gc
from serving import layout

STATES = mlmd.Execution.State


@dataclass
class Root:
    """A pipeline root in which runs leave what the pipeline's nodes would: `writer` is the real store's."""

    places: Places
    writer: Any
    made: dict[str, dict[str, int]] = field(default_factory=dict)

    def run(self, name: str, pipeline: str = "digits", *, push: bool = False, served: int | None = None) -> dict[str, int]:
        """Writes a run of five nodes and its directories; returns output -> artifact id."""
        made: dict[str, int] = {}
        self.node(name, pipeline, "ExampleGen", {}, {"examples": "Examples"}, made)
        split = {"federated_examples": "components.FederatedExamples"}
        self.node(name, pipeline, "FederatedSplit", {"examples": [made["examples"]]}, split, made)
        inputs = {"federated_examples": [made["federated_examples"]]}
        self.node(name, pipeline, "FederatedTrainer", inputs, {"model": "Model", "model_run": "ModelRun"}, made)
        judged = {"model": [made["model"]], "examples": [made["examples"]], **({"served": [served]} if served else {})}
        self.node(name, pipeline, "Evaluator", judged, {"evaluation": "ModelEvaluation"}, made)
        decided = {"model": [made["model"]], "evaluation": [made["evaluation"]]}
        outputs = {"decision": "components.GateDecision", "blessing": "ModelBlessing"}
        self.node(name, pipeline, "DeployGate", decided, outputs, made)
        if push:
            self.push(name, pipeline, made)
        self.made[name] = made
        return made

    def node(
        self,
        run: str,
        pipeline: str,
        node: str,
        inputs: dict[str, list[int]],
        outputs: dict[str, str],
        made: dict[str, int],
        state: int = STATES.COMPLETE,
        **properties: Any,
    ) -> int:
        """Writes one execution, and a directory for each of its outputs."""
        number = len(self.writer.store.get_executions()) + 1
        artifacts = {}
        for key, kind in outputs.items():
            folder = Path(self.places.root, pipeline, node, key, str(number))
            (folder / "variables").mkdir(parents=True)
            (folder / "saved_model.pb").write_text(f"{run} {key}")
            (folder / "variables" / "variables.index").write_text("x" * 100)
            artifacts[key] = [self.writer.artifact(kind, str(folder), **{"digest": tree_digest(folder), **properties})]
        execution, ids = self.writer.execute(pipeline, run, node, inputs, artifacts, state)
        assert execution == number
        made.update({key: several[0] for key, several in ids.items()})
        return execution

    def push(self, run: str, pipeline: str, made: dict[str, int]) -> layout.Published:
        model = self.writer.store.get_artifacts_by_id([made["model"]])[0]
        there = layout.publish(model.uri, Path(self.places.serving_root, pipeline))
        facts = {"pushed": 1, "model_id": made["model"], "pushed_version": str(there.version), "pushed_destination": there.path}
        facts["digest"] = there.digest
        inputs = {"model": [made["model"]], "model_blessing": [made["blessing"]]}
        self.node(run, pipeline, "Pusher", inputs, {"pushed_model": "PushedModel"}, made, **facts)
        return there

    @property
    def graph(self) -> Graph:
        with store.opened(self.places.metadata) as opened:
            return reading.everything(opened)

    def there(self) -> set[int]:
        """Ids of artifacts whose directory is there."""
        return {one.id for one in self.graph.artifacts.values() if Path(one.uri).is_dir()}

    def live(self) -> set[int]:
        """Ids of artifacts that ML Metadata has live."""
        return {one.id for one in self.graph.artifacts.values() if one.state == "live"}

    @property
    def options(self) -> list[str]:
        return [
            "--pipeline-root",
            self.places.root,
            "--serving-root",
            self.places.serving_root,
            "--metadata",
            self.places.metadata,
        ]

    def gc(self, *arguments: str) -> int:
        return gc([*arguments, *self.options])


@pytest.fixture
def root(tmp_path: Path, store_writer: Any) -> Root:
    folder = tmp_path / "root"
    folder.mkdir()
    return Root(Places(str(folder), str(tmp_path / "models"), str(store_writer.path)), store_writer)
