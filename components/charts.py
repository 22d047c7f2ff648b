"""What all our pictures share: paper, colours and how an element is written; and small charts as SVG to stand in a page.

Deterministic: the same values give the same bytes. Text is escaped by the writer, and a chart loads and runs nothing.
"""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import NamedTuple

COLOURS = (
    "#4e79a7",
    "#f28e2b",
    "#59a14f",
    "#e15759",
    "#b07aa1",
    "#edc948",
    "#76b7b2",
    "#ff9da7",
    "#9c755f",
    "#8cd17d",
    "#a0cbe8",
    "#d37295",
)
OTHERS = "#9aa3ae"
# What is drawn -> its colour on white, its lighter one on dark, and dashes, so that lines differ without colours as well.
KINDS = {
    "candidate": ("#4e79a7", "#8ec5ff", ""),
    "served": ("#f28e2b", "#ffb86a", "7 4"),
    "baseline": ("#4a8c42", "#8cd17d", "2 4"),
    "heldout": ("#a8558f", "#e3a5d2", "7 4"),
}
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML has no way to hold."""
_FONT = "Helvetica, Arial, sans-serif"
# In units of the view box: on a telephone, where a chart is 340 pixels wide, text of 15 is 10 pixels high.
_WIDTH, _LEFT, _RIGHT, _TOP, _PLOT = 520, 64, 16, 74, 196
_ROW = 44


class Line(NamedTuple):
    """A curve: its name, one of KINDS, and its points (x, y), by rising x; y is finite."""

    name: str
    kind: str
    points: Sequence[tuple[float, float]]


class Row(NamedTuple):
    """A value, as it is to be `shown`, and the ends of its interval, if known; `note` is set below the label, smaller.

    `beside` is another one of KINDS with its value, drawn as a ring on the same line.
    """

    label: str
    kind: str
    value: float
    shown: str
    low: float | None = None
    high: float | None = None
    note: str = ""
    beside: tuple[str, float] | None = None


def style(name: str) -> str:
    """Returns the rules for pictures of a class: paper, text and lines, light and dark.

    Inside an HTML page a style sheet holds for the whole page, so every rule is bound to the class.
    """
    return f"""
