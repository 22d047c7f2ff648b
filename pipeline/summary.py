"""What came of a run, read from ML Metadata and the artifacts: for people as text, for machines as JSON."""

from __future__ import annotations

import itertools
import json
import logging
import math
import os
import shlex
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from components.federated_trainer.privacy.accounting import NOT_COVERED
from components.run_report.writing import HTML_FILE
from pipeline import decision as decisions
from pipeline.config import PipelineConfig
from pipeline.decision import Decision
from pipeline.environment import Environment
from pipeline.execution import NodeResult, executions_of_run
from pipeline.metrics import Metrics, metrics_of
from pipeline.places import shown

logger = logging.getLogger(__name__)
_WIDTHS = (8, 46, 32, 24)
"""Of the columns of the table of checks, at most."""
_MODELS = {"federated": "federated", "centralised": "centralised", "warm_start": "warm-started federated"}


@dataclass(frozen=True)
class Summary:
    """The result of a run, finished or not.

    Attributes:
      run_id: the run's name in ML Metadata; None if there was none.
      decision: the gate's.
      pushed: version, path, whether it is new, whether it is live, and the version that is live instead if the model is held
        there; None when the model was not pushed. A run that fails later keeps it.
      metrics: overall metrics of the models `federated`, `baseline` and `served`; None for one that does not exist. In mode
        centralised the model under test is `baseline`.
      nodes: a result per node.
      paths: root, metadata, log, tensorboard, report, partition (the picture of the split), decision (the gate's page).
      split: how the examples are divided, in a line; None when that is not known, or they are not.
      mode: the config's train.mode.
      privacy: what differential privacy promises of the model, as its properties have it; None without.
      training: of a federated one: rounds, how many were planned, which weights are exported (last, best or average), and of
        which round; None without.
    """

    run_id: str | None
    decision: Decision
    pushed: Mapping[str, Any] | None
    metrics: Mapping[str, Metrics | None]
    nodes: Sequence[NodeResult]
    paths: Mapping[str, str | None]
    split: str | None = None
    mode: str = "federated"
    privacy: Mapping[str, Any] | None = None
    training: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """Returns the documented layout of `--json`."""
        return {
            "run_id": self.run_id,
            "decision": self.decision.as_json(),
            "pushed": dict(self.pushed) if self.pushed else None,
            "metrics": {model: _jsonable(values) if values else None for model, values in self.metrics.items()},
            "privacy": {**_jsonable(self.privacy), "not_covered": NOT_COVERED} if self.privacy else None,
            "training": dict(self.training) if self.training else None,
            "nodes": [{"id": node.id, "state": node.state, "seconds": round(node.seconds, 3)} for node in self.nodes],
            "paths": dict(self.paths),
        }


def _jsonable(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no NaN and no infinity; they become null."""
    return {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in values.items()}


def unfinished(environment: Environment, run_id: str, nodes: Sequence[NodeResult], log: str, reason: str) -> Summary:
    """What there is to tell of a run that failed or was interrupted: why, and whether its model had gone live by then."""
    pushed = _pushed_in(environment, run_id) if nodes else None
    return Summary(
        run_id=run_id,
        decision=Decision(pushed is not None, (reason,)),
        pushed=pushed,
        metrics=dict.fromkeys(("federated", "baseline", "served")),
        nodes=tuple(nodes),
        paths={**_fixed_paths(environment, log), "tensorboard": None, "partition": None, "decision": None},
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
    candidate, federated = "federated" if config.train.federated else "baseline", config.train.federated
    evaluation = outputs["Evaluator"]["evaluation"].uri
    metrics: dict[str, Metrics | None] = {
        "federated": None,
        "baseline": metrics_of(outputs["BaselineEvaluator"]["evaluation"].uri, tfma.CANDIDATE_KEY) if federated else None,
        "served": metrics_of(evaluation, tfma.BASELINE_KEY),
        candidate: metrics_of(evaluation, tfma.CANDIDATE_KEY),
    }
    decision = decisions.read(outputs["DeployGate"]["decision"].uri)
    recorded = outputs["FederatedTrainer"]["model"].custom_properties if federated else {}
    divided = outputs["FederatedSplit"]["federated_examples"].uri if federated else None
    pushed_model = outputs["Pusher"]["pushed_model"].custom_properties
    if decision.blessed and not _pushed(pushed_model):  # something changed between decision and push
        decision = replace(decision, reasons=(pushed_model["reason"].string_value,), checks=())
    found = {
        "tensorboard": outputs["FederatedTrainer" if federated else "Trainer"]["model_run"].uri,
        "partition": os.path.join(divided, "partition.svg") if divided else None,
        "decision": decision.page,
        "report": _report(outputs),
    }
    return Summary(
        run_id=run_id,
        decision=decision,
        pushed=_pushed(pushed_model),
        metrics=metrics,
        nodes=tuple(nodes),
        paths={**_fixed_paths(environment, log), **found},
        split=split_in_a_line(divided) if divided else None,
        mode=config.train.mode,
        privacy=_privacy_of(recorded),
        training=_training_of(recorded, config.train.rounds),
    )


def _report(outputs: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The model card as a page; None in a pipeline without RunReport."""
    if "report" not in outputs.get("RunReport", {}):
        return None
    return os.path.join(outputs["RunReport"]["report"].uri, HTML_FILE)


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
        "live": "live" not in properties or properties["live"].int_value == 1,
        "held_at": properties["held_at"].string_value or None if "held_at" in properties else None,
    }


