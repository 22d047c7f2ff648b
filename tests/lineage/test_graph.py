"""The graph tells who made what, in any part of it."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from lineage.graph import CACHED, COMPLETE, FAILED, RUNNING, Artifact, Execution, Graph, Use, whole

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


def graph(executions, uses, artifacts=None):
    """`executions`: id -> state; `uses`: (execution, artifact, output) with a key, or without."""
    uses = tuple(Use(one, other, (*key, "k")[0], index, output, NOW) for index, (one, other, output, *key) in enumerate(uses))
    artifacts = {use.artifact for use in uses} if artifacts is None else artifacts
    return Graph(
        {one: Artifact(one, "ABC"[one % 3], f"/{one}", "live", "", {}, NOW) for one in artifacts},
        {one: Execution(one, "T", "node", "p", f"r{one % 2}", state, {}, NOW, NOW) for one, state in executions.items()},
        uses,
        {},
    )


def test_producer_is_the_first_that_completed():
    made = graph({1: FAILED, 2: COMPLETE, 3: CACHED, 4: COMPLETE}, [(number, 7, True) for number in (4, 3, 2, 1)])

    assert made.producer(7).id == 2
    assert [one.id for one in made.publications(7)] == [1, 2, 3, 4]


def test_what_only_cached_failed_or_dead_ones_put_out_has_no_producer():
    made = graph({1: FAILED, 3: CACHED, 4: RUNNING}, [(number, 7, True) for number in (1, 3, 4)])

    assert made.producer(7) is None and made.upstream([7]) == {7}


def test_users_are_told_once_in_whichever_state():
    used = graph({1: FAILED, 2: CACHED, 3: COMPLETE}, [(3, 7, False), (3, 7, False), (1, 7, False), (2, 7, False)])

    assert [one.id for one in used.users(7)] == [1, 2, 3]


def test_sides_are_by_key_in_the_order_in_which_they_were_given():
    sides = graph({1: COMPLETE}, [(1, 5, False, "b"), (1, 4, False, "a"), (1, 3, False, "b"), (1, 6, True, "o")])

    assert {key: [one.id for one in some] for key, some in sides.inputs(1).items()} == {"a": [4], "b": [5, 3]}
    assert {key: [one.id for one in some] for key, some in sides.outputs(1).items()} == {"o": [6]}
    assert sides.inputs(99) == {}


def test_closures_go_through_what_completed_only():
    chain = [(1, 1, True), (2, 1, False), (2, 2, True), (3, 2, False), (3, 3, True), (4, 1, False), (4, 4, True)]
    whole = graph({1: COMPLETE, 2: COMPLETE, 3: COMPLETE, 4: FAILED}, chain)

    assert whole.downstream([1]) == {1, 2, 3}
    assert whole.upstream([3]) == {1, 2, 3}
    assert whole.upstream([4]) == {4}
    assert whole.upstream([2, 4]) == {1, 2, 4}


def test_circle_that_ml_metadata_should_not_hold_ends():
    circle = graph({1: COMPLETE, 2: COMPLETE}, [(1, 1, False), (1, 2, True), (2, 2, False), (2, 1, True)])

    assert circle.upstream([1]) == circle.downstream([1]) == {1, 2}


def test_long_chain_is_walked_without_recursion():
    length = 5_000
    uses = [use for one in range(1, length) for use in ((one, one, False), (one, one + 1, True))]
    chain = graph(dict.fromkeys(range(1, length), COMPLETE), uses)

    assert len(chain.upstream([length])) == len(chain.downstream([1])) == length


def test_uses_that_point_out_of_a_part_are_passed_over():
    part = graph({1: COMPLETE}, [(1, 1, False), (1, 2, True), (9, 2, False), (9, 3, True)], artifacts=[2])

    assert part.inputs(1) == {} and [one.id for one in part.outputs(1)["k"]] == [2]
    assert part.users(2) == [] and part.upstream([2]) == part.downstream([2]) == {2}
    assert part.upstream([1]) == set()


def test_runs_and_types_are_listed_oldest_first():
    some = graph({4: COMPLETE, 2: COMPLETE, 1: COMPLETE}, [(1, 6, True), (1, 3, True), (1, 4, True)])

    assert [one.id for one in some.of_run("r0")] == [2, 4] and some.of_run("none") == []
    assert [one.id for one in some.of_type("A")] == [3, 6] and some.of_type("X") == []


def test_digest_is_empty_if_none_was_recorded():
    assert Artifact(1, "T", "/x", "live", "", {}, NOW).digest == ""
    assert Artifact(1, "T", "/x", "live", "", {"digest": "ab"}, NOW).digest == "ab"


@pytest.mark.parametrize("said", ["abc", "11", float("nan"), float("inf"), 0, ""])
def test_id_of_a_model_that_is_none_is_no_id(said):
    assert Artifact(1, "PushedModel", "/1", "live", "", {"model_id": said}, NOW).model_id is None


@pytest.mark.parametrize(("said", "expected"), [(3, 3), (3.0, 3), ("3", 3), ("x", None), (float("inf"), None), (None, None)])
def test_property_that_should_be_a_whole_number_is_one_or_nothing(said, expected):
    assert whole(said) == expected
