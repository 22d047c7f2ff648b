"""The Pusher and the served model's Resolver in real TFX pipelines on a real ML Metadata file, run again and again.

The other nodes are tiny: a trainer whose "model" is its parameter's text, and a gate that says what its parameter tells it to,
in DeployGate's words. DeployGate itself is in `deploy_gate/test_pipeline.py`.
"""

# No `from __future__ import annotations`: TFX reads function components' annotations as objects.
import re
import shutil
import subprocess
from datetime import datetime, timezone
from pathlib import Path

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2
from tfx import v1 as tfx
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Model, ModelBlessing, PushedModel

from components.artifacts import GateDecision
from components.atomic_pusher import AtomicPusher, ServedModelStrategy
from components.deploy_gate import recording
from components.deploy_gate.case import Live
from components.deploy_gate.decision import Decision
from components.deploy_gate.observers import FAILED, PASSED, Check
from errors import IntegrityError, PushError
from lineage.digests import tree_digest
from serving import layout, models_config

pytestmark = pytest.mark.slow


@component
def Train(model: OutputArtifact[Model], weights: Parameter[str]):
    export = Path(model.uri) / "Format-Serving"
    export.mkdir()
    (export / "saved_model.pb").write_text(weights)


@component
def Judge(
    model: InputArtifact[Model],
    blessing: OutputArtifact[ModelBlessing],
    decision: OutputArtifact[GateDecision],
    blessed: Parameter[int],
    model_dir: Parameter[str],
    baseline_model: InputArtifact[Model] = None,
):
    live = Live.now(model_dir, model)
    decided = Decision(
        decided_at=datetime.now(timezone.utc),
        model={"id": model.id, "name": "digits", "node": "FederatedTrainer", "digest": tree_digest(model.uri)},
        served=vars(live) if live else None,
        checks=(Check("told", "Judge", "what it was told", "it", "to pass", PASSED if blessed else FAILED, True),),
        override=None,
        approvals=(),
    )
    digest = recording.write_decision(decided, decision)
    recording.write_blessing(decided, blessing, model=model, served=baseline_model, recorded=decision, decision_digest=digest)
    blessing.set_int_custom_property("baseline_model_id", baseline_model.id if baseline_model else 0)


class Run:
    """What ML Metadata tells about the newest run."""

    def __init__(self, store: mlmd.MetadataStore, executions: list) -> None:
        self.store = store
        self.executions = {self.node(execution): execution for execution in executions}

    def node(self, execution) -> str:
        contexts = self.store.get_contexts_by_execution(execution.id)
        return next(context.name for context in contexts if context.type == "node").split(".", 1)[1]

    def state(self, node: str) -> str:
        return metadata_store_pb2.Execution.State.Name(self.executions[node].last_known_state)

    def output(self, node: str, type_name: str):
        events = self.store.get_events_by_execution_ids([self.executions[node].id])
        ids = [event.artifact_id for event in events if event.type != metadata_store_pb2.Event.INPUT]
        return next((artifact for artifact in self.store.get_artifacts_by_id(ids) if artifact.type == type_name), None)

    @property
    def candidate(self):
        return self.output("FederatedTrainer", "Model")

    @property
    def baseline_id(self) -> int:
        """Id of the model that the gate compared with, 0 if there was none."""
        return self.output("Evaluator", "ModelBlessing").custom_properties["baseline_model_id"].int_value

    @property
    def pushed(self) -> tuple[int, str, int]:
        facts = self.output("Pusher", "PushedModel").custom_properties
        return facts["pushed"].int_value, facts["pushed_version"].string_value, facts["already_served"].int_value


