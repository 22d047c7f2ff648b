"""sha256 of what ML Metadata says of an artifact, an execution or a run, so that a later edit of any of it is found.

Each is taken of JSON with sorted keys and no spaces, in UTF-8, of what is listed below; a value stands with its kind, so that
1, 1.0 and "1" differ. What changes by itself or for a good reason is left out: times of the last update, and the state of an
artifact, which tells whether its directory was removed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

ANCHOR = "audit_digest"
"""Custom property of a run's context: digest of the line of the audit log with which the run ended; written after that line."""


def artifact_fingerprint(artifact: Any) -> str:
    """Returns the fingerprint of an ml_metadata Artifact: id, type, uri, name, both kinds of properties, time of creation."""
    return _digest(
        {
            "id": artifact.id,
            "type": artifact.type,
            "uri": artifact.uri,
            "name": artifact.name,
            "created": artifact.create_time_since_epoch,
            **_properties(artifact),
        }
    )


def execution_fingerprint(execution: Any, events: Iterable[Any]) -> str:
    """Returns the fingerprint of an ml_metadata Execution (id, type, name, state, properties, creation) with its events.

    Args:
      execution: the execution.
      events: all of its events; of each the artifact, its path, its kind and its time count.
    """
    return _digest(
        {
            "id": execution.id,
            "type": execution.type,
            "name": execution.name,
            "state": execution.last_known_state,
            "created": execution.create_time_since_epoch,
            "events": sorted(_event(event) for event in events),
            **_properties(execution),
        }
    )


def context_fingerprint(context: Any) -> str:
    """Returns the fingerprint of an ml_metadata Context: id, type, name, properties but for `ANCHOR`, time of creation."""
    return _digest(
        {
            "id": context.id,
            "type": context.type,
            "name": context.name,
            "created": context.create_time_since_epoch,
            **_properties(context, but_for=ANCHOR),
        }
    )


def filing_fingerprint(contexts: Iterable[Any]) -> str:
    """Returns the fingerprint of the ml_metadata Contexts that an execution is filed under: types and names.

    Those are its pipeline, run and node, and the one by which TFX finds it for its cache.
    """
    return _digest(sorted([context.type, context.name] for context in contexts))


def _properties(one: Any, but_for: str = "") -> dict[str, dict[str, list[str]]]:
    return {"properties": _values(one.properties, but_for), "custom_properties": _values(one.custom_properties, but_for)}


def _values(properties: Mapping[str, Any], but_for: str) -> dict[str, list[str]]:
    return {name: _value(value) for name, value in properties.items() if name != but_for}


def _value(value: Any) -> list[str]:
    kind = value.WhichOneof("value") or ""
    if kind in ("struct_value", "proto_value"):
        return [kind, getattr(value, kind).SerializeToString(deterministic=True).hex()]
    return [kind, repr(getattr(value, kind)) if kind else ""]


def _event(event: Any) -> list[Any]:
    path = [_step(step) for step in event.path.steps]
    return [event.artifact_id, path, event.type, event.milliseconds_since_epoch]


def _step(step: Any) -> list[str]:
    kind = step.WhichOneof("value") or ""
    return [kind, str(getattr(step, kind)) if kind else ""]


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
