"""The DAG, nothing else: which nodes there are and what flows between them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

# From where they are, not through tfx.v1, which would load Vertex AI's and Kubeflow's clients too: a sixth of a run's start.
from tfx.dsl.components.common.resolver import Resolver
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import infra_validator_pb2, pusher_pb2, trainer_pb2
from tfx.types import standard_artifacts
from tfx.types.channel import Channel

from components.atomic_pusher import spec as push
from components.atomic_pusher.component import AtomicPusher
from components.atomic_pusher.served_model import ServedModelStrategy
from components.centralised_trainer import CentralisedTrainer
from components.curated_schema import CuratedSchema
from components.deploy_gate.component import DeployGate
from components.example_gens.component import example_gen
from components.example_validator import StoppingExampleValidator
from components.federated_evaluator.component import FederatedEvaluator
from components.federated_split.component import FederatedSplit
from components.federated_trainer.component import FederatedTrainer
from components.inferred_schema import InferredSchema
from components.infra_validator import DigestedInfraValidator
from components.model_evaluator.component import ModelEvaluator, ReportingEvaluator
from components.paired_evaluator.component import PairedEvaluator
from components.run_report.component import RunReport, inputs_of
from components.serving_check.component import ServingCheck
from components.statistics_gen import DigestedStatisticsGen
from lineage import forgotten
from lineage.digests import code_digest
from lineage.forgotten import Omission
from modeling import contract
from modeling.export import EXAMPLES_SIGNATURE
from pipeline import gate, provenance, run_log
from pipeline.config import PipelineConfig
from pipeline.environment import Environment
from pipeline.split_config import SplitConfig

TRAINER, FEDERATED_TRAINER = "Trainer", "FederatedTrainer"


def create_pipeline(config: PipelineConfig, environment: Environment) -> Any:
    """Returns the tfx Pipeline that computes `config` in `environment`.

    Raises:
      ConfigError: the model module cannot be loaded, or the curated schema is not there or none.
    """
    module = contract.load(config.model)
    data = _data_nodes(config, environment, module)
    examples, validator = data["ExampleGen"], data["ExampleValidator"]
    trainer = _trainer(config, examples, module)
    trainer.add_upstream_node(validator)  # nothing is computed on data that do not fit the schema
    nodes = {**data, TRAINER: trainer}
    if config.split is not None and config.train.federated:
        nodes |= _federated_nodes(config, config.split, environment, module, nodes)
    nodes |= gate_nodes(config, environment, module, nodes)
    nodes["RunReport"] = _run_report(config, environment, nodes)
    return Pipeline(
        pipeline_name=config.name,
        pipeline_root=environment.pipeline_root(config.name),
        components=[node.with_id(node_id) for node_id, node in nodes.items()],
        enable_cache=environment.cache,
        metadata_connection_config=environment.metadata_connection(),
        beam_pipeline_args=list(environment.beam_args),
    )


def candidate_node(config: PipelineConfig) -> str:
    """Returns the id of the node that makes the model under test."""
    return FEDERATED_TRAINER if config.train.federated else TRAINER


def _data_nodes(config: PipelineConfig, environment: Environment, module: contract.ModelModule) -> dict[str, Any]:
    examples = _example_gen(config, forgotten.omission(environment.root, config.name))
    statistics = DigestedStatisticsGen(examples=examples.outputs["examples"])
    schema = _schema(config, statistics)
    validator = _validator(config, statistics, schema, module)
    return {"ExampleGen": examples, "StatisticsGen": statistics, "SchemaGen": schema, "ExampleValidator": validator}


def _federated_nodes(
    config: PipelineConfig, split: SplitConfig, environment: Environment, module: contract.ModelModule, nodes: Mapping[str, Any]
) -> dict[str, Any]:
    """Split and training, and an evaluation of the baseline, which is not the model under test then."""
    examples = nodes["ExampleGen"]
    divided = _split(config, split, examples, module, forgotten.omission(environment.root, config.name))
    divided.add_upstream_node(nodes["ExampleValidator"])
    base_model = nodes[TRAINER].outputs["model"]
    trained = FederatedTrainer(
        federated_examples=divided.outputs["federated_examples"],
        module=config.model,
        module_digest=module.digest,
        settings=config.train.settings(population=config.name),
        seed=config.seed,
        state_dir=environment.state_dir,
        base_model=base_model if config.train.mode == "warm_start" else None,
    )
    baseline = _baseline_evaluator(config, examples, base_model, module)
    return {"FederatedSplit": divided, FEDERATED_TRAINER: trained, "BaselineEvaluator": baseline}


def gate_nodes(
    config: PipelineConfig, environment: Environment, module: contract.ModelModule, nodes: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns, by id, what judges the model under test, decides, and lets it go live.

    Args:
      config: what is required, and of which node's model.
      environment: where the model goes.
      module: the loaded model module.
      nodes: the nodes before: ExampleGen, the trainers, and FederatedSplit where clients are evaluated.

    Raises:
      ConfigError: a metric cannot be made.
    """
    candidate = nodes[candidate_node(config)]
    settings = config.gate.settings(gate.kind(module), config.seed)
    served = _served_model(config, environment, settings)
    served.add_upstream_node(candidate)
    judges = _judges(config, settings, module, nodes, served)
    if environment.model_server_image:
        judges["InfraValidator"] = _infra_validator(environment.model_server_image, settings, nodes["ExampleGen"], candidate)
    decision = _deploy_gate(config, environment, settings, judges, served, candidate)
    pusher = _pusher(config, environment, {**nodes, "DeployGate": decision})
    return {"ServedModel": served, **judges, "DeployGate": decision, "Pusher": pusher}


