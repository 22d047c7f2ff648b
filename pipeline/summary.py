"""What came of a run, read from ML Metadata and the artifacts: for people as text, for machines as JSON."""

from __future__ import annotations

import json
import logging
import math
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import PipelineConfig
from pipeline.decision import Decision, Metrics, decide, metrics_of
from pipeline.environment import Environment
from pipeline.execution import NodeResult, executions_of_run
from pipeline.places import shown

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Summary:
    """The result of a run, finished or not.

    Attributes:
      run_id: the run's name in ML Metadata.
      decision: the gate's.
      pushed: version, path, and whether it is new; None when the model did not go live. A run that fails later keeps it.
      metrics: overall metrics of the models `federated`, `baseline` and `served`; None for one that does not exist.
      nodes: a result per node.
      paths: root, metadata, log, tensorboard, report, partition (the picture of the split).
      split: how the examples are divided, in a line; None when that is not known.
    """

    run_id: str
    decision: Decision
    pushed: Mapping[str, Any] | None
    metrics: Mapping[str, Metrics | None]
    nodes: Sequence[NodeResult]
    paths: Mapping[str, str | None]
    split: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Returns the documented layout of `--json`."""
        return {
            "run_id": self.run_id,
            "decision": {"blessed": self.decision.blessed, "reasons": list(self.decision.reasons)},
            "pushed": dict(self.pushed) if self.pushed else None,
            "metrics": {model: _finite(values) if values else None for model, values in self.metrics.items()},
            "nodes": [{"id": node.id, "state": node.state, "seconds": round(node.seconds, 3)} for node in self.nodes],
            "paths": dict(self.paths),
        }


def _finite(values: Metrics) -> dict[str, float | None]:
    """JSON has no NaN and no infinity; they become null."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def unfinished(environment: Environment, run_id: str, nodes: Sequence[NodeResult], log: str, reason: str) -> Summary:
    """What there is to tell of a run that failed or was interrupted: why, and whether its model had gone live by then."""
    pushed = _pushed_in(environment, run_id) if nodes else None
    return Summary(
        run_id=run_id,
        decision=Decision(pushed is not None, (reason,)),
        pushed=pushed,
        metrics=dict.fromkeys(("federated", "baseline", "served")),
        nodes=tuple(nodes),
        paths={**_fixed_paths(environment, log), "tensorboard": None, "partition": None},
    )


def _pushed_in(environment: Environment, run_id: str) -> dict[str, Any] | None:
    """What a run's Pusher recorded in ML Metadata, which knows of it even if the run was interrupted just then."""
    from tfx.orchestration import metadata
    from tfx.orchestration.portable.mlmd import execution_lib

    if not os.path.exists(environment.metadata_path):
        return None
    try:
        with metadata.Metadata(environment.metadata_connection()) as handle:
            pusher = executions_of_run(handle.store, run_id).get("Pusher")
            if pusher is None or not execution_lib.is_execution_successful(pusher):
                return None
            return _pushed(outputs_of(handle.store, pusher.id)["pushed_model"].custom_properties)
    except Exception as error:  # whatever is wrong with the database, the reason the run failed must be told
        logger.error("what was pushed cannot be read from ML Metadata", exc_info=error)
        return None


def _fixed_paths(environment: Environment, log: str) -> dict[str, str | None]:
    return {"root": environment.root, "metadata": environment.metadata_path, "log": log, "report": None}


def summarise(config: PipelineConfig, environment: Environment, run_id: str, nodes: Sequence[NodeResult], log: str) -> Summary:
    """Reads decision, metrics and paths of a run in which every node completed."""
    import tensorflow_model_analysis as tfma
    from tfx.orchestration import metadata

    with metadata.Metadata(environment.metadata_connection()) as handle:
        outputs = {node.id: outputs_of(handle.store, node.execution_id) for node in nodes if node.execution_id is not None}
    evaluation = outputs["Evaluator"]["evaluation"].uri
    metrics = {
        "federated": metrics_of(evaluation, tfma.CANDIDATE_KEY),
        "baseline": metrics_of(outputs["BaselineEvaluator"]["evaluation"].uri, tfma.CANDIDATE_KEY),
        "served": metrics_of(evaluation, tfma.BASELINE_KEY),
    }
    blessed = outputs["Evaluator"]["blessing"].custom_properties["blessed"].int_value == 1
    validation = tfma.load_validation_result(evaluation)
    divided = outputs["FederatedSplit"]["federated_examples"].uri
    found = {"tensorboard": outputs["FederatedTrainer"]["model_run"].uri, "partition": os.path.join(divided, "partition.svg")}
    return Summary(
        run_id=run_id,
        decision=decide(config.gate, blessed, validation, metrics["federated"], metrics["served"]),
        pushed=_pushed(outputs["Pusher"]["pushed_model"].custom_properties),
        metrics=metrics,
        nodes=tuple(nodes),
        paths={**_fixed_paths(environment, log), **found},
        split=split_in_a_line(divided),
    )


