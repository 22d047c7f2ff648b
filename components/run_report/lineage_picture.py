"""Draws what made what as SVG: a box per node with the artifacts that it made, and a line to every node that took one."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from components import charts
from components.charts import add
from components.run_report.layers import Edge, Layout, Place, layout

# In units of the view box.
_BOX, _GAP, _HEAD, _ROW, _BETWEEN, _MARGIN = 232, 26, 34, 24, 52, 20
_DIGEST = 8


class _Band(NamedTuple):
    """A layer's top and bottom."""

    top: float
    bottom: float


def style() -> str:
    """Returns the rules for the picture, once per page; the paper is that of the other pictures."""
    return f"""{charts.style("lineage")}
.lineage {{ display: block; width: 100%; height: auto; }}
.lineage .box {{ fill: #f8fafc; stroke: #94a3b8; }}
.lineage .box.cached {{ stroke-dasharray: 5 4; }}
.lineage .box.tested {{ stroke: #4e79a7; stroke-width: 2.5; }}
.lineage .node {{ font-size: 15px; font-weight: bold; fill: #0f172a; }}
.lineage .small {{ font-size: 12.5px; }}
.lineage .digest {{ font-size: 12.5px; font-family: ui-monospace, Menlo, Consolas, monospace; text-anchor: end; }}
.lineage .edge {{ fill: none; stroke: #94a3b8; stroke-width: 1.6; }}
.lineage .edge.tested {{ stroke: #4e79a7; stroke-width: 2.6; }}
.lineage .edge:hover, .lineage .edge:focus {{ stroke: #e15759; stroke-width: 3.5; }}
@media (prefers-color-scheme: dark) {{
.lineage .box {{ fill: #1e293b; stroke: #64748b; }}
.lineage .box.tested {{ stroke: #8ec5ff; }}
.lineage .node {{ fill: #f8fafc; }}
.lineage .edge {{ stroke: #64748b; }}
.lineage .edge.tested {{ stroke: #8ec5ff; }}
}}
"""


def draw(nodes: Sequence[Mapping[str, Any]], model: int) -> str:
    """Returns the picture as SVG.

    Args:
      nodes: as `artifacts.lineage` gives them.
      model: id of the model under test, whose ways stand out.
    """
    boxes = {node["execution"]: node for node in nodes}
    maker = {made["id"]: node["execution"] for node in nodes for made in node["outputs"]}
    edges = [
        Edge(maker[taken], node["execution"], taken)
        for node in nodes
        for taken in node["inputs"]
        if maker.get(taken, node["execution"]) != node["execution"]
    ]
    placed = layout(list(boxes), edges, box_width=_BOX, gap=_GAP)
    bands = _bands(placed, boxes)
    width, height = placed.width + 2 * _MARGIN, bands[-1].bottom + _MARGIN if bands else 2.0 * _MARGIN
    svg = ET.Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {width:.0f} {height:.0f}", role="img")
    svg.set("class", "lineage")
    svg.set("font-family", "Helvetica, Arial, sans-serif")
    svg.set("aria-labelledby", "lineage-title lineage-desc")
    add(svg, "title", "What the model was made from", id="lineage-title")
    add(svg, "desc", _told(nodes), id="lineage-desc")
    add(svg, "rect", None, "sheet", width=width, height=height, rx=10)
    made = {one["id"]: one for node in nodes for one in node["outputs"]}
    for edge in sorted(edges, key=lambda edge: edge.bundle == model):
        line = add(svg, "path", None, "edge tested" if edge.bundle == model else "edge", d=_path(edge, placed, bands, boxes))
        add(line, "title", f"{_named(made[edge.bundle])} of {boxes[edge.source]['node']} to {boxes[edge.target]['node']}")
    for number, node in boxes.items():
        _draw_box(svg, node, placed.centres[number] + _MARGIN - _BOX / 2, bands[_layer_of(placed, number)].top, model)
    return ET.tostring(svg, encoding="unicode")


