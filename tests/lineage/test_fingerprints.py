"""An edit of anything that a fingerprint is taken of changes it, and what ML Metadata changes by itself does not."""

from __future__ import annotations

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from lineage.fingerprints import ANCHOR, artifact_fingerprint, context_fingerprint, execution_fingerprint


def artifact():
    made = mlmd.Artifact(id=3, type="Model", uri="/m", name="n", state=mlmd.Artifact.LIVE, create_time_since_epoch=5)
    made.properties["span"].int_value = 1
    made.custom_properties["digest"].string_value = "ab"
    return made


def execution():
    made = mlmd.Execution(id=3, type="Train", name="n", last_known_state=mlmd.Execution.COMPLETE, create_time_since_epoch=5)
    made.properties["rounds"].int_value = 40
    made.custom_properties["settings"].string_value = "{}"
    return made


def events():
    first = mlmd.Event(artifact_id=1, execution_id=3, type=mlmd.Event.INPUT, milliseconds_since_epoch=7)
    second = mlmd.Event(artifact_id=2, execution_id=3, type=mlmd.Event.OUTPUT, milliseconds_since_epoch=8)
    for event in (first, second):
        event.path.steps.add().key = "k"
        event.path.steps.add().index = 0
    return [first, second]


def context():
    made = mlmd.Context(id=3, type="pipeline_run", name="r", create_time_since_epoch=5)
    made.custom_properties["seed"].int_value = 42
    return made


def changed(fingerprint, make, edit):
    one = make()
    edit(one)
    return fingerprint(one) != fingerprint(make())


COMMON = {
    "id": lambda one: setattr(one, "id", 4),
    "type": lambda one: setattr(one, "type", "Other"),
    "name": lambda one: setattr(one, "name", "other"),
    "creation": lambda one: setattr(one, "create_time_since_epoch", 6),
    "another property": lambda one: one.custom_properties["more"].CopyFrom(mlmd.Value(string_value="")),
    "a value-less property": lambda one: one.custom_properties["more"].CopyFrom(mlmd.Value()),
}


@pytest.mark.parametrize(
    "edit",
    [
        *COMMON.values(),
        lambda one: setattr(one, "uri", "/other"),
        lambda one: setattr(one.properties["span"], "int_value", 2),
        lambda one: setattr(one.properties["span"], "double_value", 1.0),
        lambda one: setattr(one.properties["span"], "string_value", "1"),
        lambda one: setattr(one.properties["span"], "bool_value", True),
        lambda one: setattr(one.custom_properties["digest"], "string_value", "ac"),
        lambda one: one.custom_properties.pop("digest"),
        lambda one: (one.properties["digest"].CopyFrom(one.custom_properties["digest"]), one.custom_properties.pop("digest")),
    ],
)
def test_edit_of_an_artifact_changes_its_fingerprint(edit):
    assert changed(artifact_fingerprint, artifact, edit)


@pytest.mark.parametrize(
    "edit",
    [
        lambda one: setattr(one, "state", mlmd.Artifact.DELETED),
        lambda one: setattr(one, "last_update_time_since_epoch", 99),
        lambda one: setattr(one, "type_id", 99),
    ],
)
def test_removal_and_update_of_an_artifact_do_not_change_its_fingerprint(edit):
    assert not changed(artifact_fingerprint, artifact, edit)


@pytest.mark.parametrize(
    "edit",
    [
        *COMMON.values(),
        lambda one: setattr(one, "last_known_state", mlmd.Execution.CACHED),
        lambda one: setattr(one.properties["rounds"], "int_value", 41),
        lambda one: setattr(one.custom_properties["settings"], "string_value", "{ }"),
    ],
)
def test_edit_of_an_execution_changes_its_fingerprint(edit):
    assert changed(lambda one: execution_fingerprint(one, events()), execution, edit)


@pytest.mark.parametrize(
    "edit",
    [
        lambda all_: all_.pop(),
        lambda all_: all_.append(all_[0]),
        lambda all_: setattr(all_[0], "artifact_id", 9),
        lambda all_: setattr(all_[0], "type", mlmd.Event.OUTPUT),
        lambda all_: setattr(all_[0], "milliseconds_since_epoch", 9),
        lambda all_: setattr(all_[0].path.steps[0], "key", "j"),
        lambda all_: setattr(all_[0].path.steps[1], "index", 1),
        lambda all_: setattr(all_[0].path.steps[1], "key", "0"),
        lambda all_: all_[0].path.steps.pop(),
    ],
)
def test_edit_of_an_executions_events_changes_its_fingerprint(edit):
    assert changed(lambda some: execution_fingerprint(execution(), some), events, edit)


def test_order_in_which_events_are_read_does_not_matter():
    assert execution_fingerprint(execution(), reversed(events())) == execution_fingerprint(execution(), events())


@pytest.mark.parametrize("edit", [*COMMON.values(), lambda one: setattr(one.custom_properties["seed"], "int_value", 43)])
def test_edit_of_a_run_changes_its_fingerprint(edit):
    assert changed(context_fingerprint, context, edit)


def test_anchor_that_is_written_after_a_run_does_not_change_its_fingerprint():
    assert not changed(
        context_fingerprint, context, lambda one: one.custom_properties[ANCHOR].CopyFrom(mlmd.Value(string_value="d"))
    )


def test_values_that_are_close_together_or_odd_have_fingerprints_of_their_own():
    def of(value):
        made = artifact()
        made.custom_properties["x"].CopyFrom(value)
        return artifact_fingerprint(made)

    numbers = [0.1, 0.1 + 2**-56, 0.0, -0.0, float("nan"), float("inf")]
    texts = ["", "é", "e\u0301", '"', "a\nb", "None"]
    values = [*(mlmd.Value(double_value=one) for one in numbers), *(mlmd.Value(string_value=one) for one in texts)]
    assert len({of(value) for value in values}) == len(values)


def test_fingerprint_survives_the_way_through_the_store(store_writer):
    made = store_writer.artifact("T", "/x", text="ü", whole=-1, broken=1e-300)
    number, ids = store_writer.execute("p", "r", "A", {}, {"o": [made]})
    store = store_writer.store
    prints = [artifact_fingerprint(store.get_artifacts_by_id(ids["o"])[0]) for _ in range(2)]
    run = [
        execution_fingerprint(store.get_executions_by_id([number])[0], store.get_events_by_execution_ids([number]))
        for _ in range(2)
    ]

    assert len(set(prints)) == len(set(run)) == 1 and len(prints[0]) == len(run[0]) == 64
