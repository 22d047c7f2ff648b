"""W3C PROV as PROV-JSON (https://www.w3.org/submissions/2013/SUBM-prov-json-20130424/).

Artifacts are entities, executions activities, pipelines and users agents. A cached execution used, in the role `cached`, what
it took from the cache, and generated nothing; a failed one used what it had for inputs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from lineage.export.parameters import portable, shown
from lineage.export.plain_json import properties, timestamp
from lineage.export.scope import MADE, READ, TAKEN, Scope
from lineage.graph import UNFINISHED, Artifact, Execution, Use, Value

_OURS = "urn:fedtfx:prov:v1:"
Records = dict[str, dict[str, Any]]


def export(scope: Scope) -> str:
    """Returns a PROV-JSON document."""
    content: dict[str, Any] = {
        "prefix": {
            "fedtfx": _OURS,
            "store": f"urn:uuid:{scope.store}#",
            "prov": "http://www.w3.org/ns/prov#",
            "xsd": "http://www.w3.org/2001/XMLSchema#",
        },
        "entity": {_entity(number): _artifact(scope, one) for number, one in sorted(scope.graph.artifacts.items())},
        "activity": {_activity(one.id): _execution(one) for one in scope.executions()},
        "agent": _agents(scope),
        **_uses(scope),
        "wasDerivedFrom": _numbered("derived", _derivations(scope)),
        "wasInformedBy": _numbered("informed", _informed(scope)),
        "wasAssociatedWith": _numbered("associated", _associations(scope)),
        "wasAttributedTo": _numbered("attributed", _attributions(scope)),
    }
    return json.dumps({kind: records for kind, records in content.items() if records}, indent=1, ensure_ascii=False) + "\n"


def _artifact(scope: Scope, artifact: Artifact) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "prov:label": f"{artifact.type} {artifact.id}",
        "prov:type": _name(artifact.type),
        "prov:location": {"$": portable(artifact.uri), "type": "xsd:anyURI"},
        "fedtfx:state": artifact.state,
    }
    if artifact.id in scope.live:
        facts["fedtfx:live"] = scope.live[artifact.id]
    return {**_attributes(properties(artifact)), **facts}


def _execution(execution: Execution) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "prov:label": f"{execution.node or execution.type} {execution.id}",
        "prov:type": [_name(execution.type), _name(execution.state.capitalize())],
        "prov:startTime": timestamp(execution.created),
        "fedtfx:state": execution.state,
        "fedtfx:node": execution.node,
        "fedtfx:pipeline": execution.pipeline,
        "fedtfx:run": execution.run,
    }
    if execution.state not in UNFINISHED:
        facts["prov:endTime"] = timestamp(max(execution.created, execution.updated))
    parameters = {f"parameter-{name}": value for name, value in shown(execution).items()}
    return {**_attributes(parameters), **facts}


def _agents(scope: Scope) -> Records:
    pipelines = sorted({one.pipeline for one in scope.executions() if one.pipeline})
    agents = {_agent("pipeline", name): _who("SoftwareAgent", name) for name in pipelines}
    return agents | {_agent("user", name): _who("Person", name) for name in sorted(set(scope.pushed_by.values()))}


def _who(kind: str, name: str) -> dict[str, Any]:
    return {"prov:type": {"$": f"prov:{kind}", "type": "prov:QUALIFIED_NAME"}, "prov:label": name}


def _uses(scope: Scope) -> dict[str, Records]:
    used = ({**_use(use), "prov:role": "cached" if role == TAKEN else use.key} for role, use in scope.uses(READ, TAKEN))
    made = ({**_use(use), "prov:role": use.key} for _, use in scope.uses(MADE))
    return {"used": _numbered("used", used), "wasGeneratedBy": _numbered("generated", made)}


def _use(use: Use) -> dict[str, Any]:
    return {"prov:activity": _activity(use.execution), "prov:entity": _entity(use.artifact), "prov:time": timestamp(use.time)}


def _derivations(scope: Scope) -> Iterator[dict[str, Any]]:
    read = _read(scope)
    for _, use in scope.uses(MADE):
        for origin in read.get(use.execution, ()):
            yield {
                "prov:generatedEntity": _entity(use.artifact),
                "prov:usedEntity": _entity(origin),
                "prov:activity": _activity(use.execution),
            }


def _informed(scope: Scope) -> Iterator[dict[str, Any]]:
    makers = {use.artifact: use.execution for _, use in scope.uses(MADE)}
    for execution, artifacts in _read(scope, READ, TAKEN).items():
        for maker in sorted({makers[artifact] for artifact in artifacts if artifact in makers} - {execution}):
            yield {"prov:informed": _activity(execution), "prov:informant": _activity(maker)}


def _read(scope: Scope, *roles: str) -> dict[int, list[int]]:
    """Execution -> what it read, each once."""
    read: dict[int, dict[int, None]] = {}
    for _, use in scope.uses(*(roles or (READ,))):
        read.setdefault(use.execution, {})[use.artifact] = None
    return {execution: list(artifacts) for execution, artifacts in read.items()}


def _associations(scope: Scope) -> Iterator[dict[str, Any]]:
    for execution in scope.executions():
        if execution.pipeline:
            yield {"prov:activity": _activity(execution.id), "prov:agent": _agent("pipeline", execution.pipeline)}
    for _, use in scope.uses(MADE):
        if use.artifact in scope.pushed_by:
            yield {"prov:activity": _activity(use.execution), "prov:agent": _agent("user", scope.pushed_by[use.artifact])}


def _attributions(scope: Scope) -> Iterator[dict[str, Any]]:
    for artifact, user in sorted(scope.pushed_by.items()):
        if artifact in scope.graph.artifacts:
            yield {"prov:entity": _entity(artifact), "prov:agent": _agent("user", user)}


def _numbered(kind: str, relations: Iterator[dict[str, Any]]) -> Records:
    return {f"_:{kind}-{number}": relation for number, relation in enumerate(relations, 1)}


def _attributes(values: dict[str, Value]) -> dict[str, Value]:
    return {f"fedtfx:{_local(name)}": value for name, value in values.items()}


def _name(local: str) -> dict[str, str]:
    return {"$": f"fedtfx:{_local(local)}", "type": "prov:QUALIFIED_NAME"}


def _entity(artifact: int) -> str:
    return f"store:artifact-{artifact}"


def _activity(execution: int) -> str:
    return f"store:execution-{execution}"


def _agent(kind: str, name: str) -> str:
    return f"store:{kind}-{_local(name)}"


def _local(name: str) -> str:
    """A name as the local part of a qualified name."""
    return quote(name, safe="._-")
