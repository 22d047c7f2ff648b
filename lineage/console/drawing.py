"""A part of the graph as the page draws and lists it: artifacts and executions as nodes, uses as edges, around a focus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lineage.graph import CACHED, COMPLETE, Artifact, Execution, Graph

MOST_NODES = 600
"""More than this nobody can look at; the nearest are shown, and how many there are is said."""

# Artifact type -> what kind of thing it is, which decides shape and colour. What is not here is `other`.
KINDS = {
    "Examples": "data",
    "components.FederatedExamples": "data",
    "ExampleStatistics": "description",
    "Schema": "description",
    "ExampleAnomalies": "description",
    "TransformGraph": "description",
    "TransformCache": "description",
    "Model": "model",
    "ModelRun": "record",
    "ModelEvaluation": "finding",
    "InfraBlessing": "finding",
    "components.ServingReport": "finding",
    "components.PairedScores": "finding",
    "components.ClientMetrics": "finding",
    "components.GateDecision": "decision",
    "ModelBlessing": "decision",
    "PushedModel": "pushed",
    "components.RunReport": "record",
}


@dataclass(frozen=True)
class Wish:
    """What is to be drawn around artifacts.

    Attributes:
      up: steps towards what it was made from; None for all.
      down: steps towards what was made from it; None for all.
      cached: also executions that took something from the cache.
      failed: also executions that failed, or never ended.
      others: also what is about other models: findings that only compare with this one, and what follows from them.
    """

    up: int | None = None
    down: int | None = None
    cached: bool = False
    failed: bool = True
    others: bool = False


@dataclass
class _Part:
    """Nodes found so far, artifacts and executions by id, and how far each artifact is from the focus (above it below 0)."""

    artifacts: dict[int, int] = field(default_factory=dict)
    executions: set[int] = field(default_factory=set)


def around(graph: Graph, focus: Iterable[int], wish: Wish, live: Mapping[int, str]) -> dict[str, Any]:
    """Returns nodes and edges up and down from artifacts.

    Args:
      graph: of all that is known.
      focus: ids of artifacts.
      wish: how far, and what of it.
      live: what is served now: artifact -> its name there, such as digits/1795204062.
    """
    start = [number for number in dict.fromkeys(focus) if number in graph.artifacts]
    part = _Part(dict.fromkeys(start, 0))
    _spread(part, start, wish.up, lambda number: _above(graph, number, part), -1)
    foreign = _foreign(graph, start) if not wish.others else frozenset()
    _spread(part, start, wish.down, lambda number: _below(graph, number, part, foreign), +1)
    kept = dict(sorted(part.artifacts.items(), key=lambda item: (abs(item[1]), item[0]))[:MOST_NODES])
    part.executions |= set(_beside(graph, kept, wish))
    return _drawn(graph, kept, part.executions, set(start), live, len(part.artifacts))


def of_run(graph: Graph, run: str, live: Mapping[int, str]) -> dict[str, Any]:
    """Returns what the executions of a run took in and put out, whichever state they are in."""
    executions = [execution.id for execution in graph.of_run(run)]
    kept = {
        artifact.id: 0
        for execution in executions
        for side in (graph.inputs(execution), graph.outputs(execution))
        for artifacts in side.values()
        for artifact in artifacts
    }
    return _drawn(graph, kept, set(executions), set(), live, len(kept))


def kind_of(artifact: Artifact) -> str:
    """Returns what kind of thing an artifact is."""
    return KINDS.get(artifact.type, "other")


def short(type_: str) -> str:
    """Returns a type's name without the package that it is in."""
    return type_.rpartition(".")[2]


def _spread(part: _Part, start: list[int], steps: int | None, beside: Callable[[int], Iterable[int]], sign: int) -> None:
    ahead, distance = list(start), 0
    while ahead and (steps is None or distance < steps):
        distance += 1
        found = dict.fromkeys(other for number in ahead for other in beside(number) if other not in part.artifacts)
        part.artifacts.update(dict.fromkeys(found, sign * distance))
        ahead = list(found)


def _above(graph: Graph, number: int, part: _Part) -> Iterable[int]:
    maker = graph.producer(number)
    if maker is None:
        return ()
    part.executions.add(maker.id)
    return _ids(graph.inputs(maker.id))


