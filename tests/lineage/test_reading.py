"""What is read from a real store is what happened, in stores of any size, with all that TFX leaves in them."""

from __future__ import annotations

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from lineage import reading
from lineage.graph import CACHED, COMPLETE, FAILED, RUNNING
from tests.lineage.conftest import STATES


@pytest.fixture
def chain(store_writer):
    """Data -> model -> report, then a cached run of all, a failed and a dead training; ids by name."""
    write, ids = store_writer, {}

    def execute(name, run, node, inputs, outputs, state=STATES.COMPLETE, pipeline="p"):
        taken = {key: [ids[one]] for key, one in inputs.items()}
        made = {key: [ids.get(one) or write.artifact("T", f"/{one}", digest=one)] for key, one in outputs.items()}
        ids[name], got = write.execute(pipeline, run, node, taken, made, state, {"seed": 1})
        ids.update({one: got[key][0] for key, one in outputs.items()})

    execute("gen", "r1", "Gen", {}, {"examples": "data"})
    execute("train", "r1", "Train", {"examples": "data"}, {"model": "model"})
    execute("report", "r1", "Report", {"model": "model", "examples": "data"}, {"report": "report"})
    execute("gen cached", "r2", "Gen", {}, {"examples": "data"}, STATES.CACHED)
    execute("train cached", "r2", "Train", {"examples": "data"}, {"model": "model"}, STATES.CACHED)
    execute("train failed", "r3", "Train", {"examples": "data"}, {}, STATES.FAILED)
    execute("train died", "r4", "Train", {"examples": "data"}, {}, STATES.RUNNING)
    execute("train b", "r5", "Train", {"examples": "data"}, {"model": "model b"}, pipeline="q")
    return write.store, ids


def of(ids, *names):
    return {ids[name] for name in names}


def test_everything_is_there_with_node_pipeline_run_and_state(chain):
    store, ids = chain
    graph = reading.everything(store)
    died, other = graph.executions[ids["train died"]], graph.executions[ids["train b"]]

    assert set(graph.artifacts) == of(ids, "data", "model", "report", "model b")
    assert (died.node, died.pipeline, died.run, died.state) == ("Train", "p", "r4", RUNNING)
    assert (other.node, other.pipeline, other.run, other.state) == ("Train", "q", "r5", COMPLETE)
    assert graph.artifacts[ids["data"]].digest == "data" and graph.artifacts[ids["data"]].state == "live"
    assert {name: run.pipeline for name, run in graph.runs.items()} == {"r1": "p", "r2": "p", "r3": "p", "r4": "p", "r5": "q"}
    assert graph.runs["r1"].facts == {"seed": 1}


def test_upstream_is_what_made_it_and_not_who_took_it_from_the_cache(chain):
    store, ids = chain
    graph = reading.upstream(store, [ids["report"]])

    assert set(graph.executions) == of(ids, "gen", "train", "report")
    assert set(graph.artifacts) == of(ids, "data", "model", "report")
    assert graph.upstream([ids["report"]]) == set(graph.artifacts)


def test_downstream_is_what_was_made_from_it_and_all_who_had_it_for_an_input(chain):
    store, ids = chain
    graph = reading.downstream(store, [ids["data"]])

    assert graph.downstream([ids["data"]]) == of(ids, "data", "model", "report", "model b")
    assert set(graph.executions) == of(ids, "train", "report", "train cached", "train failed", "train died", "train b")
    assert {graph.executions[ids[name]].state for name in ("train cached", "train failed")} == {CACHED, FAILED}


def test_what_a_cached_execution_had_for_an_output_is_not_made_by_it(chain):
    store, ids = chain
    graph = reading.everything(store)

    assert graph.producer(ids["model"]).id == ids["train"]
    assert {one.id for one in graph.publications(ids["model"])} == of(ids, "train", "train cached")


def test_maker_is_found_when_a_failed_execution_had_it_for_an_output_before(store_writer):
    first, made = store_writer.execute("p", "r1", "A", {}, {"o": [store_writer.artifact("T", "/x")]}, STATES.FAILED)
    second, _ = store_writer.execute("p", "r2", "A", {}, {"o": made["o"]})
    store_writer.execute("p", "r3", "A", {}, {"o": made["o"]})

    for graph in (reading.upstream(store_writer.store, made["o"]), reading.makers(store_writer.store, made["o"])):
        assert graph.producer(made["o"][0]).id == second
        assert first not in graph.executions


