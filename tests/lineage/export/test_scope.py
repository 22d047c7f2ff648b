"""A part of the graph is what was asked for, and each event in it is told for what it was."""

from __future__ import annotations

import shutil

from lineage.export import gathering
from lineage.export.scope import MADE, MATCHED, READ, TAKEN, UNFINISHED
from lineage.store import opened


def names(known, ids):
    return {name for name, number in known.items() if number in ids}


def test_scope_of_a_model_is_what_it_was_made_from_what_judged_it_and_its_pushes(small):
    scope = small.model()

    expected = {"gen", "train", "gate", "push", "evaluation failed", "gate stopped", "push died"}
    assert names(small.executions, scope.graph.executions) == expected
    assert names(small.artifacts, scope.graph.artifacts) == {
        *("examples", "model", "model_run", "decision", "blessing", "pushed", "half")
    }


def test_scope_of_a_run_holds_what_it_took_from_the_cache_but_not_what_made_that(small):
    scope = small.run("20260102-000000.000001")

    assert "gen" not in names(small.executions, scope.graph.executions)
    assert not [use for _, use in scope.uses(MADE)]
    assert names(small.artifacts, {use.artifact for _, use in scope.uses(TAKEN)}) == {"examples", "model", "model_run"}


def test_every_artifact_is_made_at_most_once(small):
    made = [use.artifact for _, use in small.everything().uses(MADE)]

    assert len(made) == len(set(made))
    assert set(small.artifacts.values()) - set(made) == {small.artifacts["half"]}


def test_complete_execution_that_found_its_output_there_made_nothing_even_when_its_maker_is_out_of_scope(small):
    for scope in (small.everything(), small.run("20260103-000000.000001")):
        roles = {role for role, use in scope.uses() if use.execution == small.executions["import"]}
        assert roles == {TAKEN}


def test_cached_executions_read_nothing_and_failed_ones_made_nothing(small):
    roles = {}
    for role, use in small.everything().uses():
        roles.setdefault(use.execution, set()).add(role)

    assert roles[small.executions["train again"]] == {MATCHED, TAKEN}
    assert roles[small.executions["evaluation failed"]] == {READ, UNFINISHED}
    assert roles[small.executions["push died"]] == {READ}


def test_model_and_push_that_are_live_are_known_by_the_bytes_that_are_served(small):
    scope = small.everything()

    assert names(small.artifacts, scope.live) == {"model", "pushed"}
    assert len(set(scope.live.values())) == 1
    assert set(scope.pushed_by) == {small.artifacts["pushed"]}


def test_version_that_was_altered_is_not_marked_live(small, tmp_path):
    serving = tmp_path / "models"
    shutil.copytree(small.places.serving_root, serving)
    for model in serving.rglob("saved_model.pb"):
        model.write_bytes(b"another model")
    places = type(small.places)(small.places.root, str(serving), small.places.metadata)
    with places.opened() as store:
        assert gathering.scope(store, small.everything().graph, places).live == {}


def test_store_has_the_same_id_wherever_a_copy_of_it_lies(small, store_writer, tmp_path):
    copy = tmp_path / "copy.sqlite"
    shutil.copy(small.places.metadata, copy)
    with opened(str(copy)) as store:
        assert gathering.identity(store) == small.everything().store
    store_writer.execute("digits", "20260101-000000.000002", "ExampleGen")
    assert gathering.identity(store_writer.store) != small.everything().store
