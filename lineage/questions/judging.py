"""What was found and decided about a model, and its pushes, read from a part of ML Metadata and the findings' files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lineage.digests import regular_file
from lineage.graph import (
    COMPLETE,
    GATE_DECISION,
    MODEL_BLESSING,
    PUSHED_MODEL,
    RUN_REPORT,
    Artifact,
    Graph,
    Value,
    whole,
)
from lineage.questions import decisions, served
from lineage.questions.facts import (
    ALTERED,
    AS_PUBLISHED,
    GONE,
    UNPROVEN,
    UNREAD,
    Decided,
    Evaluation,
    Judgement,
    Push,
    local,
    thing,
)
from lineage.questions.served import Version

SCORES = "components.PairedScores"
FINDINGS = (RUN_REPORT, SCORES, "components.ClientMetrics", "components.ServingReport", "ModelEvaluation", "InfraBlessing")
KINDS = (GATE_DECISION, MODEL_BLESSING, PUSHED_MODEL, *FINDINGS)
_Reader = Callable[[Mapping[str, Any]], tuple[int | None, dict[str, dict[str, float]]]]
_OF_TRAINING = ("heldout_", "train_")


def pushes(graph: Graph, model: Artifact, version: Version | None) -> tuple[Push, ...]:
    """Returns the pushes of a version, or of a model that is in none, oldest first."""
    known = {one.id for one in version.pushes} if version else set()
    found = [one for one in _about(graph, model, PUSHED_MODEL) if one.properties.get("pushed") == 1]
    return tuple(_push(graph, one) for one in found if not known or one.id in known)


def pushed_live(graph: Graph, pushed: Sequence[Push]) -> Push | None:
    """Returns the push by which a version is live; see `decisions.pushed_live`."""
    record = decisions.pushed_live([graph.artifacts[one.record.id] for one in pushed])
    return next((one for one in pushed if record is not None and one.record.id == record.id), None)


def decision(graph: Graph, model: Artifact, pushed: Push | None, run: str) -> tuple[Decided | None, tuple[Judgement, ...]]:
    """Returns what a run decided, or by what a model was pushed, or else the newest decision; and all others about it.

    Args:
      graph: that holds all decisions about the model.
      model: the Model.
      pushed: its push, if it was pushed.
      run: whose decision counts if it made one; may be empty.
    """
    found = _about(graph, model, GATE_DECISION)
    found = found or [one for one in _about(graph, model, MODEL_BLESSING) if "blessed" in one.properties]
    of_run = [one for one in found if run and (maker := graph.producer(one.id)) is not None and maker.run == run]
    told = of_run[-1] if of_run else decisions.deciding(found, graph.artifacts[pushed.record.id] if pushed else None)
    if told is None:
        return None, ()
    by_gate = told.type == GATE_DECISION
    decided = _decided(graph, told, _blessing_of(graph, model, told)) if by_gate else _blessed(graph, told)
    return decided, decisions.others(graph, found, told)


def evaluations(graph: Graph, model: Artifact) -> tuple[Evaluation, ...]:
    """Returns the findings about a model: of a kind the newest first, and those that tell numbers before all others."""
    found = [evaluation(graph, one) for kind in FINDINGS for one in reversed(_about(graph, model, kind))]
    return tuple(sorted((*found, *_of_training(graph, model)), key=lambda one: not one.metrics))


def evaluation(graph: Graph, finding: Artifact) -> Evaluation:
    """Returns what a finding tells."""
    read = _READ.get(finding.type)
    content, file = _content(finding, read[0]) if read else (None, UNREAD)
    examples, metrics = _read(read[1], content) if read and content else (None, {})
    compared = finding.properties.get("served_id") or None
    return Evaluation(thing(finding, graph.producer(finding.id)), whole(compared), examples, metrics, file)


def _read(read: _Reader, content: Any) -> tuple[int | None, dict[str, dict[str, float]]]:
    try:
        return read(content)
    except (ValueError, KeyError, TypeError, AttributeError):  # of another release
        return None, {}


def numbers(finding: Artifact) -> dict[str, dict[str, float]]:
    """Returns model -> metric -> mean, as a finding's file has them now; its bytes are not looked at further, for lists."""
    folder, read = local(finding.uri), _READ.get(finding.type)
    try:
        return _read(read[1], json.loads(_bytes_of(folder, read[0])))[1] if folder and read else {}
    except (OSError, ValueError, RecursionError):
        return {}


def trained_numbers(model: Artifact) -> dict[str, float]:
    """Returns what the trainer itself measured of a model, held-out examples first."""
    said = {name: value for name, value in sorted(model.properties.items()) if name.startswith(_OF_TRAINING)}
    return {name: float(value) for name, value in said.items() if isinstance(value, (int, float))}


def _of_training(graph: Graph, model: Artifact) -> list[Evaluation]:
    """What the trainer itself measured: it stays when all files are gone."""
    found, maker = trained_numbers(model), graph.producer(model.id)
    return [Evaluation(thing(model, maker), None, None, {"training": found}, UNREAD)] if found else []


def _of_report(content: Mapping[str, Any]) -> tuple[int | None, dict[str, dict[str, float]]]:
    metrics: dict[str, dict[str, float]] = {}
    told = content["metrics"]
    for row in told.get("rows", ()):
        for model, measured in row["models"].items():
            if measured["value"] is not None:
                metrics.setdefault(model, {})[row["metric"]] = float(measured["value"])
    return told.get("examples"), metrics


def _of_scores(content: Mapping[str, Any]) -> tuple[int | None, dict[str, dict[str, float]]]:
    order = content.get("metrics", [])
    means = content.get("means", {})
    return content.get("examples"), {
        model: {name: float(values[name]) for name in (*order, *values) if values.get(name) is not None}
        for model, values in means.items()
    }


