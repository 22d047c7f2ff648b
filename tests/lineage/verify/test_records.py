"""What verification says of ML Metadata that somebody added to or edited: executions, states, contexts, paths of events."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from ml_metadata.proto import metadata_store_pb2

from pipeline.run_log import RunLog

STATES = metadata_store_pb2.Execution.State


@pytest.mark.parametrize("state", ["RUNNING", "NEW", "COMPLETE"])
def test_execution_that_was_added_to_a_run_that_is_over_is_an_alteration_and_its_output_named(small: Any, state: str) -> None:
    number, _ = small.writer.execute("small", "run-1", "Other", {}, {"model": [small.model]}, getattr(STATES, state))
    for everything in (False, True):
        [found] = small.found("execution", everything=everything)
        assert (found.state, found.subject) == ("altered", f"execution {number}, Other, with output {small.model}")


def test_unfinished_execution_in_a_run_that_nobody_knows_is_unproven_when_it_has_an_output_on_the_way(small: Any) -> None:
    number, _ = small.writer.execute("small", "run-x", "Other", {}, {"model": [small.model]}, STATES.RUNNING)
    [found] = small.found("execution")
    assert (found.state, found.got) == ("unproven", "run run-x, running")
    assert str(number) in found.subject


def test_execution_of_a_run_that_is_under_way_or_was_interrupted_is_no_alteration(small: Any) -> None:
    log = RunLog(str(small.folder), "small", "run-2")
    log.started({"seed": 42})
    small.writer.execute("small", "run-2", "Trainer", {}, {}, STATES.RUNNING)
    assert small.found("execution", everything=True) == []
    small.writer.execute("small", "run-2", "Other", {}, {})
    log.ended(small.store, "interrupted")
    assert [one.state for one in small.found("execution", everything=True)] == ["altered", "unproven"]


@pytest.mark.parametrize("state", [0, 1, 3, 5, 6])
def test_artifact_in_another_state_than_live_is_altered(small: Any, state: int) -> None:
    model = small.artifact(small.model)
    model.state = state
    small.store.put_artifacts([model])
    [found] = small.found("record")
    assert (found.state, found.expected) == ("altered", "state live")


def edited(small: Any, sql: str) -> None:
    with sqlite3.connect(small.writer.path) as database:
        assert database.execute(sql).rowcount


def test_context_that_the_cache_finds_an_execution_by_is_held(small: Any) -> None:
    small.writer.context("execution_cache", "abc")
    edited(
        small,
        "INSERT INTO Association (context_id, execution_id)"
        f" SELECT id, {small.executions['Trainer']} FROM Context WHERE name = 'abc'",
    )
    [found] = small.found("execution")
    assert (found.state, "execution_cache abc" in found.got) == ("altered", True)


@pytest.mark.parametrize("column", ["name = 'x' WHERE name = 'small.Trainer'", "name = 'x' WHERE name = 'small'"])
def test_name_of_a_context_is_held(small: Any, column: str) -> None:
    edited(small, f"UPDATE Context SET {column}")
    assert "altered" in [one.state for one in small.found("execution")]


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE EventPath SET step_key = 'x' WHERE NOT is_index_step",
        "UPDATE EventPath SET step_index = 9 WHERE is_index_step",
        "UPDATE EventPath SET is_index_step = 1, step_index = 0 WHERE NOT is_index_step",
        "DELETE FROM EventPath WHERE is_index_step",
    ],
)
def test_path_of_an_event_is_held(small: Any, edit: str) -> None:
    edited(small, edit)
    assert {one.state for one in small.found("execution")} == {"altered"}
