"""DeployGate and the Pusher in real TFX pipelines on a real ML Metadata file, with judges that write what they are told.

The trainer's "model" is its parameter's text. All between the judges' findings and the serving directory is the product's own.
"""

# No `from __future__ import annotations`: TFX reads function components' annotations as objects.
import copy
import json
from pathlib import Path

import ml_metadata as mlmd
import pytest
from tfx import v1 as tfx
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Model, ModelBlessing, ModelEvaluation, PushedModel

from components import evidence
from components.artifacts import GateDecision, ServingReport
from components.atomic_pusher import AtomicPusher, ServedModelStrategy
from components.deploy_gate import DeployGate
from errors import IntegrityError
from lineage.digests import tree_digest
from serving import layout
from tests.components.deploy_gate.bench import ACCURACY, REPORT, SETTINGS, write_metrics


@component
def Train(model: OutputArtifact[Model], weights: Parameter[str]):
    export = Path(model.uri) / "Format-Serving"
    export.mkdir()
    (export / "saved_model.pb").write_text(weights)
    model.set_string_custom_property("digest", tree_digest(model.uri))


@component
def Check(model: InputArtifact[Model], serving_report: OutputArtifact[ServingReport]):
    Path(serving_report.uri, "serving_report.json").write_text(json.dumps(REPORT))
    evidence.record(serving_report, model)


@component
def Bless(model: InputArtifact[Model], blessing: OutputArtifact[ModelBlessing]):
    blessing.set_int_custom_property("blessed", 1)
    blessing.set_int_custom_property("current_model_id", model.id)
    blessing.set_string_custom_property("current_model", model.uri)
    Path(blessing.uri, "BLESSED").touch()


@component
def Evaluate(
    model: InputArtifact[Model],
    evaluation: OutputArtifact[ModelEvaluation],
    accuracy: Parameter[float],
    served: InputArtifact[Model] = None,
):
    models = {"candidate": accuracy, "baseline": 0.9} if served else {"": accuracy}
    write_metrics(
        evaluation.uri,
        {(): {name: {"sparse_categorical_accuracy": value, "example_count": 1000} for name, value in models.items()}},
    )
    evidence.record(evaluation, model, served)


class Pipelines:
    """Runs pipelines that share one ML Metadata file and one serving directory."""

    def __init__(self, root: Path) -> None:
        self.root, self.model_dir = root, root / "served" / "digits"
        self.connection = tfx.orchestration.metadata.sqlite_metadata_connection_config(str(root / "metadata.sqlite"))
        self.settings = {**copy.deepcopy(SETTINGS), "better_than_constant": False, "baseline": None, "first_deploy": "allow"}
        self.pushed_blessing = "DeployGate"

    def run(self, weights: str, accuracy: float = 0.95) -> dict:
        """Runs, and returns decision.json."""
        tfx.orchestration.LocalDagRunner().run(self.pipeline(weights, accuracy))
        return json.loads(Path(self.newest(GateDecision.TYPE_NAME).uri, "decision.json").read_text())

    def newest(self, type_name: str):
        store = mlmd.MetadataStore(self.connection)
        return max(store.get_artifacts_by_type(type_name), key=lambda artifact: artifact.id)

    def pushed(self) -> int:
        return self.newest("PushedModel").custom_properties["pushed"].int_value

    def pipeline(self, weights: str, accuracy: float) -> tfx.dsl.Pipeline:
        trained = Train(weights=weights).with_id("FederatedTrainer")
        served = tfx.dsl.Resolver(
            strategy_class=ServedModelStrategy,
            config={"model_dir": str(self.model_dir), "candidate_node": "FederatedTrainer", "comparison_required": True},
            model=tfx.dsl.Channel(type=Model),
            pushed_model=tfx.dsl.Channel(type=PushedModel),
        ).with_id("ServedModel")
        served.add_upstream_node(trained)
        model = trained.outputs["model"]
        check = Check(model=model).with_id("ServingCheck")
        evaluator = Evaluate(model=model, served=served.outputs["model"], accuracy=accuracy).with_id("Evaluator")
        gate = DeployGate(
            model=model,
            served=served.outputs["model"],
            settings=self.settings,
            model_node="FederatedTrainer",
            model_dir=str(self.model_dir),
            judges=["ServingCheck", "Evaluator"],
            evaluation=evaluator.outputs["evaluation"],
            serving_report=check.outputs["serving_report"],
        ).with_id("DeployGate")
        other = Bless(model=model).with_id("StockEvaluator")
        nodes = [trained, served, check, evaluator, gate, *([other] if self.pushed_blessing == other.id else [])]
        blessing = {node.id: node for node in nodes}[self.pushed_blessing].outputs["blessing"]
        filesystem = tfx.proto.PushDestination.Filesystem(base_directory=str(self.model_dir))
        destination = tfx.proto.PushDestination(filesystem=filesystem)
        pusher = AtomicPusher(model=model, model_blessing=blessing, push_destination=destination).with_id("Pusher")
        return tfx.dsl.Pipeline(
            pipeline_name="tiny",
            pipeline_root=str(self.root / "artifacts"),
            components=[*nodes, pusher],
            enable_cache=True,
            metadata_connection_config=self.connection,
        )