def _below(graph: Graph, number: int, part: _Part, foreign: frozenset[int]) -> Iterable[int]:
    found: list[int] = []
    for user in graph.users(number):
        made = [one for one in _ids(graph.outputs(user.id)) if one not in foreign]
        if user.state == COMPLETE and made:
            part.executions.add(user.id)
            found += made
    return found


def _foreign(graph: Graph, start: list[int]) -> frozenset[int]:
    """What says that it is about a model which is none of those in focus; nothing if no model is in focus."""
    own = {about for number in start for about in (_about(graph.artifacts[number]),) if about}
    own |= {number for number in start if graph.artifacts[number].type == "Model"}
    if not own:
        return frozenset()
    return frozenset(number for number, one in graph.artifacts.items() if _about(one) and _about(one) not in own)


def _about(artifact: Artifact) -> int:
    found = artifact.properties.get("model_id", artifact.properties.get("current_model_id", 0))
    return int(found) if str(found).isdigit() else 0


def _beside(graph: Graph, artifacts: Mapping[int, int], wish: Wish) -> Iterable[int]:
    """Executions that made none of it: those that took some from the cache, those that came to nothing."""
    for number in artifacts:
        if wish.cached:
            yield from (one.id for one in graph.publications(number) if one.state == CACHED)
        if wish.failed:
            yield from (one.id for one in graph.users(number) if one.state not in (COMPLETE, CACHED))


def _drawn(
    graph: Graph, artifacts: Mapping[int, int], executions: set[int], focus: set[int], live: Mapping[int, str], found: int
) -> dict[str, Any]:
    edges = []
    for number in sorted(executions):
        edges += [_edge(f"a{one.id}", f"e{number}", key) for key, one in _pairs(graph.inputs(number)) if one.id in artifacts]
        edges += [_edge(f"e{number}", f"a{one.id}", key) for key, one in _pairs(graph.outputs(number)) if one.id in artifacts]
    nodes = [_artifact_node(graph, graph.artifacts[number], number in focus, live) for number in sorted(artifacts)]
    nodes += [_execution_node(graph.executions[number]) for number in sorted(executions)]
    return {"nodes": nodes, "edges": edges, "artifacts_found": found}


def _artifact_node(graph: Graph, artifact: Artifact, focus: bool, live: Mapping[int, str]) -> dict[str, Any]:
    maker = graph.producer(artifact.id)
    reused = sum(one.state == CACHED for one in graph.publications(artifact.id))
    return {
        "id": f"a{artifact.id}",
        "number": artifact.id,
        "is": "artifact",
        "kind": kind_of(artifact),
        "type": short(artifact.type),
        "node": maker.node if maker else "",
        "run": maker.run if maker else "",
        "state": artifact.state,
        "says": says(artifact),
        "live": live.get(artifact.id, ""),
        "focus": focus,
        "reused": reused,
    }


def _execution_node(execution: Execution) -> dict[str, Any]:
    return {
        "id": f"e{execution.id}",
        "number": execution.id,
        "is": "execution",
        "kind": "execution",
        "type": short(execution.type),
        "node": execution.node or short(execution.type),
        "run": execution.run,
        "state": execution.state,
        "seconds": round((execution.updated - execution.created).total_seconds(), 1),
    }


def says(artifact: Artifact) -> str:
    """Returns in a few words what an artifact holds, as far as its properties tell; may be empty."""
    facts = artifact.properties
    if artifact.type == "components.GateDecision" or (artifact.type == "ModelBlessing" and "blessed" in facts):
        return "blessed" if facts.get("blessed") == 1 else "refused"
    if artifact.type == "PushedModel":
        return f"version {facts['pushed_version']}" if facts.get("pushed_version") else "not pushed"
    if artifact.type == "Model" and "algorithm" in facts:
        return f"{facts['algorithm']}, {facts.get('rounds', '?')} rounds"
    if artifact.type == "components.FederatedExamples":
        return f"{facts.get('clients', '?')} clients, {facts.get('strategy', '')}".rstrip(", ")
    return ""


def _edge(source: str, target: str, key: str) -> dict[str, str]:
    return {"source": source, "target": target, "key": key}


def _pairs(sides: Mapping[str, list[Artifact]]) -> Iterable[tuple[str, Artifact]]:
    return ((key, artifact) for key, artifacts in sides.items() for artifact in artifacts)


def _ids(sides: Mapping[str, list[Artifact]]) -> Iterable[int]:
    return (artifact.id for artifacts in sides.values() for artifact in artifacts)