.{name} .sheet {{ fill: #ffffff; }}
.{name} text {{ fill: #334155; font-size: 14px; }}
.{name} .title {{ fill: #0f172a; font-size: 19px; font-weight: bold; }}
.{name} .head {{ fill: #0f172a; font-weight: bold; }}
.{name} .tick {{ text-anchor: end; }}
.{name} .middle {{ text-anchor: middle; }}
.{name} .grid {{ stroke: #e2e8f0; }}
.{name} .base {{ stroke: #64748b; }}
@media (prefers-color-scheme: dark) {{
.{name} .sheet {{ fill: #111827; }}
.{name} text {{ fill: #cbd5e1; }}
.{name} .title, .{name} .head {{ fill: #f8fafc; }}
.{name} .grid {{ stroke: #334155; }}
.{name} .base {{ stroke: #94a3b8; }}
}}
"""


def chart_style() -> str:
    """Returns the rules for the charts of this module, once per page."""
    light = "".join(_kind(kind, colour, dashes) for kind, (colour, _, dashes) in KINDS.items())
    dark = "".join(_kind(kind, colour, dashes) for kind, (_, colour, dashes) in KINDS.items())
    base = style("chart").replace("font-size: 14px", "font-size: 15px").replace("font-size: 19px", "font-size: 17px")
    more = """
.chart { display: block; width: 100%; height: auto; }
.chart .note { font-size: 13px; }
.chart .value { font-weight: bold; text-anchor: end; font-variant-numeric: tabular-nums; }
.chart .curve { fill: none; stroke-width: 2.5; stroke-linejoin: round; }
.chart .ring { fill: none; stroke-width: 2.5; }
.chart .whisker { stroke-width: 2.5; stroke-dasharray: none; }
"""
    return f"{base}{more}{light}\n@media (prefers-color-scheme: dark) {{\n{dark}}}\n"


def _kind(kind: str, colour: str, dashes: str) -> str:
    drawn = f".chart .curve.{kind} {{ stroke: {colour}; stroke-dasharray: {dashes or 'none'}; }}\n"
    stroked = f".chart .whisker.{kind}, .chart .ring.{kind} {{ stroke: {colour}; }}\n"
    return f"{drawn}{stroked}.chart .dot.{kind} {{ fill: {colour}; }}\n"


def curves(name: str, title: str, told: str, lines: Sequence[Line], x_name: str) -> str:
    """Returns a line chart.

    Args:
      name: unique on the page; makes the ids that the description hangs on.
      title: what is shown.
      told: the same in words, for whoever does not see it.
      lines: at least one, each with a point.
      x_name: what the horizontal axis counts.
    """
    svg = _sheet(name, title, told, _TOP + _PLOT + 50)
    for place, line in enumerate(lines):
        _legend(svg, _LEFT + 190 * place, line)
    ys = ticks(*_ends([y for line in lines for _, y in line.points]))
    first, last = _ends([x for line in lines for x, _ in line.points])
    span = _WIDTH - _LEFT - _RIGHT
    for tick in ys:
        y = _height(tick, ys)
        add(svg, "line", None, "grid", x1=_LEFT, x2=_LEFT + span, y1=y, y2=y)
        add(svg, "text", f"{tick:.6g}", "tick", x=_LEFT - 9, y=y + 5)
    for x, text, anchor in ((first, f"{first:g}", "start"), (last, f"{last:g}", "end")):
        at = _along(x, first, last)
        add(svg, "text", text, x=at, y=_TOP + _PLOT + 21, **{"text-anchor": anchor})
    add(svg, "text", x_name, "middle", x=_LEFT + span / 2, y=_TOP + _PLOT + 21)
    add(svg, "line", None, "base", x1=_LEFT, x2=_LEFT + span, y1=_TOP + _PLOT, y2=_TOP + _PLOT)
    for line in lines:
        _draw(svg, line, ys, first, last)
    return ET.tostring(svg, encoding="unicode")


def _draw(svg: ET.Element, line: Line, ys: Sequence[float], first: float, last: float) -> None:
    places = [(_along(x, first, last), _height(y, ys)) for x, y in line.points]
    if len(places) == 1:
        add(svg, "circle", None, f"dot {line.kind}", cx=places[0][0], cy=places[0][1], r=5.0)
        return
    add(svg, "path", None, f"curve {line.kind}", d="M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places))


def intervals(name: str, title: str, told: str, rows: Sequence[Row]) -> str:
    """Returns a chart of values with their intervals, a row each, on one axis; for `name` and `told` see `curves`."""
    svg = _sheet(name, title, told, 50 + _ROW * len(rows) + 46)
    bottom, left, right = 50 + _ROW * len(rows), 184, _WIDTH - 96
    beside = [row.beside[1] for row in rows if row.beside]
    xs = ticks(*_ends([*beside, *(end for row in rows for end in (row.value, row.low, row.high) if end is not None)]), most=5)

    def along(value: float) -> float:
        return left + (right - left) * (value - xs[0]) / (xs[-1] - xs[0])

    for tick in xs:
        add(svg, "line", None, "grid", x1=along(tick), x2=along(tick), y1=50, y2=bottom)
        add(svg, "text", f"{tick:.6g}", "middle note", x=along(tick), y=bottom + 20)
    for number, row in enumerate(rows):
        y = 50 + _ROW * (number + 0.5)
        add(svg, "text", short(row.label, 20), x=24, y=y + (0 if row.note else 5))
        if row.note:
            add(svg, "text", short(row.note, 24), "note", x=24, y=y + 17)
        if row.low is not None and row.high is not None:
            add(svg, "line", None, f"whisker {row.kind}", x1=along(row.low), x2=along(row.high), y1=y, y2=y)
            for end in (row.low, row.high):
                add(svg, "line", None, f"whisker {row.kind}", x1=along(end), x2=along(end), y1=y - 6, y2=y + 6)
        if row.beside:
            add(svg, "circle", None, f"ring {row.beside[0]}", cx=along(row.beside[1]), cy=y, r=8.5)
        add(svg, "circle", None, f"dot {row.kind}", cx=along(row.value), cy=y, r=6.0)
        add(svg, "text", row.shown, "value", x=_WIDTH - 16, y=y + 5)
    return ET.tostring(svg, encoding="unicode")


def _sheet(name: str, title: str, told: str, height: float) -> ET.Element:
    svg = ET.Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {_WIDTH} {height:g}", role="img")
    svg.set("aria-labelledby", f"{name}-title {name}-desc")
    svg.set("class", "chart")
    svg.set("font-family", _FONT)
    add(svg, "title", title, id=f"{name}-title")
    add(svg, "desc", told, id=f"{name}-desc")
    add(svg, "rect", None, "sheet", width=_WIDTH, height=height, rx=10)
    add(svg, "text", short(title, 52), "title", x=24, y=30)
    return svg


def _legend(svg: ET.Element, x: float, line: Line) -> None:
    add(svg, "line", None, f"curve {line.kind}", x1=x, x2=x + 32, y1=51, y2=51)
    add(svg, "text", short(line.name, 18), x=x + 40, y=56)


def _height(value: float, ys: Sequence[float]) -> float:
    return _TOP + _PLOT * (ys[-1] - value) / (ys[-1] - ys[0])


def _along(value: float, first: float, last: float) -> float:
    span = _WIDTH - _LEFT - _RIGHT
    return _LEFT + (span / 2 if first == last else span * (value - first) / (last - first))


def _ends(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Returns two to `most` round numbers, evenly spaced, of which the first is at most `low` and the last at least `high`."""
    if high - low <= max(1e-12 * max(abs(low), abs(high)), 1e-200):
        margin = abs(low) / 10 or 1.0
        low, high = low - margin, high + margin
    decade = 10.0 ** math.floor(math.log10((high - low) / most))
    for step in (decade * part for part in (1, 2, 2.5, 5, 10, 20, 25, 50, 100)):
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if 1 <= last - first < most:
            return [float(f"{number * step:.12g}") for number in range(first, last + 1)]
    return [low, high]


def short(text: str, most: int) -> str:
    """Returns text that fits and that XML can hold."""
    shown = "".join(character if character.isprintable() else "\ufffd" for character in text)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def add(
    parent: ET.Element, tag: str, text: str | None = None, kind: str | None = None, /, **attributes: float | str
) -> ET.Element:
    """Adds an element of class `kind` and returns it; numbers are written with two decimals at most."""
    element = ET.SubElement(parent, tag, {"class": kind} if kind else {})
    for name, value in attributes.items():
        element.set(name, f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value))
    element.text = None if text is None else _UNWRITABLE.sub("\ufffd", text)
    return element
