"""What is drawn can be read by the programs that draw, names each thing once, and marks what is live, cached and failed.

Graphviz's language is read with pydot's parser. Mermaid has none but its own, in JavaScript; `MERMAID` is the part of its
grammar that these drawings may use, after https://mermaid.js.org/syntax/flowchart.html.
"""

from __future__ import annotations

import html
import re

import pydot
import pytest

from lineage.export import dot, mermaid
from tests.lineage.export.conftest import NASTY

LABEL = r'"(?:[^"#;|`%<>\[\]{}:\\\n]|#\d+;|<br/>)+"'
MERMAID = {
    "subgraph": re.compile(rf"  subgraph r\d+\[(?P<label>{LABEL})\]"),
    "end": re.compile(r"  end"),
    "node": re.compile(
        rf"  (  )?(?P<name>[ae]\d+)(\((?P<artifact>{LABEL})\)|\[(?P<execution>{LABEL})\])(:::(?P<style>[a-z]+))?"
    ),
    "edge": re.compile(rf"  (?P<source>[ae]\d+) (?P<arrow>-->|-\.->)\|(?P<label>{LABEL})\| (?P<target>[ae]\d+)"),
    "class": re.compile(r"  classDef (?P<name>[a-z]+) [a-z0-9#:,\- ]+"),
}


def mermaid_read(text):
    """Kind -> matches, in order; fails on a line that Mermaid might not read."""
    first, *lines = text.splitlines()
    assert first == "flowchart LR"
    found = {kind: [] for kind in MERMAID}
    for line in lines:
        kinds = {kind: match for kind, pattern in MERMAID.items() if (match := pattern.fullmatch(line))}
        assert len(kinds) == 1, line
        kind, match = kinds.popitem()
        found[kind].append(match)
    return found


def mermaid_text(label):
    return re.sub(r"#(\d+);", lambda code: chr(int(code[1])), label.strip('"'))


def dot_nodes(graph):
    """Name -> attributes, of all clusters; of a name that is there twice a list of two."""
    found = {}
    for part in (graph, *graph.get_subgraphs()):
        for node in part.get_nodes():
            if re.fullmatch(r"[ae]\d+", node.get_name()):  # others are defaults, and the line break at the end
                found.setdefault(node.get_name(), []).append(node.get_attributes())
    return found


@pytest.fixture(scope="module")
def drawn(small):
    (graph,) = pydot.graph_from_dot_data(dot.export(small.everything()))
    return graph


def nasty(small):
    return f"a{small.artifacts['odd']}", f"e{small.executions['odd']}"


def test_both_name_every_artifact_and_execution_exactly_once(drawn, small):
    expected = sorted([*(f"a{one}" for one in small.artifacts.values()), *(f"e{one}" for one in small.executions.values())])
    nodes = mermaid_read(mermaid.export(small.everything()))["node"]

    assert sorted(match["name"] for match in nodes) == expected
    assert sorted(dot_nodes(drawn)) == expected
    assert all(len(given) == 1 for given in dot_nodes(drawn).values())


def test_both_draw_the_same_arrows(drawn, small):
    read = mermaid_read(mermaid.export(small.everything()))["edge"]
    edges = {
        (edge.get_source(), edge.get_destination(), edge.get_attributes().get("style") == "dashed")
        for edge in drawn.get_edges()
    }

    assert edges == {(match["source"], match["target"], match["arrow"] == "-.->") for match in read}


def test_cached_execution_has_no_arrow_to_what_it_took(drawn, small):
    cached = f"e{small.executions['train again']}"

    assert not [edge for edge in drawn.get_edges() if edge.get_source() == cached]
    taken = [edge for edge in drawn.get_edges() if edge.get_destination() == cached]
    assert {edge.get_source() for edge in taken} == {f"a{small.artifacts[name]}" for name in ("model", "model_run")}
    assert all(edge.get_attributes()["style"] == "dashed" for edge in taken)


@pytest.mark.parametrize(
    ("name", "style"),
    [
        ("train again", "cached"),
        ("evaluation failed", "failed"),
        ("gate stopped", "canceled"),
        ("push died", "running"),
        ("train", None),
    ],
)
def test_state_of_an_execution_is_in_its_label_and_its_style(drawn, small, name, style):
    number = f"e{small.executions[name]}"
    read = mermaid_read(mermaid.export(small.everything()))
    (node,) = [match for match in read["node"] if match["name"] == number]
    label = dot_nodes(drawn)[number][0]["label"]

    assert node["style"] == style
    assert style is None or (style in node["execution"] and style in label)
    assert style is None or style in {match["name"] for match in read["class"]}


def test_live_version_is_marked(drawn, small):
    version = small.everything().live[small.artifacts["model"]]
    read = mermaid_read(mermaid.export(small.everything()))
    live = {match["name"] for match in read["node"] if match["style"] == "live"}

    assert live == {f"a{small.artifacts[name]}" for name in ("model", "pushed")}
    assert f"live: {version}" in dot_nodes(drawn)[f"a{small.artifacts['model']}"][0]["label"]
    assert all(version in mermaid_text(match["artifact"]) for match in read["node"] if match["name"] in live)


def test_signs_that_mean_something_to_the_drawing_program_are_only_text(drawn, small):
    shown = NASTY.replace("\n", " ")
    read = mermaid_read(mermaid.export(small.everything()))
    (execution,) = [match["execution"] for match in read["node"] if match["name"] == nasty(small)[1]]
    label = dot_nodes(drawn)[nasty(small)[1]][0]["label"]

    assert mermaid_text(execution) == NASTY
    assert html.unescape(re.sub(r"\\(.)", r"\1", label.strip('"'))) == shown


def test_drawing_of_a_model_is_what_one_would_draw_by_hand(small):
    numbers = {name: f"a{number}" for name, number in small.artifacts.items()} | {
        name: f"e{number}" for name, number in small.executions.items()
    }
    edges = [
        "gen examples",
        "examples train, train model, train model_run",
        "examples gate, model gate, gate blessing, gate decision",
        "model push, blessing push, push pushed",
        "examples evaluation failed, model evaluation failed, evaluation failed half",
        "examples gate stopped, model gate stopped",
        "model push died",
    ]
    names = sorted(numbers, key=len, reverse=True)
    expected = set()
    for pair in ", ".join(edges).split(", "):
        source = next(name for name in names if pair.startswith(f"{name} ") and pair.removeprefix(f"{name} ") in numbers)
        expected.add((numbers[source], numbers[pair.removeprefix(f"{source} ")]))
    read = mermaid_read(mermaid.export(small.model()))

    assert {(match["source"], match["target"]) for match in read["edge"]} == expected
    assert [mermaid_text(match["label"]) for match in read["subgraph"]] == [
        "digits, run 20260101-000000.000001",
        "digits, run 20260102-000000.000001",
    ]


def test_text_that_mermaid_would_refuse_is_known(small):
    assert not mermaid.too_large(mermaid.export(small.everything()))
    assert mermaid.too_large("x" * 50_001)
    assert mermaid.too_large('  a1 -->|"k"| e1\n' * 501) and not mermaid.too_large('  a1 -->|"k"| e1\n' * 500)
