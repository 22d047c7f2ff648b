"""Draws how a metric is distributed over clients as SVG. No client ids; same values, same bytes.

Clients are in order from the worst to the best, for each model in its own, so that its curve shows every quantile.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from components import charts
from components.answers import CANDIDATE, SERVED
from components.charts import add
from components.federated_evaluator.distribution import worst_decile, worst_first

# In units of the view box; text of 14 is legible from 600 pixels on.
_WIDTH, _LEFT, _PLOT, _TOP, _HEIGHT = 1000, 76, 896, 126, 320
_SHEET = _TOP + _HEIGHT + 62
_MAX_STEPS = 300
# From this ratio of the largest to the median value on, a linear axis would leave most clients on its floor.
_LOGARITHMIC = 20
_NAMES = {CANDIDATE: "model under test", SERVED: "served model"}
_STYLE = (
    charts.style("clients")
    + """
.clients .mark { stroke: #64748b; stroke-dasharray: 2 4; }
.clients .worst { fill: #f1f5f9; }
.clients .curve { fill: none; stroke-width: 2.5; }
.clients .dot { stroke: #ffffff; stroke-width: 1.5; }
@media (prefers-color-scheme: dark) {
.clients .mark { stroke: #94a3b8; }
.clients .worst { fill: #1e293b; }
.clients .dot { stroke: #111827; }
"""
    + "".join(
        f".clients .curve.{kind} {{ stroke: {light}; }}\n.clients .dot.{kind} {{ fill: {light}; }}\n"
        for kind, (_, light, _) in charts.KINDS.items()
    )
    + "}\n"
)


@dataclass(frozen=True)
class _Axis:
    """From the lowest to the highest tick; `logarithmic` ticks are powers of ten."""

    ticks: list[float]
    logarithmic: bool

    def place(self, value: float) -> float:
        low, high, at = (math.log10(v) if self.logarithmic else v for v in (self.ticks[0], self.ticks[-1], value))
        return _TOP + _HEIGHT * (high - at) / (high - low)


def draw(metric: str, values: Mapping[str, np.ndarray]) -> bytes:
    """Returns the picture as an SVG document.

    Args:
      metric: a key of `scores.HIGHER_IS_BETTER`.
      values: by model, float64 [clients], NaN where the metric is not defined for a client.
    """
    curves = {model: worst_first(metric, of[np.isfinite(of)]) for model, of in values.items()}
    drawn = {model: curve for model, curve in curves.items() if len(curve)}
    clients = len(next(iter(values.values())))
    svg = ET.Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {_WIDTH} {_SHEET}", role="img")
    svg.set("class", "clients")
    svg.set("font-family", "Helvetica, Arial, sans-serif")
    title = f"{metric} on {clients:,} clients"
    add(svg, "title", title)
    add(svg, "style", _STYLE)
    add(svg, "rect", None, "sheet", width=_WIDTH, height=_SHEET, rx=12)
    add(svg, "text", title, "title", x=24, y=36)
    for row, (model, curve) in enumerate(curves.items()):
        _legend_entry(svg, row, model, _told(metric, curve, clients))
    if drawn:
        _draw_curves(svg, metric, drawn)
    add(svg, "text", "clients from the worst to the best, for each model in its own order", "middle", x=524, y=_SHEET - 14)
    return ET.tostring(svg, encoding="utf-8", xml_declaration=True) + b"\n"


def _told(metric: str, curve: np.ndarray, clients: int) -> str:
    missing = f" (without {clients - len(curve):,} of no value)" if len(curve) < clients else ""
    if not len(curve):
        return "no client has a value"
    return f"median {np.median(curve):.4g}, worst tenth {worst_decile(metric, curve):.4g} on average{missing}"


def _legend_entry(svg: ET.Element, row: int, model: str, told: str) -> None:
    name, (colour, _, dashes) = _NAMES[model], charts.KINDS[model]
    y = 62 + 22 * row
    stroke = {"stroke": colour, "stroke-dasharray": dashes or "none"}
    add(svg, "line", None, f"curve {model}", x1=24, x2=56, y1=y - 5, y2=y - 5, **stroke)
    add(svg, "text", f"{name}: {told}", x=66, y=y)


def _draw_curves(svg: ET.Element, metric: str, curves: Mapping[str, np.ndarray]) -> None:
    axis, bottom = _axis(np.concatenate(list(curves.values()))), _TOP + _HEIGHT
    most = max(map(len, curves.values()))
    worst = _PLOT * max(1, most // 10) / most
    add(svg, "rect", None, "worst", x=_LEFT, y=_TOP, width=worst, height=_HEIGHT)
    for tick in axis.ticks:
        add(svg, "line", None, "grid", x1=_LEFT, x2=_LEFT + _PLOT, y1=axis.place(tick), y2=axis.place(tick))
        add(svg, "text", f"{tick:.6g}", "tick", x=_LEFT - 10, y=axis.place(tick) + 5)
    add(svg, "line", None, "mark", x1=_LEFT + _PLOT / 2, x2=_LEFT + _PLOT / 2, y1=_TOP, y2=bottom)
    add(svg, "line", None, "base", x1=_LEFT, x2=_LEFT + _PLOT, y1=bottom, y2=bottom)
    add(svg, "text", "worst tenth", "middle", x=max(_LEFT + worst / 2, 64.0), y=bottom + 20)
    add(svg, "text", "median", "middle", x=_LEFT + _PLOT / 2, y=bottom + 20)
    for model, curve in reversed(list(curves.items())):  # the model under test is drawn over the served one
        colour, _, dashes = charts.KINDS[model]
        path = _steps([axis.place(value) for value in _sampled(curve).tolist()])
        add(svg, "path", None, f"curve {model}", d=path, stroke=colour, **{"stroke-dasharray": dashes or "none"})
        dots = ((worst / 2, worst_decile(metric, curve)), (_PLOT / 2, float(np.median(curve))))
        for x, value in dots:
            add(svg, "circle", None, f"dot {model}", cx=_LEFT + x, cy=axis.place(value), r=5.5, fill=colour)


def _sampled(curve: np.ndarray) -> np.ndarray:
    """All clients if they are few, else evenly spaced ones, among them the first and the last."""
    return curve[np.rint(np.linspace(0, len(curve) - 1, min(len(curve), _MAX_STEPS))).astype(np.int64)]


def _steps(heights: list[float]) -> str:
    """Returns path data of one level per client."""
    width = _PLOT / len(heights)
    levels = (f"V{y:.2f}H{_LEFT + width * (number + 1):.2f}" for number, y in enumerate(heights))
    return f"M{_LEFT} {heights[0]:.2f}" + "".join(levels)


def _axis(values: np.ndarray) -> _Axis:
    low, high = float(values.min()), float(values.max())
    if low > 0 and high > _LOGARITHMIC * float(np.median(values)):
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        stride = -(-(last - first) // 8)
        return _Axis([10.0**power for power in range(first, last + stride, stride)], True)
    spread = high - low if high - low > 1e-9 * abs(high) else max(abs(high), 1.0) / 2
    decade = 10.0 ** math.floor(math.log10(spread / 5))
    step = next(factor * decade for factor in (1, 2, 5, 10) if spread / (factor * decade) <= 5)
    first, last = math.floor(low / step), math.ceil(high / step)
    if first == last:  # all are equal: at the top, for 1 is the most that many metrics reach, or at the bottom if they are 0
        first, last = (first - 1, last) if last > 0 else (first, last + 1)
    return _Axis([number * step for number in range(first, last + 1)], False)
