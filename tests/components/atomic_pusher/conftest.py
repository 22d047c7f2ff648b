"""A model with its blessing and the decision behind it, for the tests of the Pusher."""

from __future__ import annotations

import shutil
from datetime import datetime, timezone
from pathlib import Path

import pytest
from tfx.proto import pusher_pb2
from tfx.types import standard_artifacts
from tfx.utils import proto_utils

from components.artifacts import GateDecision
from components.atomic_pusher.executor import Executor
from components.deploy_gate import recording
from components.deploy_gate.case import Live
from components.deploy_gate.decision import Decision
from components.deploy_gate.observers import FAILED, PASSED, Check
from lineage.digests import tree_digest


class Push:
    """One model with its blessing and the decision behind it, ready to be pushed."""

    def __init__(self, root: Path, model_id: int = 7) -> None:
        self.root, self.model_dir = root, root / "served" / "digits"
        self.export = root / str(model_id) / "model" / "Format-Serving"
        self.model = self.artifact(standard_artifacts.Model, model_id, self.export.parent)
        (self.export / "variables").mkdir(parents=True)
        (self.export / "saved_model.pb").write_text(f"graph {model_id}")
        self.model.set_string_custom_property("digest", tree_digest(self.model.uri))
        self.pushed = self.artifact(standard_artifacts.PushedModel, model_id + 2, root / str(model_id) / "pushed")
        self.inputs = {"model": [self.model]}
        self.decide()

    def another(self, model_id: int, root: Path | None = None) -> Push:
        """Another model, for the same serving directory unless it gets a root of its own."""
        return Push(root or self.root, model_id)

    def artifact(self, artifact_type, artifact_id, uri):
        made = artifact_type()
        made.id, made.uri = artifact_id, str(uri)
        uri.mkdir(parents=True, exist_ok=True)
        return made

    def decide(self, passed: bool = True, override: dict[str, str] | None = None) -> None:
        """Decides anew, as DeployGate does, beside what is served now."""
        folder = self.root / str(self.model.id)
        for name in ("blessing", "decision"):
            shutil.rmtree(folder / name, ignore_errors=True)
        self.blessing = self.artifact(standard_artifacts.ModelBlessing, self.model.id + 1, folder / "blessing")
        self.decision = self.artifact(GateDecision, self.model.id + 3, folder / "decision")
        live = Live.now(str(self.model_dir), self.model)
        check = Check("evaluation/value/A", "Evaluator", "A", "0.9", "at least 0.8", PASSED if passed else FAILED, True)
        decision = Decision(
            decided_at=datetime.now(timezone.utc),
            model={"id": self.model.id, "name": "digits", "node": "FederatedTrainer", "digest": tree_digest(self.model.uri)},
            served=vars(live) if live else None,
            checks=(check,),
            override=override,
            approvals=(),
        )
        digest = recording.write_decision(decision, self.decision)
        recording.write_blessing(
            decision, self.blessing, model=self.model, served=None, recorded=self.decision, decision_digest=digest
        )
        self.inputs["model_blessing"] = [self.blessing]

    def bless(self, blessed: int) -> None:
        """Writes a blessing by hand, as the bare Evaluator would, whatever the decision says."""
        self.blessing = standard_artifacts.ModelBlessing()
        self.blessing.id, self.blessing.uri = self.model.id + 1, str(self.root / str(self.model.id) / "by-hand")
        shutil.rmtree(self.blessing.uri, ignore_errors=True)
        Path(self.blessing.uri).mkdir()
        self.blessing.set_int_custom_property("blessed", blessed)
        self.blessing.set_string_custom_property("current_model", self.model.uri)
        self.blessing.set_int_custom_property("current_model_id", self.model.id)
        (Path(self.blessing.uri) / ("BLESSED" if blessed else "NOT_BLESSED")).touch()
        self.inputs["model_blessing"] = [self.blessing]

    def run(self, **properties: str) -> standard_artifacts.PushedModel:
        filesystem = pusher_pb2.PushDestination.Filesystem(base_directory=str(self.model_dir))
        destination = proto_utils.proto_to_json(pusher_pb2.PushDestination(filesystem=filesystem))
        Executor().Do(self.inputs, {"pushed_model": [self.pushed]}, {"push_destination": destination, **properties})
        return self.pushed


@pytest.fixture
def push(tmp_path):
    return Push(tmp_path)


@pytest.fixture
def served(push):
    """The serving directory with an older model in it, which is decided beside; fails the test if anything in it changes."""
    push.another(1).run()
    push.decide()
    before = tree_digest(push.model_dir)
    yield push.model_dir
    assert tree_digest(push.model_dir) == before
