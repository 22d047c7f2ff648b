"""What is drawn of a graph, whatever it is drawn with: boxes for what ran, rounded ones for what it made."""

from __future__ import annotations

from dataclasses import dataclass

from lineage.export.scope import MADE, READ, TAKEN, UNFINISHED, Scope
from lineage.graph import COMPLETE, DELETED, Artifact, Execution

LIVE = "live"


@dataclass(frozen=True)
class Node:
    """Something drawn.

    Attributes:
      name: unique, of letters and digits.
      lines: its label.
      execution: whether it ran or is an artifact.
      style: `live`, `deleted`, the state of an execution that is not complete, or nothing.
      group: the run it belongs to, or nothing.
    """

    name: str
    lines: tuple[str, ...]
    execution: bool
    style: str
    group: str


@dataclass(frozen=True)
class Edge:
    """An arrow; `dashed` for what was not made or read there: taken from the cache, or begun and not finished."""

    source: str
    target: str
    label: str
    dashed: bool


@dataclass(frozen=True)
class Drawing:
    """Nodes and edges in an order that depends on ids alone. `groups`: run -> its caption."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    groups: dict[str, str]


def drawing(scope: Scope) -> Drawing:
    """Returns what is drawn of a scope."""
    makers = {use.artifact: scope.graph.executions[use.execution].run for _, use in scope.uses(MADE)}
    artifacts = [_artifact(scope, one, makers.get(number, "")) for number, one in sorted(scope.graph.artifacts.items())]
    executions = [_execution(one) for one in scope.executions()]
    edges = [_edge(role, use.execution, use.artifact, use.key) for role, use in scope.uses(READ, MADE, TAKEN, UNFINISHED)]
    captions = {one.run: f"{one.pipeline}, run {one.run}".lstrip(", ") for one in scope.executions() if one.run}
    return Drawing((*artifacts, *executions), tuple(dict.fromkeys(edges)), dict(sorted(captions.items())))


def _artifact(scope: Scope, artifact: Artifact, run: str) -> Node:
    lines = [f"{artifact.short_type} {artifact.id}", *([artifact.name] if artifact.name else [])]
    if artifact.digest:
        lines.append(artifact.digest[:12])
    if artifact.id in scope.live:
        lines.append(f"live: {scope.live[artifact.id]}")
    elif artifact.state == DELETED:
        lines.append(DELETED)
    style = LIVE if artifact.id in scope.live else DELETED if artifact.state == DELETED else ""
    return Node(f"a{artifact.id}", tuple(lines), False, style, run)


def _execution(execution: Execution) -> Node:
    style = "" if execution.state == COMPLETE else execution.state
    title = execution.label
    return Node(f"e{execution.id}", (title, *([style] if style else [])), True, style, execution.run)


def _edge(role: str, execution: int, artifact: int, key: str) -> Edge:
    if role in (MADE, UNFINISHED):
        return Edge(f"e{execution}", f"a{artifact}", key, role == UNFINISHED)
    return Edge(f"a{artifact}", f"e{execution}", key, role == TAKEN)
