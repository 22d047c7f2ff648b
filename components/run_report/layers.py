"""Places a graph in layers, from above to below: boxes, and lines that run between the boxes and never through one.

After Sugiyama, Tagawa, Toda 1981 (IEEE Trans SMC 11:109): each box one layer below the lowest of those it comes from; a line
that passes a layer has a place of its own there, which all lines from the same artifact share; boxes of a layer in the order of
the mean place of their neighbours. Deterministic, and quick for some dozens of boxes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

Place = Hashable
_SWEEPS = 12
_PASSING = 14.0
"""Width that a line needs where it passes a layer."""


@dataclass(frozen=True)
class Edge:
    """From one box to another, as one of what `source` made: edges with an equal `bundle` share their way."""

    source: int
    target: int
    bundle: int


@dataclass(frozen=True)
class Layout:
    """Where everything is: the layer and the centre of each box and of each passing line, and the way of each edge.

    layers: places from left to right, by layer; a place is a box's number, or (bundle, layer) where a line passes. centres: by
    place. ways: for each edge the places on its way, source and target included.
    """

    layers: list[list[Place]]
    centres: dict[Place, float]
    ways: dict[Edge, list[Place]]
    width: float


def layout(boxes: Sequence[int], edges: Sequence[Edge], *, box_width: float, gap: float) -> Layout:
    """Returns where `boxes` go; edges must not lead round in a circle."""
    layer = _layers(boxes, edges)
    ways = {edge: _way(edge, layer) for edge in edges}
    rows: list[list[Place]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for box in boxes:
        rows[layer[box]].append(box)
    for way in ways.values():
        for place in way[1:-1]:
            row = rows[place[1]]  # type: ignore[index]  # a passing place is (bundle, layer)
            if place not in row:
                row.append(place)
    links = [pair for way in ways.values() for pair in pairwise(way)]
    above, below = _neighbours(links)
    _order(rows, above, below)
    widths = {place: box_width if isinstance(place, int) else _PASSING for row in rows for place in row}
    centres = _centres(rows, above, below, widths, gap)
    left = min((centres[place] - widths[place] / 2 for place in centres), default=0.0)
    centres = {place: centre - left for place, centre in centres.items()}
    width = max((centres[place] + widths[place] / 2 for place in centres), default=0.0)
    return Layout(rows, centres, ways, width)


def _layers(boxes: Sequence[int], edges: Sequence[Edge]) -> dict[int, int]:
    layer = dict.fromkeys(boxes, 0)
    for _ in boxes:  # the longest way to each, which is no longer than there are boxes
        for edge in edges:
            layer[edge.target] = max(layer[edge.target], layer[edge.source] + 1)
    sources = set(boxes) - {edge.target for edge in edges}
    for box in sources:  # what comes from nowhere stands where it is needed
        needed = [layer[edge.target] for edge in edges if edge.source == box]
        layer[box] = min(needed, default=1) - 1
    return layer


def _way(edge: Edge, layer: Mapping[int, int]) -> list[Place]:
    passed = range(layer[edge.source] + 1, layer[edge.target])
    return [edge.source, *((f"bundle {edge.bundle}", number) for number in passed), edge.target]


def _neighbours(links: Iterable[tuple[Place, Place]]) -> tuple[dict[Place, list[Place]], dict[Place, list[Place]]]:
    above: dict[Place, list[Place]] = defaultdict(list)
    below: dict[Place, list[Place]] = defaultdict(list)
    for upper, lower in dict.fromkeys(links):
        above[lower].append(upper)
        below[upper].append(lower)
    return above, below


def _order(rows: list[list[Place]], above: Mapping[Place, list[Place]], below: Mapping[Place, list[Place]]) -> None:
    """Sorts each layer by the mean place of the neighbours, downwards and upwards in turn, and keeps the best."""
    best, fewest = [list(row) for row in rows], _crossings(rows, below)
    for sweep in range(_SWEEPS):
        downwards = sweep % 2 == 0
        for row, fixed in _pairs(rows, downwards):
            at = {place: number for number, place in enumerate(fixed)}
            beside = above if downwards else below
            mean = {place: _mean([at[one] for one in beside.get(place, []) if one in at], row.index(place)) for place in row}
            row.sort(key=lambda place: mean[place])
        if (crossings := _crossings(rows, below)) < fewest:
            best, fewest = [list(row) for row in rows], crossings
    rows[:] = best


def _pairs(rows: list[list[Place]], downwards: bool) -> list[tuple[list[Place], list[Place]]]:
    """Each layer with the one that it is sorted by."""
    if downwards:
        return list(zip(rows[1:], rows, strict=False))
    return list(zip(rows[-2::-1], rows[:0:-1], strict=False))


def _crossings(rows: list[list[Place]], below: Mapping[Place, list[Place]]) -> int:
    count = 0
    for upper, lower in pairwise(rows):
        at = {place: number for number, place in enumerate(lower)}
        lines = [(number, at[one]) for number, place in enumerate(upper) for one in below.get(place, [])]
        count += sum(a < c and b > d for a, b in lines for c, d in lines)
    return count


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else float(default)


def _centres(
    rows: list[list[Place]],
    above: Mapping[Place, list[Place]],
    below: Mapping[Place, list[Place]],
    widths: Mapping[Place, float],
    gap: float,
) -> dict[Place, float]:
    """Draws everything towards its neighbours, as far as the order and the gaps allow."""
    centres: dict[Place, float] = {}
    for row in rows:
        at = 0.0
        for place in row:
            centres[place] = at + widths[place] / 2
            at += widths[place] + gap
        middle = (at - gap) / 2
        centres |= {place: centres[place] - middle for place in row}
    for sweep in range(2 * _SWEEPS):
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            wanted = [
                _mean([centres[one] for one in (*above.get(place, []), *below.get(place, []))], centres[place]) for place in row
            ]
            centres |= dict(zip(row, _apart(wanted, [widths[place] for place in row], gap), strict=True))
    return centres


def _apart(wanted: Sequence[float], widths: Sequence[float], gap: float) -> list[float]:
    """Moves centres apart until nothing overlaps: those that would are a block, around the mean of what they want."""
    blocks: list[tuple[float, list[int]]] = []  # sum of the wanted left ends, members
    offsets = [0.0]
    for left, right in pairwise(widths):
        offsets.append(offsets[-1] + (left + right) / 2 + gap)
    for number in range(len(wanted)):
        total, members = wanted[number] - offsets[number], [number]
        while blocks and blocks[-1][0] / len(blocks[-1][1]) > total / len(members):
            before = blocks.pop()
            total, members = total + before[0], before[1] + members
        blocks.append((total, members))
    return [total / len(members) + offsets[number] for total, members in blocks for number in members]