def _judges(
    config: PipelineConfig, settings: Mapping[str, Any], module: contract.ModelModule, nodes: Mapping[str, Any], served: Any
) -> dict[str, Any]:
    """What measures the model under test, in the order in which it must: see docs/decisions/0012."""
    examples, model = nodes["ExampleGen"].outputs["examples"], nodes[candidate_node(config)].outputs["model"]
    code = {"module": config.model, "module_digest": module.digest}
    check = ServingCheck(model=model, examples=examples, settings=settings["serving"], seed=config.seed, **code)
    beside = {
        "model": model,
        "served": served.outputs["model"],
        "serving_report": check.outputs["serving_report"],
        "kind": settings["kind"],
        **code,
    }
    baseline = nodes[TRAINER].outputs["model"] if config.train.federated else None
    paired = PairedEvaluator(examples=examples, baseline=baseline, **beside)
    evaluator = ModelEvaluator(
        examples=examples,
        model=model,
        baseline_model=served.outputs["model"],
        serving_report=check.outputs["serving_report"],
        paired_scores=paired.outputs["paired_scores"],
        eval_config=gate.eval_config(settings, label_key=module.label_key, prediction_key=module.prediction_key),
    )
    judges = {"ServingCheck": check, "PairedEvaluator": paired, "Evaluator": evaluator}
    if "FederatedEvaluator" in gate.judges(config):
        divided = nodes["FederatedSplit"].outputs["federated_examples"]
        minimum = settings["clients"]["min_clients"]
        judges["FederatedEvaluator"] = FederatedEvaluator(federated_examples=divided, min_clients=minimum, **beside)
    return judges


def _infra_validator(image: str, settings: Mapping[str, Any], examples: Any, candidate: Any) -> Any:
    """The stock InfraValidator, which starts TensorFlow Serving as a pod beside the pipeline's own."""
    name, _, tag = image.rpartition(":")
    server = infra_validator_pb2.ServingSpec(
        tensorflow_serving=infra_validator_pb2.TensorFlowServing(image_name=name, tags=[tag]),
        kubernetes=infra_validator_pb2.KubernetesConfig(),
    )
    samples = infra_validator_pb2.RequestSpec(
        tensorflow_serving=infra_validator_pb2.TensorFlowServingRequestSpec(signature_names=[EXAMPLES_SIGNATURE]),
        split_name="eval",
        num_examples=settings["serving"]["samples"],
    )
    return DigestedInfraValidator(
        model=candidate.outputs["model"], examples=examples.outputs["examples"], serving_spec=server, request_spec=samples
    )


def _deploy_gate(
    config: PipelineConfig,
    environment: Environment,
    settings: Mapping[str, Any],
    judges: Mapping[str, Any],
    served: Any,
    candidate: Any,
) -> DeployGate:
    findings = {key: node.outputs[output] for key, (node, output) in _findings(judges).items()}
    return DeployGate(
        model=candidate.outputs["model"],
        served=served.outputs["model"],
        settings=settings,
        judges=list(judges),
        model_node=candidate_node(config),
        model_dir=environment.model_dir(config.name),
        state_dir=environment.state_dir,
        approvals=config.gate.approvals or "",
        **findings,
    )


def _findings(judges: Mapping[str, Any]) -> dict[str, tuple[Any, str]]:
    """Input of DeployGate -> the judge that makes it, and its output."""
    made_by = {
        "serving_report": ("ServingCheck", "serving_report"),
        "paired_scores": ("PairedEvaluator", "paired_scores"),
        "evaluation": ("Evaluator", "evaluation"),
        "client_metrics": ("FederatedEvaluator", "client_metrics"),
        "infra_blessing": ("InfraValidator", "blessing"),
    }
    return {key: (judges[node_id], output) for key, (node_id, output) in made_by.items() if node_id in judges}


