"""Draws a division as SVG: how many examples clients have, and of which labels. No client ids; same sample, same bytes."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import numpy as np

from components import charts
from components.charts import add
from components.federated_split.sample import MAX_COLOURS, Sample

# In units of the view box; text of 14 is legible from 600 pixels on.
_WIDTH, _LEFT, _TOP, _GAP = 1000, 76, 98, 58
_PLOT, _PLOT_ALONE = 690, 896
_SIZES, _LABELS = 150, 230
_ALL_X, _ALL_WIDTH, _LEGEND_X = 784, 34, 838
_LABEL_LENGTH = 14
# From this ratio of the largest to the median client on, a linear axis would leave most bars too small to be seen.
_LOGARITHMIC = 20

_STYLE = (
    charts.style("partition")
    + """
.partition .size { fill: #64748b; }
@media (prefers-color-scheme: dark) {
.partition .size { fill: #94a3b8; }
}
"""
)


def draw(sample: Sample, strategy: str, divergence: float | None) -> bytes:
    """Returns the picture as an SVG document.

    Args:
      sample: the clients to draw, a column each.
      strategy: its name is in the title.
      divergence: mean label divergence in bits, None when there are no labels.
    """
    labelled = bool(sample.labels)
    height = _TOP + _SIZES + (_GAP + _LABELS if labelled else 0) + 52
    svg = ET.Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {_WIDTH} {height}", role="img")
    svg.set("class", "partition")
    svg.set("font-family", "Helvetica, Arial, sans-serif")
    title = f"{strategy}: {_number(sample.clients)} clients, {_number(sample.examples)} examples"
    add(svg, "title", title)
    add(svg, "style", _STYLE)
    add(svg, "rect", None, "sheet", width=_WIDTH, height=height, rx=12)
    add(svg, "text", title, "title", x=24, y=36)
    add(svg, "text", _subtitle(sample, divergence), x=24, y=60)
    plot = _PLOT if labelled else _PLOT_ALONE
    _draw_sizes(svg, sample, plot)
    if labelled:
        _draw_labels(svg, sample, _TOP + _SIZES + _GAP)
    add(svg, "text", _caption(sample), "middle", x=_LEFT + plot / 2, y=height - 20)
    return ET.tostring(svg, encoding="utf-8", xml_declaration=True) + b"\n"


def _subtitle(sample: Sample, divergence: float | None) -> str:
    sizes = f"{_number(sample.sizes[-1])} to {_number(sample.sizes[0])} examples each, median {_number(sample.median)}"
    if divergence is None:
        return sizes
    return f"{sizes}; label divergence {divergence:.2f} (0: every client is like the whole, 1: no label in common)"


def _caption(sample: Sample) -> str:
    if len(sample.sizes) == sample.clients:
        return "each column is one client, the largest on the left"
    columns, clients = _number(len(sample.sizes)), _number(sample.clients)
    return f"each column is one client: {columns} of {clients}, evenly spaced from the largest to the smallest"


def _draw_sizes(svg: ET.Element, sample: Sample, plot: float) -> None:
    largest, bottom = int(sample.sizes[0]), _TOP + _SIZES
    logarithmic = largest > _LOGARITHMIC * max(1.0, sample.median)
    scale = np.log10(1 + sample.sizes.astype(float)) if logarithmic else sample.sizes.astype(float)
    top = math.log10(1 + largest) if logarithmic else float(largest)
    add(svg, "text", f"Examples{' (logarithmic scale)' if logarithmic else ''}", "head", x=_LEFT, y=_TOP - 12)
    for tick in _decades(largest) if logarithmic else _steps(largest):
        _gridline(svg, bottom - _SIZES * (math.log10(1 + tick) if logarithmic else tick) / top, _number(tick), plot)
    heights = _SIZES * scale / top
    bars = [(x, bottom - h, width, h) for (x, width), h in zip(_columns(len(scale), plot), heights.tolist(), strict=True)]
    add(svg, "path", None, "size", d=_rectangles(bars))
    _baseline(svg, bottom, plot)


def _draw_labels(svg: ET.Element, sample: Sample, top: float) -> None:
    add(svg, "text", "Labels", "head", x=_LEFT, y=top - 12)
    for percent in (0, 50, 100):
        _gridline(svg, top + _LABELS * (1 - percent / 100), f"{percent} %", _PLOT)
    places = [*_columns(len(sample.sizes), _PLOT), (_ALL_X, _ALL_WIDTH)]
    counts = np.vstack([sample.counts, sample.totals])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    starts = np.cumsum(shares, axis=1) - shares
    for number, name in enumerate([*sample.labels, *([f"{_number(sample.others)} others"] if sample.others else [])]):
        bars = [
            (x, top + _LABELS * start, width, _LABELS * share)
            for (x, width), start, share in zip(places, starts[:, number].tolist(), shares[:, number].tolist(), strict=True)
        ]
        colour = charts.COLOURS[number] if number < len(sample.labels) else charts.OTHERS
        add(svg, "path", None, fill=colour, d=_rectangles(bars))
        _legend_entry(svg, number, name, colour, top)
    _baseline(svg, top + _LABELS, _PLOT)
    add(svg, "text", "all", "middle", x=_ALL_X + _ALL_WIDTH / 2, y=top + _LABELS + 18)


def _legend_entry(svg: ET.Element, number: int, name: str, colour: str, top: float) -> None:
    y = top + number * _LABELS / MAX_COLOURS
    add(svg, "rect", None, x=_LEGEND_X, y=y, width=13, height=13, rx=3, fill=colour)
    add(svg, "text", charts.short(name, _LABEL_LENGTH), x=_LEGEND_X + 20, y=y + 12)


def _columns(count: int, plot: float) -> Iterator[tuple[float, float]]:
    """Yields the left edge and width of each column."""
    pitch = plot / count
    width = min(pitch * 0.86, 60.0)
    yield from ((_LEFT + pitch * number + (pitch - width) / 2, width) for number in range(count))


def _rectangles(bars: list[tuple[float, float, float, float]]) -> str:
    """Returns path data of rectangles given by left, top, width and height; flat ones are left out."""
    return "".join(f"M{x:.2f} {y:.2f}h{w:.2f}v{h:.2f}h-{w:.2f}z" for x, y, w, h in bars if h > 0)


def _gridline(svg: ET.Element, y: float, label: str, plot: float) -> None:
    add(svg, "line", None, "grid", x1=_LEFT, x2=_LEFT + plot, y1=y, y2=y)
    add(svg, "text", label, "tick", x=_LEFT - 10, y=y + 5)


def _baseline(svg: ET.Element, y: float, plot: float) -> None:
    add(svg, "line", None, "base", x1=_LEFT, x2=_LEFT + plot, y1=y, y2=y)


def _steps(largest: int) -> list[int]:
    """Returns up to five round numbers from 0 to at most `largest`."""
    decade = 10 ** max(0, int(math.log10(largest)) - 1)
    step = next(s * decade for s in (1, 2, 5, 10, 20, 50, 100) if largest / (s * decade) < 5)
    return list(range(0, largest + 1, step))


def _decades(largest: int) -> list[int]:
    return [10**power for power in range(int(math.log10(largest)) + 1)]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"