_READ: Mapping[str, tuple[str, _Reader]] = {
    RUN_REPORT: ("facts.json", _of_report),
    SCORES: ("summary.json", _of_scores),
}
"""Type of a finding -> the file with its numbers, and what reads it: examples and model -> metric -> mean."""


def _content(artifact: Artifact, name: str) -> tuple[Any, str]:
    """A JSON file of an artifact, and whether the artifact's files are those that were published; altered ones tell nothing."""
    folder = local(artifact.uri)
    if folder is None:
        return None, UNPROVEN
    try:
        text = _bytes_of(folder, name)
        got = served.digest_of(folder)
    except OSError:
        return None, GONE
    except ValueError:  # a link, or a pipe
        return None, ALTERED
    if artifact.digest and got != artifact.digest:
        return None, ALTERED
    try:
        content = json.loads(text)
        return (content, AS_PUBLISHED if artifact.digest else UNPROVEN) if isinstance(content, dict) else (None, ALTERED)
    except (ValueError, RecursionError):
        return None, ALTERED


def _about(graph: Graph, model: Artifact, kind: str) -> list[Artifact]:
    """Artifacts of a type that complete executions made which took the model in as `model`, oldest first."""
    found: dict[int, Artifact] = {}
    for one in graph.of_type(kind):
        about = one.model_id
        maker = graph.producer(one.id)
        taken = graph.inputs(maker.id).get("model", []) if maker and maker.state == COMPLETE else []
        if about == model.id or (about is None and model.id in [artifact.id for artifact in taken]):
            found[one.id] = one
    return [found[key] for key in sorted(found)]


def _push(graph: Graph, pushed: Artifact) -> Push:
    said = pushed.properties
    place = served.place(pushed)
    return Push(
        record=thing(pushed, graph.producer(pushed.id)),
        version=str(said.get("pushed_version") or (place[1] if place else "")),
        destination=str(said.get("pushed_destination", "")),
        digest=pushed.digest,
        copied=said.get("already_served") != 1,
        live=None if "live" not in said else said["live"] == 1,
        held_at=str(said.get("held_at", "")),
        audit_digest=str(said.get("audit_digest", "")),
        **{name: str(said.get(name, "")) for name in ("override", "override_by", "override_reason", "override_until")},
    )


def _blessing_of(graph: Graph, model: Artifact, decided: Artifact) -> Artifact | None:
    blessings = _about(graph, model, MODEL_BLESSING)
    return next((one for one in blessings if one.properties.get("decision_uri") == decided.uri), None)


def _decided(graph: Graph, decided: Artifact, blessing: Artifact | None) -> Decided:
    said = decided.properties
    content, file = _decision_file(decided, str(blessing.properties.get("decision_digest", "")) if blessing else "")
    recorded = Decided(
        record=thing(decided, graph.producer(decided.id)),
        blessed=_bool(said.get("blessed")),
        passed=_bool(said.get("passed")),
        decided_at=thing(decided, None).created,
        failed_checks=tuple(filter(None, str(said.get("failed_checks", "")).split(", "))),
        override=_override(said),
        file=file,
    )
    return _with_checks(recorded, content) if content else recorded


def _decision_file(decided: Artifact, expected: str) -> tuple[Mapping[str, Any] | None, str]:
    """decision.json, if it is what the blessing is bound to."""
    folder = local(decided.uri)
    try:
        text = _bytes_of(folder, "decision.json") if folder else b""
    except OSError:
        return None, GONE
    except ValueError:  # a link, or a pipe
        return None, ALTERED
    if not text:
        return None, UNPROVEN
    if expected and hashlib.sha256(text).hexdigest() != expected:
        return None, ALTERED
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None, ALTERED
    return (content, AS_PUBLISHED if expected else UNPROVEN) if isinstance(content, dict) else (None, ALTERED)


def _bytes_of(folder: str, name: str) -> bytes:
    with regular_file(Path(folder, name)) as file:
        return file.read()


def _with_checks(recorded: Decided, content: Mapping[str, Any]) -> Decided:
    checks = tuple(content.get("checks", ()))
    deciding = "passed" if content.get("blessed") else "failed"
    told = [check for check in checks if check["verdict"] == deciding and (check["forceable"] or deciding == "failed")]
    facts = {
        "blessed": bool(content.get("blessed")),
        "passed": bool(content.get("passed")),
        "decided_at": str(content.get("decided_at", recorded.decided_at)),
        "checks": checks,
        "failed_checks": tuple(check["id"] for check in checks if check["verdict"] == "failed"),
        "reasons": tuple(f"{check['what']}: {check['observed']}; required: {check['required']}" for check in told),
        "override": content.get("override"),
        "approvals": tuple(content.get("approvals", ())),
        "served": content.get("served"),
    }
    return Decided(**{**vars(recorded), **facts})


def _blessed(graph: Graph, blessing: Artifact) -> Decided:
    """A stock Evaluator's: it says yes or no, and that is all."""
    recorded = thing(blessing, graph.producer(blessing.id))
    blessed = _bool(blessing.properties.get("blessed"))
    return Decided(recorded, blessed, blessed, recorded.created, file=UNPROVEN)


def _override(said: Mapping[str, Value]) -> dict[str, Any] | None:
    keys = {"action": "override", "by": "override_by", "reason": "override_reason", "expires": "override_until"}
    return {key: str(said.get(name, "")) for key, name in keys.items()} if said.get("override") else None


def _bool(value: Value | None) -> bool | None:
    return None if value is None else value == 1