def test_artifact_of_a_failed_execution_alone_has_no_maker(store_writer):
    _, made = store_writer.execute("p", "r", "A", {}, {"o": [store_writer.artifact("T", "/x")]}, STATES.FAILED)
    graph = reading.upstream(store_writer.store, made["o"])

    assert set(graph.artifacts) == set(made["o"]) and graph.producer(made["o"][0]) is None


def test_walk_goes_on_from_what_it_met_before_as_something_else_beside(store_writer):
    """A diamond: `late` is first seen as another output of a maker, and only then is an input on the way."""
    write = store_writer
    _, first = write.execute("p", "r", "Source", {}, {"o": [write.artifact("T", "/source")]})
    _, pair = write.execute(
        "p", "r", "Pair", {"i": first["o"]}, {"a": [write.artifact("T", "/a")], "late": [write.artifact("T", "/b")]}
    )
    _, middle = write.execute("p", "r", "Middle", {"i": pair["late"]}, {"o": [write.artifact("T", "/middle")]})
    _, last = write.execute("p", "r", "Last", {"i": [*pair["a"], *middle["o"]]}, {"o": [write.artifact("T", "/last")]})
    everything = {*first["o"], *pair["a"], *pair["late"], *middle["o"], *last["o"]}

    up, down = reading.upstream(write.store, last["o"]), reading.downstream(write.store, first["o"])
    assert up.upstream(last["o"]) == everything
    assert down.downstream(first["o"]) == everything
    assert {up.producer(one).node for one in everything} == {"Source", "Pair", "Middle", "Last"}


def test_side_input_of_one_that_is_later_upstream_of_another_is_walked(store_writer):
    """Downstream of `a`: its user also reads `b`, which is made from `a` by a longer way."""
    write = store_writer
    _, a = write.execute("p", "r", "A", {}, {"o": [write.artifact("T", "/a")]})
    _, b = write.execute("p", "r", "B", {"i": a["o"]}, {"o": [write.artifact("T", "/b")]})
    _, c = write.execute("p", "r", "C", {"i": [*a["o"], *b["o"]]}, {"o": [write.artifact("T", "/c")]})
    _, d = write.execute("p", "r", "D", {"i": b["o"]}, {"o": [write.artifact("T", "/d")]})

    assert reading.downstream(write.store, a["o"]).downstream(a["o"]) == {*a["o"], *b["o"], *c["o"], *d["o"]}
    assert reading.upstream(write.store, d["o"]).upstream(d["o"]) == {*a["o"], *b["o"], *d["o"]}


def test_events_of_a_resolver_neither_read_nor_make(store_writer):
    write = store_writer
    _, made = write.execute("p", "r1", "Train", {}, {"model": [write.artifact("Model", "/m")]})
    resolver, _ = write.execute("p", "r2", "ServedModel")
    for kind in (mlmd.Event.INTERNAL_INPUT, mlmd.Event.INTERNAL_OUTPUT):
        write.store.put_events([mlmd.Event(type=kind, execution_id=resolver, artifact_id=made["model"][0])])

    graph = reading.everything(write.store)
    assert resolver in graph.executions and not [use for use in graph.uses if use.execution == resolver]
    assert graph.producer(made["model"][0]).node == "Train"
    assert resolver not in reading.downstream(write.store, made["model"]).executions


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """620 artifacts, each of an execution of its own, all used by one; the store and the ids."""
    from tests.lineage.conftest import StoreWriter

    write = StoreWriter(tmp_path_factory.mktemp("many") / "metadata.sqlite")
    kind, user = write.type_id("artifact", "T"), write.type_id("execution", "Use")
    artifacts = write.store.put_artifacts([mlmd.Artifact(type_id=kind, uri=f"/{one}") for one in range(620)])
    states = [mlmd.Execution(type_id=user, last_known_state=STATES.COMPLETE) for _ in range(621)]
    *makers, last = write.store.put_executions(states)
    run = write.context("pipeline_run", "r")
    write.store.put_attributions_and_associations(
        [], [mlmd.Association(execution_id=one, context_id=run.id) for one in (*makers, last)]
    )
    event = mlmd.Event
    made = [event(type=event.OUTPUT, execution_id=one, artifact_id=other) for one, other in zip(makers, artifacts, strict=True)]
    read = [event(type=event.INPUT, execution_id=last, artifact_id=one) for one in artifacts]
    (end,) = write.store.put_artifacts([mlmd.Artifact(type_id=kind, uri="/end")])
    write.store.put_events([*made, *read, event(type=event.OUTPUT, execution_id=last, artifact_id=end)])
    return write.store, artifacts, makers, last, end


