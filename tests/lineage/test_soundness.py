"""A database in which something points to nothing is refused; ML Metadata itself would end the process."""

from __future__ import annotations

import sqlite3

import pytest
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as proto

from errors import IntegrityError
from lineage import soundness, store


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
        assert soundness.dangling(opened) == ""


@pytest.mark.parametrize("table", ["Artifact", "Execution", "Context", "Event"])
def test_removed_row_that_others_point_to_is_one_line_that_names_it(database, table):
    with sqlite3.connect(database) as opened:
        opened.execute(f"DELETE FROM {table}")
    with pytest.raises(IntegrityError, match=rf"metadata\.sqlite: expected .*, got .* 1, but no {table} 1: it was altered"):
        store.connection(str(database))
