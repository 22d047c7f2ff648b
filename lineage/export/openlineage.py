"""OpenLineage run events, one a line: what https://openlineage.io/spec/2-0-2/OpenLineage.json describes.

A node is a job, its pipeline the job's namespace, an execution a run of the job, and an artifact a dataset. Every execution has
a START and, once it ended, a COMPLETE, FAIL or ABORT. A dataset is an output of the execution that made it and of no other: one
that was cached is a run of a job of its own, NODE.cached, which reads what it took; so the job NODE keeps what it really reads
and writes. Datasets that nothing in the scope made have a DatasetEvent. Our own facets are described in
docs/reference/openlineage-facets.schema.json.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from lineage.export.parameters import portable, shown
from lineage.export.plain_json import properties, timestamp
from lineage.export.scope import MADE, READ, TAKEN, Scope
from lineage.graph import (
    CACHED,
    CANCELED,
    COMPLETE,
    FAILED,
    GATE_DECISION,
    MODEL,
    MODEL_BLESSING,
    PUSHED_MODEL,
    Artifact,
    Execution,
)

PRODUCER = "urn:fedtfx:lineage:v1"
FACETS = "urn:fedtfx:openlineage:v1"
_IN_URIS = ":/?#[]@!$&'()*+,;=%~"
_SPEC = "https://openlineage.io/spec"
_EVENT = f"{_SPEC}/2-0-2/OpenLineage.json#/$defs"
_ENDS = {COMPLETE: "COMPLETE", CACHED: "COMPLETE", FAILED: "FAIL", CANCELED: "ABORT"}
# Which facet what is recorded of an artifact stands in; of all others it is in `fedtfx_facts`.
_FACTS = {
    MODEL: "fedtfx_training",
    GATE_DECISION: "fedtfx_gate",
    MODEL_BLESSING: "fedtfx_gate",
    PUSHED_MODEL: "fedtfx_push",
}


def export(scope: Scope) -> str:
    """Returns the events as NDJSON, in the order of their times."""
    return "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events(scope))


def events(scope: Scope) -> list[dict[str, Any]]:
    """Returns the events in the order of their times."""
    found = [*_found_events(scope), *_run_events(scope)]
    return sorted(found, key=lambda event: str(event["eventTime"]))  # stable: a START stays before what ends it


def _found_events(scope: Scope) -> Iterator[dict[str, Any]]:
    made = {use.artifact for _, use in scope.uses(MADE)}
    for number, artifact in sorted(scope.graph.artifacts.items()):
        if number not in made:
            yield {
                "eventTime": timestamp(artifact.created),
                "producer": PRODUCER,
                "schemaURL": f"{_EVENT}/DatasetEvent",
                "dataset": _described(scope, artifact),
            }


def _run_events(scope: Scope) -> Iterator[dict[str, Any]]:
    sides: dict[int, dict[str, list[Artifact]]] = {}
    for role, use in scope.uses(READ, TAKEN, MADE):
        side = sides.setdefault(use.execution, {}).setdefault(role, [])
        if scope.graph.artifacts[use.artifact] not in side:  # a node may take one in under two keys
            side.append(scope.graph.artifacts[use.artifact])
    for execution in scope.executions():
        yield from _events_of(scope, execution, sides.get(execution.id, {}))


def _events_of(scope: Scope, execution: Execution, sides: dict[str, list[Artifact]]) -> Iterator[dict[str, Any]]:
    inputs = [_named(artifact) for artifact in [*sides.get(READ, ()), *sides.get(TAKEN, ())]]
    event = {"schemaURL": f"{_EVENT}/RunEvent", "producer": PRODUCER, "job": _job(execution), "run": _run(scope, execution)}
    start = {"eventType": "START", "eventTime": timestamp(execution.created)}
    yield {**start, **event, "inputs": inputs, "outputs": []}
    if execution.state in _ENDS:
        end = {"eventType": _ENDS[execution.state], "eventTime": timestamp(max(execution.created, execution.updated))}
        yield {**end, **event, "inputs": inputs, "outputs": [_described(scope, artifact) for artifact in sides.get(MADE, ())]}


def _job(execution: Execution) -> dict[str, Any]:
    node = execution.node or execution.type
    kind = {"processingType": "BATCH", "integration": "FEDTFX", "jobType": "TASK"}
    return {
        "namespace": _namespace(execution),
        "name": f"{node}.cached" if execution.state == CACHED else node,
        "facets": {"jobType": {**_standard("2-0-3", "JobTypeJobFacet"), **kind}},
    }


def _namespace(execution: Execution) -> str:
    return execution.pipeline or "fedtfx"


def _run(scope: Scope, execution: Execution) -> dict[str, Any]:
    facets: dict[str, Any] = {
        "fedtfx_execution": {
            **_own("ExecutionRunFacet"),
            "id": execution.id,
            "type": execution.type,
            "state": execution.state,
            "parameters": shown(execution),
        }
    }
    if execution.run:
        facets["parent"] = {
            **_standard("1-1-0", "ParentRunFacet"),
            "job": {"namespace": _namespace(execution), "name": _namespace(execution)},
            "run": {"runId": str(scope.run_uuid(execution.run))},
        }
        facets["fedtfx_execution"]["run"] = execution.run
    return {"runId": str(scope.execution_uuid(execution.id)), "facets": facets}


def _named(artifact: Artifact) -> dict[str, Any]:
    uri = str(portable(artifact.uri))
    namespace, name = _place(uri, artifact)
    facets: dict[str, Any] = {"dataSource": {**_standard("1-0-1", "DatasourceDatasetFacet"), "name": namespace}}
    if uri.startswith("/") or "://" in uri:
        facets["dataSource"]["uri"] = PurePosixPath(uri).as_uri() if uri.startswith("/") else quote(uri, safe=_IN_URIS)
    if artifact.digest:
        facets["version"] = {**_standard("1-0-1", "DatasetVersionDatasetFacet"), "datasetVersion": artifact.digest}
    return {"namespace": namespace, "name": name, "facets": facets}


def _place(uri: str, artifact: Artifact) -> tuple[str, str]:
    """Namespace and name by OpenLineage's naming rules: `file` and the path, or `gs://bucket` and the key."""
    scheme, found, rest = uri.partition("://")
    if not found or scheme == "file":
        return "file", (rest if found else uri) or f"artifact-{artifact.id}"
    bucket, _, key = rest.partition("/")
    return f"{scheme}://{bucket}", key or "/"


def _described(scope: Scope, artifact: Artifact) -> dict[str, Any]:
    dataset = _named(artifact)
    about = {"id": artifact.id, "type": artifact.type, "state": artifact.state, "digest": artifact.digest}
    if artifact.id in scope.live:
        about["live"] = scope.live[artifact.id]
    dataset["facets"]["fedtfx_artifact"] = {**_own("ArtifactDatasetFacet"), **about}
    facts = properties(artifact)
    if facts:
        dataset["facets"][_FACTS.get(artifact.type, "fedtfx_facts")] = {**_own("FactsDatasetFacet"), "facts": facts}
    return dataset


def _standard(version: str, name: str) -> dict[str, str]:
    return {"_producer": PRODUCER, "_schemaURL": f"{_SPEC}/facets/{version}/{name}.json#/$defs/{name}"}


def _own(name: str) -> dict[str, str]:
    return {"_producer": PRODUCER, "_schemaURL": f"{FACETS}#/$defs/{name}"}
