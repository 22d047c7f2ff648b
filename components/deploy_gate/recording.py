"""Writes a decision down: its files, the facts in ML Metadata, and the blessing that is bound to it."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from tfx import types
from tfx.components.evaluator import constants

from components import properties
from components.deploy_gate import page
from components.deploy_gate.decision import DECISION_FILE, Decision
from components.deploy_gate.observers import FAILED, SKIPPED
from lineage.digests import tree_digest

# Custom properties of the ModelBlessing beyond the stock Evaluator's.
DECISION_URI = "decision_uri"  # string: directory of the GateDecision
DECISION_DIGEST = "decision_digest"  # string: hex sha256 of its decision.json
# Custom properties of GateDecision and PushedModel: force, hold or empty, and who, why and until when.
OVERRIDE, OVERRIDE_BY, OVERRIDE_REASON, OVERRIDE_UNTIL = "override", "override_by", "override_reason", "override_until"


def write_decision(decision: Decision, recorded: types.Artifact, picture: str | None = None) -> str:
    """Fills a GateDecision.

    Args:
      decision: what was decided.
      recorded: the artifact, whose directory may not exist yet.
      picture: of the clients, for the page; see `picture.safe`.

    Returns:
      The hex sha256 of decision.json.
    """
    folder = Path(recorded.uri)
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps(decision.as_json(), indent=2, allow_nan=False).encode() + b"\n"
    (folder / DECISION_FILE).write_bytes(content)
    (folder / "decision.html").write_text(page.as_html(decision, picture), encoding="utf-8")
    (folder / "decision.md").write_text(page.as_markdown(decision), encoding="utf-8")
    properties.put(recorded, _facts(decision))
    recorded.set_string_custom_property("digest", tree_digest(recorded.uri))
    return hashlib.sha256(content).hexdigest()


def write_blessing(
    decision: Decision,
    blessing: types.Artifact,
    *,
    model: types.Artifact,
    served: types.Artifact | None,
    recorded: types.Artifact,
    decision_digest: str,
    component_id: str = "",
) -> None:
    """Fills a ModelBlessing as the stock Evaluator does, and binds it to the decision.

    Args:
      decision: what was decided.
      blessing: the artifact, whose directory may not exist yet.
      model: the Model that was decided on.
      served: the Model that it was compared with, if any.
      recorded: the GateDecision, already written.
      decision_digest: what `write_decision` returned.
      component_id: id of the gate's node, if it is known.
    """
    file = constants.BLESSED_FILE_NAME if decision.blessed else constants.NOT_BLESSED_FILE_NAME
    os.makedirs(blessing.uri, exist_ok=True)
    Path(blessing.uri, file).write_text(decision_digest, encoding="ascii")
    facts: dict[str, Any] = {
        constants.ARTIFACT_PROPERTY_BLESSED_KEY: int(decision.blessed),
        constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY: model.uri,
        constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY: model.id,
        DECISION_URI: recorded.uri,
        DECISION_DIGEST: decision_digest,
    }
    if served is not None:
        facts[constants.ARTIFACT_PROPERTY_BASELINE_MODEL_URI_KEY] = served.uri
        facts[constants.ARTIFACT_PROPERTY_BASELINE_MODEL_ID_KEY] = served.id
    if component_id:
        facts["component_id"] = component_id
    properties.put(blessing, facts)
    blessing.set_string_custom_property("digest", tree_digest(blessing.uri))


def override_facts(override: Any) -> dict[str, str]:
    """Returns the four custom properties of decision.json's override, empty where there is none."""
    said = override or {}
    keys = {OVERRIDE: "action", OVERRIDE_BY: "by", OVERRIDE_REASON: "reason", OVERRIDE_UNTIL: "expires"}
    return {name: str(said.get(key, "")) for name, key in keys.items()}


def _facts(decision: Decision) -> dict[str, Any]:
    failed = decision.with_verdict(FAILED)
    return {
        "blessed": int(decision.blessed),
        "passed": int(decision.passed),
        "checks": len(decision.checks),
        "failed": len(failed),
        "skipped": len(decision.with_verdict(SKIPPED)),
        "failed_checks": ", ".join(check.id for check in failed),
        "model_id": decision.model["id"],
        "model_digest": decision.model["digest"],
        **override_facts(decision.override),
    }
