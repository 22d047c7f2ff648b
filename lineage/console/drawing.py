"""A part of the graph as the page draws and lists it: artifacts and executions as nodes, uses as edges, around a focus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lineage.console.setting_aside import set_aside
from lineage.graph import (
    CACHED,
    COMPLETE,
    EXAMPLES,
    FEDERATED_EXAMPLES,
    GATE_DECISION,
    MODEL,
    MODEL_BLESSING,
    PUSHED_MODEL,
    RUN_REPORT,
    Artifact,
    Execution,
    Graph,
)

MOST_NODES = 600
"""More than this nobody can look at; the nearest are shown, and how many there are is said."""

# Artifact type -> what kind of thing it is, which decides shape and colour. What is not here is `other`.
KINDS = {
    EXAMPLES: "data",
    FEDERATED_EXAMPLES: "data",
    "ExampleStatistics": "description",
    "Schema": "description",
    "ExampleAnomalies": "description",
    "TransformGraph": "description",
    "TransformCache": "description",
    MODEL: "model",
    "ModelRun": "record",
    "ModelEvaluation": "finding",
    "InfraBlessing": "finding",
    "components.ServingReport": "finding",
    "components.PairedScores": "finding",
    "components.ClientMetrics": "finding",
    GATE_DECISION: "decision",
    MODEL_BLESSING: "decision",
    PUSHED_MODEL: "pushed",
    RUN_REPORT: "record",
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
      again: also what other runs found and decided about a model than the one that pushed it, or else made it.
      reports: also run reports, which take in everything that their run made.
    """

    up: int | None = None
    down: int | None = None
    cached: bool = False
    failed: bool = True
    others: bool = False
    again: bool = False
    reports: bool = False


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
    aside = set_aside(graph, start)
    hidden = aside.hidden(others=wish.others, again=wish.again, reports=wish.reports)
    _spread(part, start, wish.down, lambda number: _below(graph, number, part, hidden), +1)
    kept = dict(sorted(part.artifacts.items(), key=lambda item: (abs(item[1]), item[0]))[:MOST_NODES])
    part.executions |= set(_beside(graph, kept, wish))
    drawn = _drawn(graph, kept, part.executions, set(start), live, len(part.artifacts))
    near = {made for number in kept for user in graph.users(number) for made in _ids(graph.outputs(user.id))}
    return {**drawn, "left_out": aside.counted(near & hidden)}


def of_run(graph: Graph, run: str, live: Mapping[int, str], *, reports: bool = False) -> dict[str, Any]:
    """Returns what the executions of a run took in and put out, whichever state they are in; its report if that is asked."""
    of_run = graph.of_run(run)
    reporting = {one.id for one in of_run if any(made.type == RUN_REPORT for made in _made(graph, one.id))}
    executions = [one.id for one in of_run if reports or one.id not in reporting]
    kept = {
        artifact.id: 0
        for execution in executions
        for side in (graph.inputs(execution), graph.outputs(execution))
        for artifacts in side.values()
        for artifact in artifacts
    }
    drawn = _drawn(graph, kept, set(executions), set(), live, len(kept))
    return {**drawn, "left_out": {"reports": 0 if reports else len(reporting)}}


def kind_of(artifact: Artifact) -> str:
    """Returns what kind of thing an artifact is."""
    return KINDS.get(artifact.type, "other")


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


def _below(graph: Graph, number: int, part: _Part, hidden: frozenset[int]) -> Iterable[int]:
    found: list[int] = []
    for user in graph.users(number):
        made = [one for one in _ids(graph.outputs(user.id)) if one not in hidden]
        if user.state == COMPLETE and made:
            part.executions.add(user.id)
            found += made
    return found


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
        "type": artifact.short_type,
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
        "type": execution.type.rpartition(".")[2],
        "node": execution.label,
        "run": execution.run,
        "state": execution.state,
        "seconds": round(execution.seconds, 1),
    }


def says(artifact: Artifact) -> str:
    """Returns in a few words what an artifact holds, as far as its properties tell; may be empty."""
    facts = artifact.properties
    if artifact.type == GATE_DECISION or (artifact.type == MODEL_BLESSING and "blessed" in facts):
        return "blessed" if facts.get("blessed") == 1 else "refused"
    if artifact.type == PUSHED_MODEL:
        return f"version {facts['pushed_version']}" if facts.get("pushed_version") else "not pushed"
    if artifact.type == MODEL and "algorithm" in facts:
        return f"{facts['algorithm']}, {facts.get('rounds', '?')} rounds"
    if artifact.type == FEDERATED_EXAMPLES:
        return f"{facts.get('clients', '?')} clients, {facts.get('strategy', '')}".rstrip(", ")
    return ""


def _edge(source: str, target: str, key: str) -> dict[str, str]:
    return {"source": source, "target": target, "key": key}


def _pairs(sides: Mapping[str, list[Artifact]]) -> Iterable[tuple[str, Artifact]]:
    return ((key, artifact) for key, artifacts in sides.items() for artifact in artifacts)


def _made(graph: Graph, execution: int) -> Iterable[Artifact]:
    return (artifact for _, artifact in _pairs(graph.outputs(execution)))


def _ids(sides: Mapping[str, list[Artifact]]) -> Iterable[int]:
    return (artifact.id for artifacts in sides.values() for artifact in artifacts)