def as_text(summary: Summary, environment: Environment) -> str:
    """Returns the summary for a person: metrics side by side, the decision and why, where all of it is, what to type next."""
    named = {"baseline": "centralised"} if summary.mode == "centralised" else {}
    columns = {named.get(model, model): values for model, values in summary.metrics.items()}
    return "\n".join(
        [
            "",
            *_table(columns),
            "",
            *_verdict(summary, environment),
            "",
            *_places(summary, environment),
            "",
            *_next(summary, environment),
        ]
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


def _verdict(summary: Summary, environment: Environment) -> list[str]:
    reasons = [*_checks(summary.decision)] or [f"    {reason}" for reason in summary.decision.reasons]
    model = f"the {_MODELS[summary.mode]} model"
    if summary.pushed is None:
        return [f"  {_refusal(summary.decision, model)}", *reasons]
    if not summary.pushed["live"]:
        return [
            f"  {'FORCED' if summary.decision.override else 'BLESSED'}: {model} is {_waiting(summary, environment)}",
            *reasons,
        ]
    word = "FORCED LIVE" if summary.decision.override else "BLESSED"
    how = "pushed as" if summary.pushed["new"] else "already served as"
    return [f"  {word}: {model} is {how} version {summary.pushed['version']}.", *reasons]


def _waiting(summary: Summary, environment: Environment) -> str:
    """A push of a model that is held: what became of it, and how it goes live."""
    pushed = summary.pushed or {}
    command = shlex.join(["python", "-m", "serving", "promote", str(pushed["version"]), *_served(pushed["path"], environment)])
    at = f"at {pushed['held_at']}" if pushed["held_at"] else "at versions that are not there"
    return f"pushed as version {pushed['version']}, but held {at}: `{command}` serves it, `unpin` every newest version."


def _refusal(decision: Decision, model: str) -> str:
    """What became of a model that was not pushed; it may have been live before."""
    word = "HELD BACK" if decision.override and not decision.blessed else "REFUSED"
    if decision.live is not None:
        return f"{word}: {model} is not pushed; it was live already as version {decision.live}, and stays live."
    return f"{word}: {model} does not go live; what is served is untouched."


def _checks(decision: Decision) -> Iterator[str]:
    """A row per check, below what an override did; the failed ones first. Safeguards that held are only counted."""
    if decision.checks and decision.override:
        yield f"    {decision.reasons[0]}"
    for approval in decision.approvals:
        if not approval["applied"]:
            yield f"    not applied: {approval['action']} by {approval['by']}: {approval['note']}"
    told = [check for check in decision.checks if check["forceable"] or check["verdict"] != "passed"]
    rows = [[check[key] for key in ("verdict", "what", "observed", "required")] for check in told]
    yield from _columns([["", "", "observed", "required"], *rows] if rows else [])
    if held := len(decision.checks) - len(told):
        what = "files and findings unaltered, about this model, safe to load, finite numbers"
        yield f"    {'passed':<8} {held} safeguards: {what}"


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows of a table that is 120 characters wide at most: long cells go on below."""
    widths = [min(max(map(len, column)), most) for column, most in zip(zip(*rows, strict=True), _WIDTHS, strict=False)]
    for row in rows:
        cells = [textwrap.wrap(cell, width) or [""] for cell, width in zip(row, widths, strict=True)]
        for line in itertools.zip_longest(*cells, fillvalue=""):
            yield "    " + "  ".join(f"{part:<{width}}" for part, width in zip(line, widths, strict=True)).rstrip()


def _privacy(summary: Summary) -> list[str]:
    if summary.privacy is None:
        return []
    promised = "epsilon {epsilon:.4g}, with all trainings before it on these clients {epsilon_total:.4g} ({privacy_unit})"
    lines = textwrap.wrap(NOT_COVERED, 110)
    seeded = ["noise is seeded: it protects from nobody who knows the seed"] if summary.privacy["noise"] == "seeded" else []
    told = [promised.format(**summary.privacy), *seeded, *lines]
    return [f"  {'privacy':<12} {told[0]}", *(f"  {'':<12} {line}" for line in told[1:])]


def _privacy_of(properties: Any) -> dict[str, Any] | None:
    """The promise that FederatedTrainer recorded with a model."""
    if "epsilon" not in properties:
        return None
    numbers = {key: properties[key].double_value for key in ("epsilon", "epsilon_total", "delta", "noise_multiplier")}
    return {**numbers, **{key: properties[key].string_value for key in ("privacy_unit", "noise")}}


def _training(summary: Summary) -> list[str]:
    """A line where the model is not simply that of the last of all rounds."""
    done = summary.training
    if done is None or (done["rounds"] >= done["planned"] and done["exported"] == "last"):
        return []
    early = done["rounds"] < done["planned"]
    rounds = f"stopped early after round {done['rounds']} of {done['planned']}" if early else f"{done['rounds']} rounds"
    average = f"the moving average up to round {done['exported_round']}"
    exported = average if done["exported"] == "average" else f"round {done['exported_round']} ({done['exported']})"
    return [f"  {'training':<12} {rounds}; exported {exported}"]


def _training_of(properties: Any, planned: int | None) -> dict[str, Any] | None:
    """What FederatedTrainer recorded with a model of its rounds."""
    if "exported_round" not in properties:
        return None
    numbers = {key: properties[key].int_value for key in ("rounds", "exported_round")}
    return {**numbers, "planned": planned, "exported": properties["exported"].string_value}


def _places(summary: Summary, environment: Environment) -> list[str]:
    split = [f"  {'split':<12} {summary.split}; picture in {shown(str(summary.paths['partition']))}"] if summary.split else []
    places = {
        "model": summary.pushed["path"] if summary.pushed else None,
        "digest": _named_by_approvals(summary),
        "served from": environment.serving_root,
        "answered by": ", ".join(environment.model_servers) if summary.pushed and summary.pushed["live"] else None,
        "decision": summary.paths["decision"],
        "model card": summary.paths["report"],
        "metadata": summary.paths["metadata"],
        "log": summary.paths["log"],
        "TensorBoard": summary.paths["tensorboard"],
    }
    found = [f"  {name:<12} {place if name == 'digest' else shown(place)}" for name, place in places.items() if place]
    return [*split, *_training(summary), *_privacy(summary), *found]


def _named_by_approvals(summary: Summary) -> str | None:
    """The digest of a refused model, as much of it as an approval has to give."""
    digest = summary.decision.digest
    return f"{digest[:12]} (what an approval of this model names)" if digest and summary.pushed is None else None


def _next(summary: Summary, environment: Environment) -> list[str]:
    if summary.pushed is None:
        logs = shown(str(summary.paths["tensorboard"]))
        what = "epochs" if summary.mode == "centralised" else "rounds"
        return [
            f"  Next: open the decision in a browser, or look at the {what} with",
            f"    {_command('tensorboard', '--logdir', logs)}",
        ]
    if environment.model_servers:
        which = _served(summary.pushed["path"], environment)
        return ["  Next: see what is served with", f"    {_command('python', '-m', 'serving', 'status', *which)}"]
    root, name = os.path.split(os.path.dirname(summary.pushed["path"]))
    config = shown(os.path.join(root, "models.config"))
    return [
        f"  Next: serve it, in another window ask it (`python -m serving predict --model_name {name} --help`), with",
        f"    {_command('python', '-m', 'serving', 'serve', '--model_config_file', config)}",
    ]


def _served(path: str, environment: Environment) -> list[str]:
    """The options by which release commands know the model of a version, and the servers to wait for."""
    root, name = os.path.split(os.path.dirname(path))
    servers = [word for address in environment.model_servers for word in ("--server", address)]
    return ["--root", shown(root), "--model_name", name, *servers]


def _command(script: str, *arguments: str) -> str:
    """A line to type: a script that lies beside the Python that runs us, which need not be on the PATH."""
    return shlex.join([shown(os.path.join(os.path.dirname(sys.executable), script)), *arguments])