class Pipelines:
    """Runs pipelines that share one ML Metadata file and one serving directory."""

    def __init__(self, root: Path) -> None:
        self.root, self.model_dir = root, root / "served" / "digits"
        self.comparison_required = True
        self.custom_config: dict = {}
        self.connection = tfx.orchestration.metadata.sqlite_metadata_connection_config(str(root / "metadata.sqlite"))

    def run(self, weights: str, blessed: int = 1, name: str = "tiny") -> Run:
        tfx.orchestration.LocalDagRunner().run(self.pipeline(weights, blessed, name))
        return self.last_run()

    def refusal(self, weights: str) -> str:
        """Runs to the failure of the served model's Resolver and returns the line that says why; nothing must be pushed."""
        before = layout.versions(self.model_dir)
        with pytest.raises(PushError, match="got ServedModel; see the log"):
            self.run(weights)
        # TFX itself goes on after a Resolver that failed: the gate has judged the model against nothing and blessed it.
        last = self.last_run()
        assert [last.state(node) for node in ("ServedModel", "Evaluator", "Pusher")] == ["FAILED", "COMPLETE", "FAILED"]
        assert layout.versions(self.model_dir) == before
        noted = last.executions["ServedModel"].custom_properties["__execution_result__"].string_value
        return re.findall(r"errors\.IntegrityError: (.*?)\\n", noted)[-1]

    def last_run(self) -> Run:
        store = mlmd.MetadataStore(self.connection)
        run = max(store.get_contexts_by_type("pipeline_run"), key=lambda context: context.id)
        return Run(store, store.get_executions_by_context(run.id))

    def pipeline(self, weights: str, blessed: int, name: str) -> tfx.dsl.Pipeline:
        # Models made before and after the candidate's: it is known by its node's whole id, not by its age.
        centralised = Train(weights=f"centralised {weights}").with_id("Trainer")
        federated = Train(weights=weights).with_id("FederatedTrainer")
        late = Train(weights=f"late {weights}").with_id("Late.FederatedTrainer")
        served = tfx.dsl.Resolver(
            strategy_class=ServedModelStrategy,
            config={
                "model_dir": str(self.model_dir),
                "candidate_node": "FederatedTrainer",
                "comparison_required": self.comparison_required,
            },
            model=tfx.dsl.Channel(type=Model),
            pushed_model=tfx.dsl.Channel(type=PushedModel),
        ).with_id("ServedModel")
        late.add_upstream_node(federated)
        served.add_upstream_nodes([federated, late])
        judge = Judge(
            model=federated.outputs["model"],
            baseline_model=served.outputs["model"],
            blessed=blessed,
            model_dir=str(self.model_dir),
        ).with_id("Evaluator")
        filesystem = tfx.proto.PushDestination.Filesystem(base_directory=str(self.model_dir))
        pusher = AtomicPusher(
            model=federated.outputs["model"],
            model_blessing=judge.outputs["blessing"],
            push_destination=tfx.proto.PushDestination(filesystem=filesystem),
            custom_config=self.custom_config,
        ).with_id("Pusher")
        return tfx.dsl.Pipeline(
            pipeline_name=name,
            pipeline_root=str(self.root / "artifacts" / name),
            components=[centralised, federated, late, served, judge, pusher],
            enable_cache=True,
            metadata_connection_config=self.connection,
        )


@pytest.fixture
def pipelines(tmp_path):
    return Pipelines(tmp_path)


def test_rerun_with_nothing_new_is_answered_from_the_cache_except_the_push(pipelines):
    first, again = pipelines.run("a"), pipelines.run("a")
    assert [first.state(node) for node in ("FederatedTrainer", "Evaluator", "Pusher")] == ["COMPLETE"] * 3
    assert [again.state(node) for node in ("FederatedTrainer", "Evaluator", "Pusher")] == ["CACHED", "CACHED", "COMPLETE"]
    assert first.pushed == (1, str(layout.live_version(pipelines.model_dir)), 0)
    assert again.pushed == (1, first.pushed[1], 1)
    assert len(layout.versions(pipelines.model_dir)) == 1
    assert first.baseline_id == again.baseline_id == 0


def test_wiped_serving_directory_is_filled_by_the_next_run(pipelines):
    pipelines.run("a")
    shutil.rmtree(pipelines.model_dir)
    again = pipelines.run("a")
    assert again.state("FederatedTrainer") == "CACHED"
    assert again.pushed == (1, str(layout.live_version(pipelines.model_dir)), 0)


def test_new_model_is_compared_with_the_served_one_and_so_is_its_rerun(pipelines):
    first, second = pipelines.run("a"), pipelines.run("b")
    assert second.baseline_id == first.candidate.id
    for _ in range(2):
        again = pipelines.run("b")
        assert (again.state("Evaluator"), again.baseline_id) == ("CACHED", first.candidate.id)
        assert again.pushed == (1, second.pushed[1], 1)


@pytest.mark.slow
def test_rerun_is_cached_even_after_the_serving_directory_was_wiped_and_filled(pipelines):
    first, _ = pipelines.run("a"), pipelines.run("b")
    shutil.rmtree(pipelines.model_dir)
    for _ in range(2):  # the log tells that b was served, so both times it is held against the model before it
        again = pipelines.run("b")
        assert (again.state("Evaluator"), again.baseline_id) == ("CACHED", first.candidate.id)