@pytest.fixture
def pipelines(tmp_path):
    return Pipelines(tmp_path)


def test_first_model_goes_live_a_better_one_after_it_and_a_worse_one_not(pipelines):
    first = pipelines.run("a")
    assert (first["blessed"], first["served"], pipelines.pushed()) == (True, None, 1)
    second = pipelines.run("b")
    assert (second["blessed"], second["served"]["version"]) == (True, layout.versions(pipelines.model_dir)[0])
    third = pipelines.run("c", accuracy=0.5)
    assert (third["blessed"], pipelines.pushed()) == (False, 0)
    assert len(layout.versions(pipelines.model_dir)) == 2


def test_gate_decides_anew_in_every_run_while_the_judges_are_answered_from_the_cache(pipelines):
    pipelines.run("a")
    pipelines.settings["thresholds"][ACCURACY]["min"] = 0.99
    refused = pipelines.run("a")
    assert (refused["blessed"], refused["served"]["same_as_model"], pipelines.pushed()) == (False, True, 0)
    store = mlmd.MetadataStore(pipelines.connection)
    states = {}
    for execution in store.get_executions():
        contexts = store.get_contexts_by_execution(execution.id)
        node = next(context.name for context in contexts if context.type == "node")
        states.setdefault(node.split(".")[1], []).append(execution.last_known_state)
    complete, cached = 3, 5
    assert states["Evaluator"] == states["ServingCheck"] == [complete, cached]
    assert states["DeployGate"] == states["Pusher"] == [complete, complete]


def test_failed_node_that_tfx_goes_on_after_means_not_blessed(pipelines):
    pipelines.run("a")
    (pipelines.model_dir / str(2**62)).mkdir()
    (pipelines.model_dir / str(2**62) / "saved_model.pb").write_text("dropped by hand")
    with pytest.raises(Exception, match="ServedModel"):
        pipelines.run("b")
    decision = json.loads(Path(pipelines.newest(GateDecision.TYPE_NAME).uri, "decision.json").read_text())
    checks = {check["id"]: check for check in decision["checks"]}
    assert not decision["blessed"]
    assert checks["run/nodes"]["observed"] == "ServedModel failed"
    assert checks[f"evaluation/change/{ACCURACY}"]["verdict"] == "failed"


def test_only_blessing_of_a_pipeline_is_the_gates(pipelines):
    pipelines.run("a", accuracy=0.5)
    store = mlmd.MetadataStore(pipelines.connection)
    assert [blessing.uri.split("/")[-3] for blessing in store.get_artifacts_by_type("ModelBlessing")] == ["DeployGate"]


def test_blessing_of_a_bare_evaluator_pushes_nothing(pipelines):
    pipelines.pushed_blessing = "StockEvaluator"
    with pytest.raises(IntegrityError, match="expected a decision of DeployGate behind it, got none"):
        pipelines.run("a")
    assert layout.versions(pipelines.model_dir) == []
