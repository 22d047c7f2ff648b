"""Decisions held against what they are bound to: the blessing, its file, the model, the push, and the log of runs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lineage.graph import GATE_DECISION, MODEL_BLESSING, PUSHED_MODEL, Artifact
from lineage.verify.hashing import Hashes
from lineage.verify.report import ALTERED, DECISION, UNPROVEN, VERIFIED, Finding
from lineage.verify.run_log import RunLog
from lineage.verify.scope import Scope

_FILE = "decision.json"
_REMEDY = "run again with --from DeployGate, and do not trust what was let through by it"


def decisions(hashes: Hashes, log: RunLog, scope: Scope) -> Iterator[Finding]:
    """Yields a finding per decision about the models whose directory is there; if not, `files` says so."""
    about = scope.models
    for decision in scope.of_type(GATE_DECISION):
        if decision.model_id in about and os.path.isdir(decision.uri):
            yield _checked(decision, hashes, log, scope)
    for push in scope.of_type(PUSHED_MODEL):
        if push.properties.get("pushed") == 1 and push.model_id in about:
            yield from _behind(push, log, scope)


def _checked(decision: Artifact, hashes: Hashes, log: RunLog, scope: Scope) -> Finding:
    path = Path(decision.uri, _FILE)
    subject = f"decision {decision.id} about model {decision.properties.get('model_id')}"
    try:
        digest = hashes.file(path)
        said = json.loads(path.read_text(encoding="utf-8"))
        problem = _problem(decision, said, digest, log, scope)
    except RecursionError:
        problem = ("a decision that can be read", "JSON that is nested too deeply")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = ("a decision that can be read", " ".join(str(error).split()) or type(error).__name__)
    if problem:
        return Finding(DECISION, subject, ALTERED, *problem, _REMEDY, str(path))
    if digest not in log.decisions:
        remedy = "it was made before there was a log: run the pipeline again to have a decision on record"
        return Finding(DECISION, subject, UNPROVEN, "the decision in the log of runs", "none", remedy, str(path))
    return Finding(DECISION, subject, VERIFIED, got=digest[:12], path=str(path))


def _problem(decision: Artifact, said: Mapping[str, Any], digest: str, log: RunLog, scope: Scope) -> tuple[str, str] | None:
    """The first that does not hold: what was expected, and what was there."""
    model = scope.graph.artifacts.get(decision.model_id or 0)
    blessings = [one for one in scope.of_type(MODEL_BLESSING) if one.properties.get("decision_uri") == decision.uri]
    facts = {
        f"blessed {bool(decision.properties.get('blessed'))}": f"blessed {said['blessed']}",
        f"model {decision.properties.get('model_id')}": f"model {said['model']['id']}",
        f"model's digest {str(decision.properties.get('model_digest'))[:12]}": f"model's digest {said['model']['digest'][:12]}",
    }
    if model is not None:
        facts[f"digest {model.digest[:12]} of the model"] = f"digest {said['model']['digest'][:12]} of the model"
    for blessing in blessings:
        facts |= _of_blessing(blessing, said, digest)
    for logged in log.decisions.get(digest, ()):
        facts[f"blessed {bool(logged['blessed'])} in the log"] = f"blessed {said['blessed']} in the log"
    if not blessings:
        facts["a blessing that is bound to it"] = "none"
    return next(((expected, got) for expected, got in facts.items() if expected != got), None)


def _of_blessing(blessing: Artifact, said: Mapping[str, Any], digest: str) -> dict[str, str]:
    file = Path(blessing.uri, "BLESSED" if said["blessed"] else "NOT_BLESSED")
    name, properties = f"blessing {blessing.id}", blessing.properties
    facts = {
        f"{name} with {str(properties.get('decision_digest'))[:12]}": f"{name} with {digest[:12]}",
        f"{name} says {properties.get('blessed')}": f"{name} says {int(said['blessed'])}",
    }
    if os.path.isdir(blessing.uri):
        written = file.read_text(encoding="ascii") if file.is_file() else "no such file"
        facts[f"{file.name} with {digest[:12]}"] = f"{file.name} with {written[:12]}"
    return facts


def _behind(push: Artifact, log: RunLog, scope: Scope) -> Iterator[Finding]:
    """The decision that a push rests on, by its digest: it is in the log even when its directory is gone."""
    digest = str(push.properties.get("decision_digest", ""))
    subject = f"push {push.id} of model {push.properties.get('model_id')}, the decision behind it"
    logged = [one for one in log.decisions.get(digest, ()) if one["model_id"] == push.model_id]
    same = [
        one
        for one in scope.graph.of_type(GATE_DECISION)
        if one.uri == push.properties.get("decision_uri") and bool(one.properties.get("blessed"))
    ]
    expected = f"a decision {digest[:12]} that says blessed"
    if any(one["blessed"] for one in logged) and same:
        yield Finding(DECISION, subject, VERIFIED, expected, digest[:12])
    elif not digest:
        yield Finding(DECISION, subject, UNPROVEN, "a decision behind it", "none on record", _REMEDY)
    elif logged or not same or log.decisions:
        yield Finding(DECISION, subject, ALTERED, expected, "none in the log of runs" if not logged else "a refusal", _REMEDY)
    else:
        yield Finding(DECISION, subject, UNPROVEN, expected, "no decision in the log of runs", _REMEDY)