def test_refused_model_is_never_a_baseline(pipelines):
    first, refused = pipelines.run("a"), pipelines.run("b", blessed=0)
    assert refused.pushed == (0, "", 0)
    assert pipelines.run("b", blessed=0).state("Evaluator") == "CACHED"
    assert pipelines.run("c").baseline_id == first.candidate.id
    assert len(layout.versions(pipelines.model_dir)) == 2


@pytest.mark.slow
def test_earlier_model_that_comes_back_is_compared_with_the_served_one(pipelines):
    _, second, back = pipelines.run("a"), pipelines.run("b"), pipelines.run("a")
    assert (back.state("FederatedTrainer"), back.baseline_id) == ("CACHED", second.candidate.id)
    again = pipelines.run("a")
    assert (again.state("Evaluator"), again.baseline_id) == ("CACHED", second.candidate.id)


@pytest.mark.slow
def test_rolling_back_by_removing_a_version_brings_the_older_baseline_back(pipelines):
    first, second = pipelines.run("a"), pipelines.run("b")
    shutil.rmtree(pipelines.model_dir / second.pushed[1])
    assert pipelines.run("c").baseline_id == first.candidate.id


@pytest.mark.slow
def test_model_before_the_served_one_is_skipped_if_its_artifact_is_gone(pipelines):
    first, second, _ = pipelines.run("a"), pipelines.run("b"), pipelines.run("c")
    shutil.rmtree(second.candidate.uri)
    assert pipelines.run("c").baseline_id == first.candidate.id


@pytest.mark.slow
def test_model_that_was_pushed_while_no_server_answered_is_the_next_baseline(pipelines):
    pipelines.run("a")
    pipelines.custom_config = {"model_servers": ["127.0.0.1:1"], "server_seconds": 0.1}
    with pytest.raises(PushError, match="is not what the model servers answer with"):
        pipelines.run("b")
    second = pipelines.last_run()
    assert (second.state("Pusher"), len(layout.versions(pipelines.model_dir))) == ("FAILED", 2)
    pipelines.custom_config = {}
    assert pipelines.run("c").baseline_id == second.candidate.id


@pytest.mark.slow
def test_model_that_is_held_is_the_baseline_though_newer_ones_were_pushed(pipelines):
    first = pipelines.run("a")
    models_config.put(pipelines.model_dir.parent, "digits", models_config.Held((int(first.pushed[1]),)))
    for weights in ("b", "c"):
        newer = pipelines.run(weights)
        assert newer.baseline_id == first.candidate.id
        facts = newer.output("Pusher", "PushedModel").custom_properties
        assert (facts["pushed"].int_value, facts["live"].int_value, facts["held_at"].string_value) == (1, 0, first.pushed[1])
    assert layout.live_version(pipelines.model_dir) == int(first.pushed[1])


def served_by_hand(pipelines: Pipelines, first: Run) -> None:
    stranger = pipelines.model_dir / str(2**62)
    stranger.mkdir()
    (stranger / "saved_model.pb").write_text("dropped by hand")


def forgotten(pipelines: Pipelines, first: Run) -> None:
    (pipelines.root / "metadata.sqlite").unlink()
    shutil.rmtree(pipelines.root / "artifacts")


def served_bytes_altered(pipelines: Pipelines, first: Run) -> None:
    (pipelines.model_dir / first.pushed[1] / "saved_model.pb").write_text("altered")


def served_model_taken_out(pipelines: Pipelines, first: Run) -> None:
    (pipelines.model_dir / first.pushed[1] / "saved_model.pb").unlink()


def artifact_gone(pipelines: Pipelines, first: Run) -> None:
    shutil.rmtree(first.candidate.uri)


def artifact_altered(pipelines: Pipelines, first: Run) -> None:
    (Path(first.candidate.uri) / "Format-Serving" / "saved_model.pb").write_text("altered")


def directory_lost(pipelines: Pipelines, first: Run) -> None:
    shutil.rmtree(pipelines.model_dir)


def held_and_directory_lost(pipelines: Pipelines, first: Run) -> None:
    models_config.put(pipelines.model_dir.parent, pipelines.model_dir.name, models_config.Held((int(first.pushed[1]),)))
    shutil.rmtree(pipelines.model_dir / first.pushed[1])


