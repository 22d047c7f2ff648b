"""Curves of test accuracy by round: how far one got and when it reached its target, as CSV and as a picture."""

from __future__ import annotations

import csv
import itertools
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_WIDTH, _HEIGHT, _LEFT, _TOP, _PLOT_WIDTH, _PLOT_HEIGHT, _LINE = 1000, 300, 76, 48, 560, 200, 22
# From here on the accuracies are told apart; lower ones are drawn on the lower edge.
_LOWEST = 0.8
_TICKS = (0.8, 0.85, 0.9, 0.95, 1.0)
_COLOURS = ("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1", "#76b7b2", "#9c755f", "#ff9da7")
_STYLE = """
.curves .sheet { fill: #ffffff; }
.curves text { fill: #334155; font-size: 14px; }
.curves .head { fill: #0f172a; font-weight: bold; }
.curves .tick { text-anchor: end; }
.curves .middle { text-anchor: middle; }
.curves .grid { stroke: #e2e8f0; }
.curves .target { stroke: #64748b; stroke-dasharray: 6 4; }
.curves polyline { fill: none; stroke-width: 1.6; }
@media (prefers-color-scheme: dark) {
.curves .sheet { fill: #111827; }
.curves text { fill: #cbd5e1; }
.curves .head { fill: #f8fafc; }
.curves .grid { stroke: #334155; }
}
"""


@dataclass
class Curve:
    """One training: test accuracy and seconds of each round so far.

    plot: what it is drawn with. rates: learning rate of the clients and of the server. rounds: at most so many.
    """

    case: str
    plot: str
    seed: int
    rates: tuple[float, float]
    target: float
    rounds: int
    accuracies: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Case, rates and seed."""
        return f"{self.case}, rates {self.rates[0]:g}, {self.rates[1]:g}, seed {self.seed}"

    @property
    def best(self) -> list[float]:
        """The best accuracy so far after each round: what McMahan et al. 2017, section 3, count rounds on."""
        return list(itertools.accumulate(self.accuracies, max))

    @property
    def reached(self) -> int | None:
        """The first round, from 1, after which the target is reached."""
        return next((number for number, accuracy in enumerate(self.accuracies, 1) if accuracy >= self.target), None)


def write_csv(path: Path, curves: Sequence[Curve]) -> None:
    """Writes a line per round of every curve."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["case", "seed", "client_rate", "server_rate", "round", "accuracy", "best", "seconds"])
        for curve in curves:
            rows = zip(curve.accuracies, curve.best, curve.seconds, strict=True)
            for number, (accuracy, best, seconds) in enumerate(rows, 1):
                writer.writerow(
                    [curve.case, curve.seed, *curve.rates, number, f"{accuracy:.4f}", f"{best:.4f}", f"{seconds:.3f}"]
                )


def write_picture(path: Path, curves: Sequence[Curve]) -> None:
    """Draws the best accuracy so far by round as an SVG document, with a plot for each `Curve.plot`."""
    plots = [list(group) for _, group in itertools.groupby(curves, lambda curve: curve.plot)]
    heights = [max(_HEIGHT, _TOP + _LINE * (len(plot) + 1)) for plot in plots]
    svg = ET.Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {_WIDTH} {sum(heights)}", role="img")
    svg.set("class", "curves")
    svg.set("font-family", "Helvetica, Arial, sans-serif")
    _add(svg, "title", "Best test accuracy so far, by round")
    _add(svg, "style", _STYLE)
    _add(svg, "rect", None, "sheet", width=_WIDTH, height=sum(heights), rx=12)
    for plot, top in zip(plots, itertools.accumulate([0, *heights]), strict=False):
        _draw(svg, plot, top + _TOP)
    path.write_bytes(ET.tostring(svg, encoding="utf-8", xml_declaration=True) + b"\n")


def _draw(svg: ET.Element, curves: Sequence[Curve], top: float) -> None:
    last = max(2, *(len(curve.best) for curve in curves))
    _add(svg, "text", f"{curves[0].plot}: best test accuracy so far, by round", "head", x=_LEFT, y=top - 14)
    for accuracy in _TICKS:
        y = _y(accuracy, top)
        _add(svg, "line", None, "grid", x1=_LEFT, x2=_LEFT + _PLOT_WIDTH, y1=y, y2=y)
        _add(svg, "text", f"{accuracy:.0%}", "tick", x=_LEFT - 10, y=y + 5)
    for target in sorted({curve.target for curve in curves}):
        y = _y(target, top)
        _add(svg, "line", None, "target", x1=_LEFT, x2=_LEFT + _PLOT_WIDTH, y1=y, y2=y)
    for number in (1, last // 2, last):
        _add(svg, "text", str(number), "middle", x=_x(number, last), y=top + _PLOT_HEIGHT + 20)
    for number, curve in enumerate(curves):
        colour = _COLOURS[number % len(_COLOURS)]
        points = (f"{_x(at, last):.1f},{_y(accuracy, top):.1f}" for at, accuracy in enumerate(curve.best, 1))
        _add(svg, "polyline", None, stroke=colour, points=" ".join(points))
        y = top + number * _LINE
        _add(svg, "rect", None, x=_LEFT + _PLOT_WIDTH + 24, y=y, width=13, height=13, rx=3, fill=colour)
        _add(svg, "text", curve.title, x=_LEFT + _PLOT_WIDTH + 44, y=y + 12)


def _x(number: int, last: int) -> float:
    return _LEFT + _PLOT_WIDTH * (number - 1) / (last - 1)


def _y(accuracy: float, top: float) -> float:
    return top + _PLOT_HEIGHT * (1 - max(0.0, accuracy - _LOWEST) / (1 - _LOWEST))


def _add(parent: ET.Element, tag: str, text: str | None = None, kind: str | None = None, **attributes: float | str) -> None:
    element = ET.SubElement(parent, tag, {"class": kind} if kind else {})
    for name, value in attributes.items():
        element.set(name, f"{value:.1f}" if isinstance(value, float) else str(value))
    element.text = text
