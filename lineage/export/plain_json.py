"""The graph itself as one JSON object; its keys are documented in docs/how-to/export-lineage.md."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from lineage.export.parameters import portable, shown
from lineage.export.scope import Scope
from lineage.graph import Artifact, Execution, Run, Use, Value

FORMAT, VERSION = "fedtfx-lineage", 1
"""The version goes up when a key goes away or means something else; more keys may come in the same version."""


def export(scope: Scope) -> str:
    """Returns the text of an object with artifacts, executions, runs, all by id, and uses."""
    graph = scope.graph
    content = {
        "format": FORMAT,
        "version": VERSION,
        "store": str(scope.store),
        "runs": [_run(run) for run in sorted(graph.runs.values(), key=lambda run: run.id)],
        "executions": [_execution(execution) for execution in scope.executions()],
        "artifacts": [_artifact(scope, artifact) for _, artifact in sorted(graph.artifacts.items())],
        "uses": [_use(role, use) for role, use in scope.uses()],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def timestamp(time: datetime) -> str:
    """Returns a time in UTC as RFC 3339 has it, to the millisecond."""
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def properties(artifact: Artifact) -> dict[str, Value]:
    """Returns what is recorded of an artifact, by name, without the credentials of addresses."""
    return {name: portable(value) for name, value in sorted(artifact.properties.items())}


def _artifact(scope: Scope, artifact: Artifact) -> dict[str, Any]:
    return {
        "id": artifact.id,
        "type": artifact.type,
        "uri": portable(artifact.uri),
        "name": artifact.name,
        "state": artifact.state,
        "digest": artifact.digest,
        "live": scope.live.get(artifact.id),
        "pushed_by": scope.pushed_by.get(artifact.id),
        "created": timestamp(artifact.created),
        "properties": properties(artifact),
    }


def _execution(execution: Execution) -> dict[str, Any]:
    return {
        "id": execution.id,
        "type": execution.type,
        "node": execution.node,
        "pipeline": execution.pipeline,
        "run": execution.run,
        "state": execution.state,
        "created": timestamp(execution.created),
        "updated": timestamp(execution.updated),
        "parameters": shown(execution),
    }


def _run(run: Run) -> dict[str, Any]:
    facts = {name: portable(value) for name, value in sorted(run.facts.items())}
    return {"id": run.id, "name": run.name, "pipeline": run.pipeline, "created": timestamp(run.created), "facts": facts}


def _use(role: str, use: Use) -> dict[str, Any]:
    return {
        "execution": use.execution,
        "artifact": use.artifact,
        "key": use.key,
        "index": use.index,
        "output": use.output,
        "role": role,
        "time": timestamp(use.time),
    }
