"""The DAG, nothing else: which nodes there are and what flows between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tfx import v1 as tfx
from tfx.v1.components import Evaluator, StatisticsGen

from components.atomic_pusher import spec as push
from components.atomic_pusher.component import AtomicPusher
from components.atomic_pusher.served_model import ServedModelStrategy
from components.centralised_trainer import CentralisedTrainer
from components.curated_schema import CuratedSchema
from components.example_gens.component import example_gen
from components.example_validator import StoppingExampleValidator
from components.federated_split.component import FederatedSplit
from components.federated_trainer.component import FederatedTrainer
from components.inferred_schema import InferredSchema
from lineage.digests import code_digest
from modeling import contract
from pipeline import gate
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
    data = _data_nodes(config, module)
    examples, validator = data["ExampleGen"], data["ExampleValidator"]
    trainer = _trainer(config, examples, module)
    trainer.add_upstream_node(validator)  # nothing is computed on data that do not fit the schema
    nodes = {**data, TRAINER: trainer}
    if config.split is not None and config.train.federated:
        nodes |= _federated_nodes(config, config.split, environment, module, nodes)
    nodes |= _gate_nodes(config, environment, module, nodes)
    return tfx.dsl.Pipeline(
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


def _data_nodes(config: PipelineConfig, module: contract.ModelModule) -> dict[str, Any]:
    examples = _example_gen(config)
    statistics = StatisticsGen(examples=examples.outputs["examples"])
    schema = _schema(config, statistics)
    validator = _validator(config, statistics, schema, module)
    return {"ExampleGen": examples, "StatisticsGen": statistics, "SchemaGen": schema, "ExampleValidator": validator}


def _federated_nodes(
    config: PipelineConfig, split: SplitConfig, environment: Environment, module: contract.ModelModule, nodes: Mapping[str, Any]
) -> dict[str, Any]:
    """Split and training, and an evaluation of the baseline, which is not the model under test then."""
    examples = nodes["ExampleGen"]
    divided = _split(config, split, examples, module)
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


def _gate_nodes(
    config: PipelineConfig, environment: Environment, module: contract.ModelModule, nodes: Mapping[str, Any]
) -> dict[str, Any]:
    """What judges the model under test and lets it go live."""
    candidate = nodes[candidate_node(config)]
    served = _served_model(config, environment)
    served.add_upstream_node(candidate)
    evaluator = _evaluator(config, nodes["ExampleGen"], candidate.outputs["model"], module, served.outputs["model"])
    pusher = _pusher(config, environment, candidate, evaluator)
    return {"ServedModel": served, "Evaluator": evaluator, "Pusher": pusher}


def _example_gen(config: PipelineConfig) -> Any:
    data = config.data
    return example_gen(data_format=data.format, path=data.path, splits=data.splits, seed=config.seed)


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


def _split(config: PipelineConfig, split: SplitConfig, examples: Any, module: contract.ModelModule) -> FederatedSplit:
    parameters = split.parameters()
    if parameters["label"] is None:
        parameters["label"] = module.label_key
    return FederatedSplit(
        examples=examples.outputs["examples"], strategy=split.strategy, parameters=parameters, seed=config.seed
    )


def _trainer(config: PipelineConfig, examples: Any, module: contract.ModelModule) -> CentralisedTrainer:
    """The centralised model. The digests in custom_config make TFX's cache notice an edit of the code it runs."""
    code = {"module_digest": module.digest, "code_version": code_digest(Path(contract.__file__).parent)}
    return CentralisedTrainer(
        run_fn=f"{config.model}.run_fn",
        examples=examples.outputs["examples"],
        train_args=tfx.proto.TrainArgs(splits=["train"]),
        eval_args=tfx.proto.EvalArgs(splits=["eval"]),
        custom_config={**asdict(config.baseline), "seed": config.seed, **code},
    )


def _served_model(config: PipelineConfig, environment: Environment) -> Any:
    return tfx.dsl.Resolver(
        strategy_class=ServedModelStrategy,
        config={
            "model_dir": environment.model_dir(config.name),
            "candidate_node": candidate_node(config),
            "comparison_required": bool(config.gate.change),
        },
        model=tfx.dsl.Channel(type=tfx.types.standard_artifacts.Model),
        pushed_model=tfx.dsl.Channel(type=tfx.types.standard_artifacts.PushedModel),
    )


def _evaluator(config: PipelineConfig, examples: Any, model: Any, module: contract.ModelModule, served: Any) -> Evaluator:
    judged_by = gate.eval_config(config.gate, label_key=module.label_key, prediction_key=module.prediction_key)
    return Evaluator(examples=examples.outputs["examples"], model=model, baseline_model=served, eval_config=judged_by)


def _baseline_evaluator(config: PipelineConfig, examples: Any, model: Any, module: contract.ModelModule) -> Evaluator:
    """The same metrics on the same examples for the centralised model, which is measured and never blessed."""
    judged_by = gate.eval_config(config.gate, label_key=module.label_key, prediction_key=module.prediction_key)
    return Evaluator(examples=examples.outputs["examples"], model=model, eval_config=gate.without_thresholds(judged_by))


def _pusher(config: PipelineConfig, environment: Environment, candidate: Any, evaluator: Evaluator) -> AtomicPusher:
    to_directory = tfx.proto.PushDestination.Filesystem(base_directory=environment.model_dir(config.name))
    return AtomicPusher(
        model=candidate.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        push_destination=tfx.proto.PushDestination(filesystem=to_directory),
        custom_config={push.MODEL_NODE: candidate_node(config)},
    )