DAMAGES = {
    directory_lost: "its directory is gone",
    held_and_directory_lost: "its directory is gone",
    served_by_hand: "this ML Metadata does not know it",
    forgotten: "this ML Metadata does not know it",
    served_bytes_altered: "its files were altered after the push",
    served_model_taken_out: "its files were altered after the push",
    artifact_gone: "the folder of its model .* is gone",
    artifact_altered: "its model in .* was altered after the push",
}
# One by one in the fast tests: the damage nobody has to do on purpose.
DAMAGED = [
    pytest.param(damage, marks=[] if damage in (artifact_gone, directory_lost) else pytest.mark.slow) for damage in DAMAGES
]


@pytest.mark.parametrize("damage", DAMAGED)
def test_nothing_is_pushed_over_a_served_model_that_cannot_be_compared_with(pipelines, damage):
    first = pipelines.run("a")
    damage(pipelines, first)
    line = pipelines.refusal("b")
    version = str(2**62) if damage is served_by_hand else first.pushed[1]
    assert re.match(f"version {version} in {pipelines.model_dir} is served, but .*: {DAMAGES[damage]}; ", line)
    assert line.endswith(
        ", or accept one model without comparison: --set gate.change={}, and no such bound on slices or clients."
    )


@pytest.mark.slow
@pytest.mark.parametrize("damage", [damage for damage in DAMAGES if damage is not held_and_directory_lost])
def test_served_model_that_cannot_be_compared_with_is_no_baseline_where_none_is_required(pipelines, damage, caplog):
    pipelines.comparison_required = False
    first = pipelines.run("a")
    damage(pipelines, first)
    second = pipelines.run("b")
    assert second.baseline_id == 0
    assert re.search(f"No baseline: .*{DAMAGES[damage]}", caplog.text)
    assert second.pushed == (1, str(layout.live_version(pipelines.model_dir)), 0)
    pipelines.comparison_required = True
    assert pipelines.run("c").baseline_id == second.candidate.id  # accepted once, compared ever after


@pytest.mark.slow
@pytest.mark.parametrize("damage", [artifact_gone, artifact_altered])
def test_remedy_for_a_damaged_model_can_be_typed_and_helps(pipelines, damage):
    first = pipelines.run("a")
    damage(pipelines, first)
    (command,) = re.findall("`(.*)`", pipelines.refusal("b"))
    subprocess.run(command, shell=True, check=True)
    assert pipelines.run("b").baseline_id == first.candidate.id


@pytest.mark.slow
@pytest.mark.parametrize("damage", [forgotten, artifact_gone])
def test_served_model_that_is_made_again_byte_by_byte_needs_no_comparison(pipelines, damage):
    first = pipelines.run("a")
    damage(pipelines, first)
    again = pipelines.run("a")
    assert (again.state("FederatedTrainer"), again.baseline_id) == ("COMPLETE", 0)
    assert again.pushed == (1, first.pushed[1], 1)


@pytest.mark.slow
def test_rerun_of_the_served_model_passes_without_the_one_before_it_if_that_is_gone(pipelines, caplog):
    first, second = pipelines.run("a"), pipelines.run("b")
    artifact_gone(pipelines, first)
    again = pipelines.run("b")
    assert (again.baseline_id, again.pushed) == (0, (1, second.pushed[1], 1))
    assert "No baseline: the served model is the one under test" in caplog.text


@pytest.mark.parametrize("damage", ["emptied", "cut"])
def test_nothing_is_pushed_on_a_decision_that_cannot_be_read(pipelines, damage):
    first = pipelines.run("a")
    shutil.rmtree(pipelines.model_dir)
    folder = Path(first.output("Evaluator", GateDecision.TYPE_NAME).uri)
    for file in folder.iterdir():
        file.unlink() if damage == "emptied" else file.write_bytes(file.read_bytes()[:9])
    with pytest.raises(
        IntegrityError, match=r"expected a decision that can be read, got .*; run again with --from DeployGate\.$"
    ):
        pipelines.run("a")
    assert pipelines.last_run().state("Evaluator") == "CACHED"
    assert layout.versions(pipelines.model_dir) == []


@pytest.mark.slow
def test_another_pipeline_with_the_same_node_names_does_not_interfere(pipelines):
    first, second = pipelines.run("a"), pipelines.run("b")
    pipelines.model_dir = pipelines.root / "served" / "other"
    assert pipelines.run("b", name="other").baseline_id == 0
    pipelines.model_dir = pipelines.root / "served" / "digits"
    again = pipelines.run("b")
    assert again.candidate.id == second.candidate.id
    assert (again.state("Evaluator"), again.baseline_id) == ("CACHED", first.candidate.id)