def _draw_box(svg: ET.Element, node: Mapping[str, Any], x: float, y: float, model: int) -> None:
    tested = any(made["id"] == model for made in node["outputs"])
    group = add(svg, "g")
    add(group, "title", _described(node))
    kind = f"box{' tested' if tested else ''}{' cached' if node['cached'] else ''}"
    add(group, "rect", None, kind, x=x, y=y, width=_BOX, height=_height(node), rx=8)
    add(group, "text", charts.short(node["node"] or "?", 22), "node", x=x + 12, y=y + 22)
    for row, made in enumerate(node["outputs"]):
        at = y + _HEAD + _ROW * row + 14
        add(group, "text", charts.short(_named(made), 22), "small", x=x + 12, y=at)
        add(group, "text", made["digest"][:_DIGEST] if made["digest"] else "no digest", "digest", x=x + _BOX - 12, y=at)


def _named(made: Mapping[str, Any]) -> str:
    return f"{made['id']} {made['key'].replace('_', ' ')}"


def _described(node: Mapping[str, Any]) -> str:
    made = "; ".join(f"{made['type']} {made['id']}, sha256 {made['digest'] or 'not recorded'}" for made in node["outputs"])
    taken = ", ".join(map(str, node["inputs"])) or "nothing of this run"
    return f"{node['node']}, execution {node['execution']} of run {node['run']}. Took {taken}. Made {made}."


def _told(nodes: Sequence[Mapping[str, Any]]) -> str:
    """The same in words; the table of digests has it in full."""
    parts = (f"{node['node']} made {', '.join(map(_named, node['outputs']))}" for node in nodes)
    return f"From above to below: {'; '.join(parts)}."


def _height(node: Mapping[str, Any]) -> float:
    return _HEAD + _ROW * len(node["outputs"])


def _bands(placed: Layout, boxes: Mapping[int, Mapping[str, Any]]) -> list[_Band]:
    bands, top = [], float(_MARGIN)
    for row in placed.layers:
        bottom = top + max((_height(boxes[place]) for place in row if isinstance(place, int)), default=0.0)
        bands.append(_Band(top, bottom))
        top = bottom + _BETWEEN
    return bands


def _layer_of(placed: Layout, place: Place) -> int:
    return next(number for number, row in enumerate(placed.layers) if place in row)


def _path(edge: Edge, placed: Layout, bands: Sequence[_Band], boxes: Mapping[int, Mapping[str, Any]]) -> str:
    """Down from the box, straight through the layers that it passes, into the box at its end."""
    way = placed.ways[edge]
    first = _layer_of(placed, way[0])
    x, y = _leaves(edge, placed, boxes), bands[first].top + _height(boxes[edge.source])
    path = f"M{x:.1f} {y:.1f}"
    for step, place in enumerate(way[1:], start=1):
        band = bands[first + step]
        to = _enters(edge, placed) if place == edge.target else placed.centres[place] + _MARGIN
        above = bands[first + step - 1].bottom
        path += f"V{above:.1f}C{x:.1f} {above + _BETWEEN / 2:.1f} {to:.1f} {above + _BETWEEN / 2:.1f} {to:.1f} {band.top:.1f}"
        path += f"V{band.bottom:.1f}" if place != edge.target else ""
        x = to
    return path


def _leaves(edge: Edge, placed: Layout, boxes: Mapping[int, Mapping[str, Any]]) -> float:
    """Artifacts of one node leave from places of their own."""
    made = [one["id"] for one in boxes[edge.source]["outputs"]]
    return _spread(placed.centres[edge.source], made.index(edge.bundle), len(made))


def _enters(edge: Edge, placed: Layout) -> float:
    """Lines arrive side by side, in the order in which they come."""
    arriving = {other.bundle: placed.centres[placed.ways[other][-2]] for other in placed.ways if other.target == edge.target}
    order = sorted(arriving, key=lambda bundle: (arriving[bundle], bundle))
    return _spread(placed.centres[edge.target], order.index(edge.bundle), len(order))


def _spread(centre: float, number: int, count: int) -> float:
    return centre + _MARGIN + (_BOX - 60) * ((number + 1) / (count + 1) - 0.5)