def test_walk_from_more_starting_points_than_ml_metadata_takes_leaves_none_out(many):
    store, artifacts, makers, last, end = many

    assert set(reading.downstream(store, artifacts).artifacts) == {*artifacts, end}
    assert set(reading.upstream(store, artifacts).executions) == set(makers)
    assert set(reading.upstream(store, [end]).artifacts) == {*artifacts, end}
    assert set(reading.upstream(store, [end]).executions) == {*makers, last}


def test_every_one_of_many_executions_is_filed_under_its_run(many):
    store, _, makers, *_ = many

    assert {one.run for one in reading.everything(store).executions.values()} == {"r"}
    assert len(reading.of_runs(store, ["r"]).executions) == len(makers) + 1


def test_parts_are_asked_for_by_run_type_place_and_id(chain):
    store, ids = chain

    assert [run.name for run in reading.runs(store)] == ["r1", "r2", "r3", "r4", "r5"]
    assert set(reading.of_runs(store, ["r2", "none", "r2"]).executions) == of(ids, "gen cached", "train cached")
    assert reading.of_runs(store, ["none"]).executions == {}
    assert [one.id for one in reading.of_type(store, "T", "Unknown")] == sorted(of(ids, "data", "model", "report", "model b"))
    assert [one.id for one in reading.at(store, "/model")] == [ids["model"]] and reading.at(store, "/none") == []
    assert [one.id for one in reading.by_id(store, [ids["model"], 999, ids["data"]])] == [ids["data"], ids["model"]]


def test_users_are_told_by_the_key_under_which_they_had_it(chain):
    store, ids = chain

    assert set(reading.users(store, [ids["data"]], "examples").executions) == of(
        ids, "train", "report", "train cached", "train failed", "train died", "train b"
    )
    assert set(reading.users(store, [ids["model"]], "model").executions) == of(ids, "report")
    assert reading.users(store, [ids["model"]], "examples").executions == {}


def test_parts_join_to_one_graph_without_doubles(chain):
    store, ids = chain
    up, down = reading.upstream(store, [ids["model"]]), reading.downstream(store, [ids["model"]])
    joined = reading.joined(up, down, up)

    assert set(joined.artifacts) == of(ids, "data", "model", "report")
    assert set(joined.executions) == of(ids, "gen", "train", "report")
    assert len(set(joined.uses)) == len(joined.uses) == 6


def test_empty_store_and_unknown_ids_give_empty_graphs(store_writer):
    for graph in (reading.everything(store_writer.store), reading.upstream(store_writer.store, [7])):
        assert (graph.artifacts, graph.executions, graph.uses, graph.runs) == ({}, {}, (), {})
    assert reading.downstream(store_writer.store, []).artifacts == {}


def test_values_of_every_kind_are_read(store_writer):
    artifact = store_writer.artifact("T", "/x", text="a", whole=3, broken=0.5)
    artifact.custom_properties["yes"].bool_value = True
    artifact.custom_properties["deep"].struct_value["a"] = 1
    store_writer.execute("p", "r", "A", {}, {"o": [artifact]})
    (found,) = reading.everything(store_writer.store).artifacts.values()

    assert found.properties == {"text": "a", "whole": 3, "broken": 0.5, "yes": True, "deep": '{"a": 1.0}'}


def test_custom_property_counts_where_both_have_a_name():
    both = mlmd.Artifact()
    both.properties["name"].string_value, both.properties["only"].int_value = "stock", 1
    both.custom_properties["name"].string_value = "ours"

    assert reading.values(both) == {"name": "ours", "only": 1}


def test_uses_hold_key_index_and_side(store_writer):
    _, made = store_writer.execute("p", "r", "A", {}, {"o": [store_writer.artifact("T", f"/{one}") for one in "abc"]})
    store_writer.execute("p", "r", "B", {"i": list(reversed(made["o"]))})
    graph = reading.everything(store_writer.store)

    assert [artifact.uri for artifact in graph.inputs(2)["i"]] == ["/c", "/b", "/a"]
    assert [artifact.uri for artifact in graph.outputs(1)["o"]] == ["/a", "/b", "/c"]
    assert all(use.time.tzinfo is not None for use in graph.uses)