def _example_gen(config: PipelineConfig, left_out: Omission | None) -> Any:
    data = config.data
    return example_gen(data_format=data.format, path=data.path, splits=data.splits, seed=config.seed, forgotten=left_out)


def _schema(config: PipelineConfig, statistics: Any) -> Any:
    """The curated schema if the config names one, else one inferred from the train split, which does not list clients."""
    if config.data.schema:
        return CuratedSchema(schema_file=config.data.schema)
    keys = [config.split.key] if config.split and config.split.key else []
    return InferredSchema(statistics=statistics.outputs["statistics"], exclude_splits=["eval"], open_features=keys)


def _validator(config: PipelineConfig, statistics: Any, schema: Any, module: contract.ModelModule) -> StoppingExampleValidator:
    return StoppingExampleValidator(
        statistics=statistics.outputs["statistics"],
        schema=schema.outputs["schema"],
        module=config.model,
        module_digest=module.digest,
    )


def _split(
    config: PipelineConfig, split: SplitConfig, examples: Any, module: contract.ModelModule, left_out: Omission | None
) -> FederatedSplit:
    parameters = split.parameters()
    if parameters["label"] is None:
        parameters["label"] = module.label_key
    return FederatedSplit(
        examples=examples.outputs["examples"],
        strategy=split.strategy,
        parameters=parameters,
        seed=config.seed,
        forgotten=left_out,
    )


def _trainer(config: PipelineConfig, examples: Any, module: contract.ModelModule) -> CentralisedTrainer:
    """The centralised model. The digests in custom_config make TFX's cache notice an edit of the code it runs."""
    code = {"module_digest": module.digest, "code_version": code_digest(Path(contract.__file__).parent)}
    return CentralisedTrainer(
        run_fn=f"{config.model}.run_fn",
        examples=examples.outputs["examples"],
        train_args=trainer_pb2.TrainArgs(splits=["train"]),
        eval_args=trainer_pb2.EvalArgs(splits=["eval"]),
        custom_config={**asdict(config.baseline), "seed": config.seed, **code},
    )


def _served_model(config: PipelineConfig, environment: Environment, settings: Mapping[str, Any]) -> Any:
    return Resolver(
        strategy_class=ServedModelStrategy,
        config={
            "model_dir": environment.model_dir(config.name),
            "candidate_node": candidate_node(config),
            "comparison_required": gate.compares(settings),
        },
        model=Channel(type=standard_artifacts.Model),
        pushed_model=Channel(type=standard_artifacts.PushedModel),
    )


def _baseline_evaluator(config: PipelineConfig, examples: Any, model: Any, module: contract.ModelModule) -> ReportingEvaluator:
    """The same metrics on the same examples for the centralised model, which is measured and never blessed."""
    settings = config.gate.settings(gate.kind(module), config.seed)
    measured = gate.eval_config(settings, label_key=module.label_key, prediction_key=module.prediction_key)
    return ReportingEvaluator(examples=examples.outputs["examples"], model=model, eval_config=measured)


def _pusher(config: PipelineConfig, environment: Environment, nodes: Mapping[str, Any]) -> AtomicPusher:
    to_directory = pusher_pb2.PushDestination.Filesystem(base_directory=environment.model_dir(config.name))
    return AtomicPusher(
        model=nodes[candidate_node(config)].outputs["model"],
        model_blessing=nodes["DeployGate"].outputs["blessing"],
        push_destination=pusher_pb2.PushDestination(filesystem=to_directory),
        custom_config={
            push.MODEL_NODE: candidate_node(config),
            push.MODEL_SERVERS: list(environment.model_servers),
            push.SIGNING_KEY: environment.signing_key,
            push.RUN_LOG: os.path.join(environment.root, run_log.FILE),
            push.PIPELINE: config.name,
            push.RUN_FACTS: provenance.record(config),
        },
        **_origins(config, nodes),
    )


def _origins(config: PipelineConfig, nodes: Mapping[str, Any]) -> dict[str, Any]:
    """Input of Pusher -> the channel that holds it: what the statement about the model lists."""
    made_by = {
        "examples": "ExampleGen",
        "schema": "SchemaGen",
        "federated_examples": "FederatedSplit",
        "decision": "DeployGate",
    }
    origins = {key: nodes[node_id].outputs[key] for key, node_id in made_by.items() if node_id in nodes}
    if config.train.mode == "warm_start":
        origins["base_model"] = nodes[TRAINER].outputs["model"]
    return origins


def _run_report(config: PipelineConfig, environment: Environment, nodes: Mapping[str, Any]) -> RunReport:
    card = config.model_card.words() if config.model_card else {}
    return RunReport(name=config.name, inputs=inputs_of(nodes), metadata=environment.metadata_path, card=card)