def split_in_a_line(uri: str) -> str | None:
    """Returns clients, sizes, what is dropped and how much labels differ, as the FederatedExamples in `uri` tell them.

    None if they do not: the run is over, and a damaged file must not hide what came of it.
    """
    try:
        facts = json.loads(Path(uri, "partition.json").read_text(encoding="utf-8"))
        sizes, divergence = facts["examples_per_client"], facts["heterogeneity"].get("label_divergence")
        line = (
            f"{facts['num_clients']:,} clients, {sizes['min']:,} to {sizes['max']:,} examples (median {sizes['median']:,.12g})"
        )
        if dropped := facts.get("dropped_examples", 0):
            line = f"{line}, {dropped:,} examples dropped"
        return line if divergence is None else f"{line}, label divergence {divergence:.2f}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def outputs_of(store: Any, execution_id: int) -> dict[str, Any]:
    """Returns output key -> first artifact of an execution, whether it ran or was answered from the cache."""
    from ml_metadata.proto import metadata_store_pb2

    events = [
        event for event in store.get_events_by_execution_ids([execution_id]) if event.type == metadata_store_pb2.Event.OUTPUT
    ]
    artifacts = {artifact.id: artifact for artifact in store.get_artifacts_by_id([event.artifact_id for event in events])}
    return {event.path.steps[0].key: artifacts[event.artifact_id] for event in events if event.path.steps}


def _pushed(properties: Any) -> dict[str, Any] | None:
    if properties["pushed"].int_value != 1:
        return None
    return {
        "version": int(properties["pushed_version"].string_value),
        "path": properties["pushed_destination"].string_value,
        "new": properties["already_served"].int_value != 1,
    }


def as_text(summary: Summary, environment: Environment) -> str:
    """Returns the summary for a person: metrics side by side, the decision and why, where all of it is, what to type next."""
    return "\n".join(
        ["", *_table(summary.metrics), "", *_verdict(summary), "", *_places(summary, environment), "", *_next(summary)]
    )


def _table(metrics: Mapping[str, Metrics | None]) -> list[str]:
    models = {model: values for model, values in metrics.items() if values}
    names = list(dict.fromkeys(name for values in models.values() for name in values))
    width = max(map(len, names), default=0)
    header = f"  {'':<{width}}" + "".join(f"{model:>12}" for model in models)
    return [header, *(f"  {name:<{width}}" + "".join(_cell(values, name) for values in models.values()) for name in names)]


def _cell(values: Metrics, name: str) -> str:
    if name not in values:
        return f"{'-':>12}"
    return f"{values[name]:>12.0f}" if name == "example_count" else f"{values[name]:>12.4f}"


def _verdict(summary: Summary) -> list[str]:
    reasons = [f"    {reason}" for reason in summary.decision.reasons]
    if summary.pushed is None:
        return ["  REFUSED: the federated model does not go live; what is served is untouched.", *reasons]
    how = "pushed as" if summary.pushed["new"] else "already served as"
    return [f"  BLESSED: the federated model is {how} version {summary.pushed['version']}.", *reasons]


def _places(summary: Summary, environment: Environment) -> list[str]:
    split = [f"  {'split':<12} {summary.split}; picture in {shown(str(summary.paths['partition']))}"] if summary.split else []
    places = {
        "model": summary.pushed["path"] if summary.pushed else None,
        "served from": environment.serving_root,
        "metadata": summary.paths["metadata"],
        "log": summary.paths["log"],
        "TensorBoard": summary.paths["tensorboard"],
    }
    return [*split, *(f"  {name:<12} {shown(place)}" for name, place in places.items() if place)]


def _next(summary: Summary) -> list[str]:
    if summary.pushed is None:
        logs = shown(str(summary.paths["tensorboard"]))
        return ["  Next: look at the rounds with", f"    {_command('tensorboard', '--logdir', logs)}"]
    model = shown(summary.pushed["path"])
    return [
        "  Next: see what the served model answers to with",
        f"    {_command('saved_model_cli', 'show', '--dir', model, '--all')}",
    ]


def _command(script: str, *arguments: str) -> str:
    """A line to type: a script that lies beside the Python that runs us, which need not be on the PATH."""
    return shlex.join([shown(os.path.join(os.path.dirname(sys.executable), script)), *arguments])
