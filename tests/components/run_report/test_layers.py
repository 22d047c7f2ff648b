"""The layout of the lineage graph: nothing overlaps, and no line runs through a box, whatever the graph."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from components.run_report.layers import Edge, layout

WIDTH, GAP = 100.0, 20.0


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[int], list[Edge]]:
    """Some boxes, and edges from lower to higher numbers; a box has up to two bundles."""
    boxes = list(range(draw(st.integers(1, 12))))
    pairs = [(a, b) for a in boxes for b in boxes if a < b]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=30)) if pairs else []
    return boxes, [Edge(a, b, 2 * a + draw(st.integers(0, 1))) for a, b in chosen]


@given(graphs())
def test_boxes_and_passing_lines_of_a_layer_do_not_overlap(graph: tuple[list[int], list[Edge]]) -> None:
    placed = layout(*graph, box_width=WIDTH, gap=GAP)
    for row in placed.layers:
        ends = [(placed.centres[place], WIDTH / 2 if isinstance(place, int) else 0.0) for place in row]
        assert all(left + half + GAP <= right - other + 1e-6 for (left, half), (right, other) in pairwise(ends))


@given(graphs())
def test_every_edge_leads_down_through_every_layer_between(graph: tuple[list[int], list[Edge]]) -> None:
    placed = layout(*graph, box_width=WIDTH, gap=GAP)
    layer = {place: number for number, row in enumerate(placed.layers) for place in row}
    assert {place for place in layer if isinstance(place, int)} == set(graph[0])
    for edge in graph[1]:
        way = placed.ways[edge]
        assert (way[0], way[-1]) == (edge.source, edge.target)
        assert [layer[place] for place in way] == list(range(layer[edge.source], layer[edge.target] + 1))


@given(graphs())
def test_layout_is_the_same_every_time_and_within_its_width(graph: tuple[list[int], list[Edge]]) -> None:
    placed = layout(*graph, box_width=WIDTH, gap=GAP)
    assert placed == layout(*graph, box_width=WIDTH, gap=GAP)
    assert all(-1e-6 <= centre <= placed.width + 1e-6 for centre in placed.centres.values())


def test_chain_stands_in_one_column() -> None:
    placed = layout([1, 2, 3], [Edge(1, 2, 1), Edge(2, 3, 2)], box_width=WIDTH, gap=GAP)
    assert placed.layers == [[1], [2], [3]]
    assert len(set(placed.centres.values())) == 1


def test_lines_from_one_artifact_share_their_way() -> None:
    placed = layout(
        [1, 2, 3, 4, 5],
        [Edge(1, 2, 1), Edge(2, 3, 2), Edge(3, 4, 3), Edge(1, 4, 1), Edge(3, 5, 3), Edge(1, 5, 1)],
        box_width=1,
        gap=1,
    )
    passing = [place for row in placed.layers for place in row if not isinstance(place, int)]
    assert len(passing) == 2  # one in each of the two layers between, for both
