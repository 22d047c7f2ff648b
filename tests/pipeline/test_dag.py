"""The DAG of the design, compiled by TFX for every kind of example data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tfx.dsl.compiler.compiler import Compiler

from errors import ConfigError
from lineage import signing
from modeling import contract
from pipeline import config as configuration
from pipeline import provenance
from pipeline.config import PipelineConfig, SplitConfig, from_dict
from pipeline.dag import create_pipeline
from pipeline.environment import Environment

ROOT = Path(__file__).parents[2]
UPSTREAM = {
    "ExampleGen": set(),
    "StatisticsGen": {"ExampleGen"},
    "SchemaGen": {"StatisticsGen"},
    "ExampleValidator": {"StatisticsGen", "SchemaGen"},
    "FederatedSplit": {"ExampleGen", "ExampleValidator"},
    "Trainer": {"ExampleGen", "ExampleValidator"},
    "FederatedTrainer": {"FederatedSplit"},
    "ServedModel": {"FederatedTrainer"},
    "BaselineEvaluator": {"ExampleGen", "Trainer"},
    "ServingCheck": {"ExampleGen", "FederatedTrainer"},
    "PairedEvaluator": {"ExampleGen", "FederatedTrainer", "Trainer", "ServedModel", "ServingCheck"},
    "Evaluator": {"ExampleGen", "FederatedTrainer", "ServedModel", "ServingCheck", "PairedEvaluator"},
    "DeployGate": {"FederatedTrainer", "ServedModel", "ServingCheck", "PairedEvaluator", "Evaluator"},
    "Pusher": {"FederatedTrainer", "DeployGate", "ExampleGen", "SchemaGen", "FederatedSplit"},
}
UPSTREAM["RunReport"] = set(UPSTREAM)


# With something held out, clients are evaluated as well.
HELD_OUT = {
    **UPSTREAM,
    "FederatedEvaluator": {"FederatedSplit", "FederatedTrainer", "ServedModel", "ServingCheck"},
    "DeployGate": {*UPSTREAM["DeployGate"], "FederatedEvaluator"},
    "RunReport": {*UPSTREAM["RunReport"], "FederatedEvaluator"},
}


# Without a federated training, the centralised model is the one under test.
CENTRALISED = {
    **{node: UPSTREAM[node] for node in ("ExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Trainer")},
    "ServedModel": {"Trainer"},
    "ServingCheck": {"ExampleGen", "Trainer"},
    "PairedEvaluator": {"ExampleGen", "Trainer", "ServedModel", "ServingCheck"},
    "Evaluator": {"ExampleGen", "Trainer", "ServedModel", "ServingCheck", "PairedEvaluator"},
    "DeployGate": {"Trainer", "ServedModel", "ServingCheck", "PairedEvaluator", "Evaluator"},
    "Pusher": {"Trainer", "DeployGate", "ExampleGen", "SchemaGen"},
}
CENTRALISED["RunReport"] = set(CENTRALISED)


def config(data: dict, **train) -> PipelineConfig:
    return from_dict(
        {
            "name": "tiny",
            "model": "examples.digits.digits_model",
            "data": data,
            "split": {"strategy": "dirichlet", "clients": 10},
            "train": train or {"rounds": 5, "clients_per_round": 3},
            "gate": {"thresholds": {"SparseCategoricalAccuracy": {"min": 0.9}}},
        }
    )


def compiled(pipeline_config: PipelineConfig, root: Path) -> dict:
    """Node id -> what TFX compiled of it, in the order in which they run."""
    dag = create_pipeline(pipeline_config, Environment.local(str(root / "root"), str(root / "served")))
    return {node.pipeline_node.node_info.id: node.pipeline_node for node in Compiler().compile(dag).nodes}


def parameter(node, name: str) -> str:
    return node.parameters.parameters[name].field_value.string_value


def upstream(nodes: dict) -> dict[str, set[str]]:
    return {node_id: set(node.upstream_nodes) for node_id, node in nodes.items()}


def resolvers(nodes: dict) -> list:
    graphs = nodes["ServedModel"].inputs.input_graphs.values()
    steps = [step.op_node for graph in graphs for step in graph.nodes.values()]
    return [step for step in steps if step.op_type.endswith("ServedModelStrategy")]


@pytest.fixture
def csv(tmp_path) -> dict:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "examples.csv").write_text("image,label\na,1\n")
    return {"format": "csv", "path": str(tmp_path / "data")}


@pytest.mark.parametrize(("case", "designed"), [("digits", HELD_OUT), ("mnist", UPSTREAM)])
def test_examples_compile_to_the_designed_dag(case, designed, tmp_path):
    nodes = compiled(configuration.load(ROOT / "examples" / case / "config.yaml"), tmp_path)
    assert upstream(nodes) == designed
    assert next(iter(nodes)) == "ExampleGen"


def test_centralised_training_leaves_the_federated_nodes_out_and_judges_trainers_model(tmp_path):
    nodes = compiled(config({"format": "digits"}, mode="centralised"), tmp_path)
    assert upstream(nodes) == CENTRALISED
    (resolver,) = resolvers(nodes)
    assert resolver.kwargs["candidate_node"].value.field_value.string_value == "Trainer"
    told = json.loads(parameter(nodes["Pusher"], "custom_config"))
    assert (told["model_node"], told["model_servers"]) == ("Trainer", [])


def test_in_a_cluster_the_stock_infra_validator_tries_the_model_too_and_the_gate_wants_its_word(tmp_path):
    local = Environment.local(str(tmp_path / "root"), str(tmp_path / "served"))
    dag = create_pipeline(config({"format": "digits"}), replace(local, model_server_image="example.org/serving:2.15.1"))
    nodes = {node.pipeline_node.node_info.id: node.pipeline_node for node in Compiler().compile(dag).nodes}
    server = json.loads(parameter(nodes["InfraValidator"], "serving_spec"))
    assert server == {"tensorflow_serving": {"image_name": "example.org/serving", "tags": ["2.15.1"]}, "kubernetes": {}}
    assert set(nodes["DeployGate"].upstream_nodes) == {*UPSTREAM["DeployGate"], "InfraValidator"}
    assert "InfraValidator" in json.loads(parameter(nodes["DeployGate"], "judges"))


def test_warm_start_hands_trainers_model_to_the_federated_training(tmp_path):
    nodes = compiled(config({"format": "digits"}, mode="warm_start", rounds=5, clients_per_round=3), tmp_path)
    begins_from = {"FederatedTrainer": {"FederatedSplit", "Trainer"}, "Pusher": {*UPSTREAM["Pusher"], "Trainer"}}
    assert upstream(nodes) == {**UPSTREAM, **begins_from}
    (channel,) = nodes["FederatedTrainer"].inputs.inputs["base_model"].channels
    assert (channel.producer_node_query.id, channel.output_key) == ("Trainer", "model")
    (stated,) = nodes["Pusher"].inputs.inputs["base_model"].channels
    assert (stated.producer_node_query.id, stated.output_key) == ("Trainer", "model")


def test_pusher_is_told_where_the_key_is_and_what_the_run_is_made_of_but_never_the_key(tmp_path):
    signing.make(tmp_path / "keys")
    given, key = config({"format": "digits"}), tmp_path / "keys" / "key.pem"
    dag = create_pipeline(given, replace(Environment.local(str(tmp_path / "root")), signing_key=str(key)))
    nodes = {node.pipeline_node.node_info.id: node.pipeline_node for node in Compiler().compile(dag).nodes}
    told = json.loads(parameter(nodes["Pusher"], "custom_config"))
    assert (told["signing_key"], told["pipeline"]) == (str(key), "tiny")
    assert told["run_log"] == str(tmp_path / "root" / "audit.jsonl")
    assert told["run_facts"] == provenance.record(given)
    assert not any(key.read_text().splitlines()[1] in str(node) for node in nodes.values())


def test_federated_training_is_told_its_whole_section_and_where_its_checkpoints_lie(tmp_path):
    given = config({"format": "digits"})
    node = compiled(given, tmp_path)["FederatedTrainer"]
    assert json.loads(parameter(node, "settings")) == given.train.settings("tiny")
    assert parameter(node, "state_dir") == str(tmp_path / "root" / ".federated_trainer")
    assert "base_model" not in node.inputs.inputs


def test_trainer_is_told_where_to_stop(tmp_path):
    overrides = ["baseline.stop_at=0.7"]
    nodes = compiled(configuration.load(ROOT / "examples" / "digits" / "config.yaml", overrides), tmp_path)
    assert json.loads(parameter(nodes["Trainer"], "custom_config"))["stop_at"] == 0.7


def test_own_data_compile_to_the_same_dag(csv, tmp_path):
    nodes = compiled(config(csv), tmp_path)
    assert upstream(nodes) == UPSTREAM


def test_curated_schema_takes_the_place_of_the_inferred_one_and_an_edit_of_it_is_noticed(csv, tmp_path):
    schema = tmp_path / "schema.pbtxt"
    digests = []
    for text in ('feature { name: "image" }', 'feature { name: "label" }'):
        schema.write_text(text)
        node = compiled(config({**csv, "schema": str(schema)}), tmp_path)["SchemaGen"]
        assert (parameter(node, "schema_file"), list(node.upstream_nodes)) == (str(schema), [])
        digests.append(parameter(node, "schema_digest"))
    assert digests[0] != digests[1]


def test_inferred_schema_is_open_for_clients_that_are_not_in_the_train_split(csv, tmp_path):
    by_key = replace(config(csv), split=SplitConfig(strategy="by_key", key="image"))
    opened = [parameter(compiled(each, tmp_path)["SchemaGen"], "open_features") for each in (config(csv), by_key)]
    assert opened == ["[]", '["image"]']


def test_validator_is_told_the_module_and_its_digest(csv, tmp_path):
    node = compiled(config(csv), tmp_path)["ExampleValidator"]
    assert parameter(node, "module") == "examples.digits.digits_model"
    assert parameter(node, "module_digest") == contract.load("examples.digits.digits_model").digest


def test_missing_curated_schema_is_refused(csv, tmp_path):
    with pytest.raises(ConfigError, match=r"^data\.schema: no file .*missing\.pbtxt; give a schema"):
        compiled(config({**csv, "schema": str(tmp_path / "missing.pbtxt")}), tmp_path)


def test_split_follows_the_label_of_the_module(csv, tmp_path):
    assert '"label"' in parameter(compiled(config(csv), tmp_path)["FederatedSplit"], "parameters")


def test_cache_is_the_environments_choice(tmp_path):
    environment = Environment.local(str(tmp_path / "root"), str(tmp_path / "served"), cache=False)
    dag = create_pipeline(config({"format": "digits"}), environment)
    assert not any(node.pipeline_node.execution_options.caching_options.enable_cache for node in Compiler().compile(dag).nodes)


@pytest.mark.parametrize(("overrides", "required"), [([], "true"), (["gate.change={}"], "false")])
def test_served_model_must_be_comparable_unless_the_change_is_not_judged(overrides, required, tmp_path):
    nodes = compiled(configuration.load(ROOT / "examples" / "digits" / "config.yaml", overrides), tmp_path)
    (resolver,) = resolvers(nodes)
    assert resolver.kwargs["comparison_required"].value.field_value.string_value == required
