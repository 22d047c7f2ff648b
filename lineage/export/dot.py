"""A graph in Graphviz's language (https://graphviz.org/doc/info/lang.html)."""

from __future__ import annotations

from collections.abc import Iterator

from lineage.export.drawing import LIVE, Drawing, Node, drawing
from lineage.export.scope import Scope
from lineage.graph import CACHED, CANCELED, DELETED, FAILED, NEW, RUNNING

# Told by line and weight too, not by colour alone.
_STYLES = {
    LIVE: ("", ' color="#1a7f37" penwidth=3 fillcolor="#dafbe1"'),
    DELETED: ("dotted", ' color="#6e7781"'),
    CACHED: ("dashed", ' color="#6e7781"'),
    FAILED: ("", ' color="#cf222e" penwidth=2 fillcolor="#ffebe9"'),
    CANCELED: ("dashed", ' color="#cf222e" fillcolor="#ffebe9"'),
    RUNNING: ("dotted", ' color="#9a6700"'),
    NEW: ("dotted", ' color="#9a6700"'),
}


def export(scope: Scope) -> str:
    """Returns a digraph, from left to right, with a cluster for each run."""
    return "\n".join(_lines(drawing(scope))) + "\n"


def _lines(drawn: Drawing) -> Iterator[str]:
    yield "digraph lineage {"
    yield '  graph [rankdir=LR fontname="sans-serif"];'
    yield '  node [fontname="sans-serif" fontsize=10 fillcolor="#ffffff"];'
    yield '  edge [fontname="sans-serif" fontsize=8];'
    for number, (run, caption) in enumerate(drawn.groups.items(), 1):
        yield f"  subgraph cluster_{number} {{"
        yield f"    label={_quoted(caption)};"
        yield from (f"    {_node(node)}" for node in drawn.nodes if node.group == run)
        yield "  }"
    yield from (f"  {_node(node)}" for node in drawn.nodes if node.group not in drawn.groups)
    for edge in drawn.edges:
        style = " style=dashed" if edge.dashed else ""
        yield f"  {edge.source} -> {edge.target} [label={_quoted(edge.label)}{style}];"
    yield "}"


def _node(node: Node) -> str:
    line, more = _STYLES.get(node.style, ("", ""))
    style = ",".join(filter(None, ["" if node.execution else "rounded", "filled", line]))
    return f'{node.name} [label={_quoted(*node.lines)} shape=box style="{style}"{more}];'


def _quoted(*lines: str) -> str:
    """A quoted string: `\\` and `"` are escaped, `&` would begin an entity, and other control characters are not drawn."""
    return '"' + "\\n".join(map(_escaped, lines)) + '"'


def _escaped(line: str) -> str:
    printable = "".join(sign if sign.isprintable() else " " for sign in line)
    return printable.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
