"""A database in which something points to nothing is refused; ML Metadata itself would end the process."""

from __future__ import annotations

import sqlite3

import pytest
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as proto

from errors import IntegrityError
from lineage import reading, soundness, store


@pytest.fixture
def database(tmp_path):
    config = proto.ConnectionConfig()
    config.sqlite.filename_uri = str(tmp_path / "metadata.sqlite")
    config.sqlite.connection_mode = 3
    opened = metadata_store.MetadataStore(config)
    artifact = proto.Artifact(type_id=opened.put_artifact_type(proto.ArtifactType(name="Model")), uri="/m")
    artifact.custom_properties["digest"].string_value = "ab"
    execution = proto.Execution(type_id=opened.put_execution_type(proto.ExecutionType(name="Trainer")))
    execution.custom_properties["seed"].int_value = 1
    event = proto.Event(type=proto.Event.OUTPUT)
    event.path.steps.add().key = "model"
    run = proto.Context(type_id=opened.put_context_type(proto.ContextType(name="pipeline_run")), name="r")
    run.custom_properties["seed"].int_value = 1
    opened.put_execution(execution, [(artifact, event)], [run])
    return tmp_path / "metadata.sqlite"


def test_what_ml_metadata_wrote_is_sound(database):
    with sqlite3.connect(database) as opened:
        assert soundness.problem(opened) == ""


@pytest.mark.parametrize("table", ["Artifact", "Execution", "Context", "Event"])
def test_removed_row_that_others_point_to_is_one_line_that_names_it(database, table):
    with sqlite3.connect(database) as opened:
        opened.execute(f"DELETE FROM {table}")
    with pytest.raises(IntegrityError, match=rf"metadata\.sqlite: expected .*, got .* 1, but no {table} 1: it was altered"):
        store.connection(str(database))


@pytest.mark.parametrize(
    ("edit", "got"),
    [
        (
            "UPDATE ArtifactProperty SET is_custom_property = 2",
            "row 1 of ArtifactProperty without an is_custom_property of 0 or 1",
        ),
        ("UPDATE ExecutionProperty SET int_value = 'x'", "text in ExecutionProperty.int_value, row 1"),
        ("UPDATE ContextProperty SET double_value = 'x'", "text in ContextProperty.double_value, row 1"),
        ("UPDATE ArtifactProperty SET string_value = x'ff'", "blob in ArtifactProperty.string_value, row 1"),
        ("UPDATE ArtifactProperty SET string_value = 'mlmd-struct::zz'", "no struct in ArtifactProperty.string_value, row 1"),
        ("UPDATE EventPath SET is_index_step = 1", "row 1 of EventPath without key or index"),
        ("UPDATE EventPath SET is_index_step = 999", "row 1 of EventPath without key or index"),
        ("UPDATE EventPath SET step_key = NULL", "row 1 of EventPath without key or index"),
        ("UPDATE Artifact SET state = 999", "row 1 of Artifact without a state of 0 to 6"),
        ("UPDATE Execution SET last_known_state = -1", "row 1 of Execution without a last_known_state of 0 to 6"),
        ("UPDATE Event SET type = 8", "row 1 of Event without a type of 0 to 7"),
        ("UPDATE Type SET type_kind = 9 WHERE name = 'Model'", "row .* of Type without a type_kind of 0 to 2"),
    ],
)
def test_value_that_ml_metadata_would_not_have_written_is_one_line_that_names_its_row(database, edit, got):
    with sqlite3.connect(database) as opened:
        assert opened.execute(edit).rowcount
    with pytest.raises(IntegrityError, match=rf"metadata\.sqlite: expected what ML Metadata wrote, got {got}: it was altered"):
        store.connection(str(database))


def test_times_that_no_calendar_has_are_read_all_the_same(database):
    with sqlite3.connect(database) as opened:
        opened.execute("UPDATE Artifact SET create_time_since_epoch = 4611686018427387904")
    with store.opened(str(database)) as there:
        assert next(iter(reading.everything(there).artifacts.values())).created.year == 9999
