"""The DAG, nothing else: which nodes there are and what flows between them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from tfx import v1 as tfx
from tfx.v1.components import Evaluator, StatisticsGen, Trainer

from components.atomic_pusher.component import AtomicPusher
from components.atomic_pusher.served_model import ServedModelStrategy
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


def create_pipeline(config: PipelineConfig, environment: Environment) -> Any:
    """Returns the tfx Pipeline that computes `config` in `environment`.

    Raises:
      ConfigError: the model module cannot be loaded, or the curated schema is not there or none.
    """
    module = contract.load(config.model)
    examples = _example_gen(config)
    statistics = StatisticsGen(examples=examples.outputs["examples"])
    schema = _schema(config, statistics)
    validator = _validator(config, statistics, schema, module)
    split = _split(config, examples, module)
    trainer = _trainer(config, examples, module)
    federated = _federated_trainer(config, split, module)
    for node in (split, trainer):  # nothing is computed on data that do not fit the schema
        node.add_upstream_node(validator)
    served = _served_model(config, environment)
    served.add_upstream_node(federated)
    evaluator = _evaluator(config, examples, federated.outputs["model"], module, served.outputs["model"])
    baseline = _baseline_evaluator(config, examples, trainer.outputs["model"], module)
    pusher = _pusher(config, environment, federated, evaluator)
    nodes = {
        "ExampleGen": examples,
        "StatisticsGen": statistics,
        "SchemaGen": schema,
        "ExampleValidator": validator,
        "FederatedSplit": split,
        "Trainer": trainer,
        "FederatedTrainer": federated,
        "ServedModel": served,
        "Evaluator": evaluator,
        "BaselineEvaluator": baseline,
        "Pusher": pusher,
    }
    return tfx.dsl.Pipeline(
        pipeline_name=config.name,
        pipeline_root=environment.pipeline_root(config.name),
        components=[node.with_id(node_id) for node_id, node in nodes.items()],
        enable_cache=environment.cache,
        metadata_connection_config=environment.metadata_connection(),
        beam_pipeline_args=list(environment.beam_args),
    )


def _example_gen(config: PipelineConfig) -> Any:
    data = config.data
    return example_gen(data_format=data.format, path=data.path, splits=data.splits, seed=config.seed)


def _schema(config: PipelineConfig, statistics: Any) -> Any:
    """The curated schema if the config names one, else one inferred from the train split, which does not list clients."""
    if config.data.schema:
        return CuratedSchema(schema_file=config.data.schema)
    keys = [config.split.key] if config.split.key else []
    return InferredSchema(statistics=statistics.outputs["statistics"], exclude_splits=["eval"], open_features=keys)


def _validator(config: PipelineConfig, statistics: Any, schema: Any, module: contract.ModelModule) -> StoppingExampleValidator:
    return StoppingExampleValidator(
        statistics=statistics.outputs["statistics"],
        schema=schema.outputs["schema"],
        module=config.model,
        module_digest=module.digest,
    )


def _split(config: PipelineConfig, examples: Any, module: contract.ModelModule) -> FederatedSplit:
    parameters = config.split.parameters()
    if parameters["label"] is None:
        parameters["label"] = module.label_key
    return FederatedSplit(
        examples=examples.outputs["examples"], strategy=config.split.strategy, parameters=parameters, seed=config.seed
    )


def _trainer(config: PipelineConfig, examples: Any, module: contract.ModelModule) -> Trainer:
    """The centralised baseline. The digests in custom_config make TFX's cache notice an edit of the code it runs."""
    code = {"module_digest": module.digest, "code_version": code_digest(Path(contract.__file__).parent)}
    return Trainer(
        run_fn=f"{config.model}.run_fn",
        examples=examples.outputs["examples"],
        train_args=tfx.proto.TrainArgs(splits=["train"]),
        eval_args=tfx.proto.EvalArgs(splits=["eval"]),
        custom_config={**asdict(config.baseline), "seed": config.seed, **code},
    )


def _federated_trainer(config: PipelineConfig, split: FederatedSplit, module: contract.ModelModule) -> FederatedTrainer:
    return FederatedTrainer(
        federated_examples=split.outputs["federated_examples"],
        module=config.model,
        module_digest=module.digest,
        settings=asdict(config.train),
        seed=config.seed,
    )


def _served_model(config: PipelineConfig, environment: Environment) -> Any:
    return tfx.dsl.Resolver(
        strategy_class=ServedModelStrategy,
        config={
            "model_dir": environment.model_dir(config.name),
            "candidate_node": "FederatedTrainer",
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


def _pusher(config: PipelineConfig, environment: Environment, federated: Any, evaluator: Evaluator) -> AtomicPusher:
    to_directory = tfx.proto.PushDestination.Filesystem(base_directory=environment.model_dir(config.name))
    return AtomicPusher(
        model=federated.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        push_destination=tfx.proto.PushDestination(filesystem=to_directory),
    )
