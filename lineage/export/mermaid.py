"""A graph as a Mermaid flowchart (https://mermaid.js.org/syntax/flowchart.html), which Markdown on many sites draws."""

from __future__ import annotations

from collections.abc import Iterator

from lineage.export.drawing import LIVE, Drawing, Node, drawing
from lineage.export.scope import Scope
from lineage.graph import CACHED, CANCELED, DELETED, FAILED, NEW, RUNNING

MOST_EDGES, MOST_CHARACTERS = 500, 50_000
"""Above these Mermaid's defaults refuse to draw, and a page in which a graph stands cannot change them."""

_STYLES = {
    LIVE: "stroke:#1a7f37,stroke-width:4px,fill:#dafbe1,color:#1f2328",
    DELETED: "stroke:#6e7781,stroke-dasharray:2 3",
    CACHED: "stroke:#6e7781,stroke-dasharray:6 3",
    FAILED: "stroke:#cf222e,stroke-width:3px,fill:#ffebe9,color:#1f2328",
    CANCELED: "stroke:#cf222e,stroke-dasharray:6 3",
    RUNNING: "stroke:#9a6700,stroke-dasharray:2 3",
    NEW: "stroke:#9a6700,stroke-dasharray:2 3",
}


def export(scope: Scope) -> str:
    """Returns a flowchart, from left to right, with a subgraph for each run."""
    return "\n".join(_lines(drawing(scope))) + "\n"


def too_large(text: str) -> bool:
    """Tells whether Mermaid would refuse to draw this."""
    return len(text) > MOST_CHARACTERS or text.count("|") // 2 > MOST_EDGES


def _lines(drawn: Drawing) -> Iterator[str]:
    yield "flowchart LR"
    for number, (run, caption) in enumerate(drawn.groups.items(), 1):
        yield f"  subgraph r{number}[{_quoted(caption)}]"
        yield from (f"    {_node(node)}" for node in drawn.nodes if node.group == run)
        yield "  end"
    yield from (f"  {_node(node)}" for node in drawn.nodes if node.group not in drawn.groups)
    for edge in drawn.edges:
        arrow = "-.->" if edge.dashed else "-->"
        yield f"  {edge.source} {arrow}|{_quoted(edge.label)}| {edge.target}"
    used = {node.style for node in drawn.nodes}
    yield from (f"  classDef {name} {style}" for name, style in _STYLES.items() if name in used)


def _node(node: Node) -> str:
    label = _quoted(*node.lines)
    shape = f"[{label}]" if node.execution else f"({label})"
    return f"{node.name}{shape}" + (f":::{node.style}" if node.style else "")


def _quoted(*lines: str) -> str:
    return f'"{"<br/>".join(map(_escaped, lines)) or " "}"'


def _escaped(line: str) -> str:
    """All but letters, digits and a few harmless signs as Mermaid's `#code;`."""
    return "".join(sign if sign.isalnum() or sign in " ._-/,+=()" else f"#{ord(sign)};" for sign in line)
