from __future__ import annotations

import os
from pathlib import Path

import pytest
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.orchestration import metadata, pipeline
from tfx.orchestration.local.local_dag_runner import LocalDagRunner

from components.example_gens import FORMATS, example_gen
from errors import ConfigError, DataError

SPLITS = {"train": 2, "eval": 1}


class Project:
    """A folder with a CSV and a pipeline of one node over it."""

    def __init__(self, root: Path):
        self.data = root / "data"
        self.data.mkdir()
        self.csv = self.data / "flowers.csv"
        self.csv.write_text("size,name\n" + "".join(f"{i},flower{i}\n" for i in range(10, 40)))
        self.connection = metadata.sqlite_metadata_connection_config(str(root / "metadata.db"))
        self.root = str(root / "pipeline_root")

    def run(self, seed: int = 5) -> None:
        node = example_gen(data_format="csv", path=str(self.data), splits=SPLITS, seed=seed)
        LocalDagRunner().run(pipeline.Pipeline("flowers", self.root, self.connection, components=[node], enable_cache=True))

    def store(self) -> MetadataStore:
        return MetadataStore(self.connection)

    def states(self) -> list[str]:
        executions = sorted(self.store().get_executions(), key=lambda execution: execution.id)
        return [mlmd.Execution.State.Name(execution.last_known_state) for execution in executions]

    def touch(self) -> None:
        os.utime(self.csv, (1_000_000_000, 1_000_000_000))

    def change_one_byte_keeping_size_and_time(self) -> None:
        before = self.csv.stat()
        self.csv.write_bytes(self.csv.read_bytes().replace(b"flower10", b"flower1O"))
        os.utime(self.csv, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert self.csv.stat().st_size == before.st_size


@pytest.mark.slow
def test_cache_follows_content_and_seed_but_not_file_times(tmp_path):
    project = Project(tmp_path)
    project.run()
    project.touch()
    project.run()
    assert project.states() == ["COMPLETE", "CACHED"]
    project.change_one_byte_keeping_size_and_time()
    project.run()
    project.run(seed=6)
    project.run(seed=6)
    assert project.states() == ["COMPLETE", "CACHED", "COMPLETE", "COMPLETE", "CACHED"]

    artifacts = project.store().get_artifacts_by_type("Examples")
    facts = {name: value.int_value for name, value in artifacts[0].custom_properties.items()}
    assert facts["seed"] == 5
    assert facts["num_examples_train"] + facts["num_examples_eval"] == 30
    assert artifacts[0].properties["split_names"].string_value == '["train", "eval"]'
    fingerprints = [artifact.custom_properties["input_fingerprint"].string_value for artifact in artifacts]
    assert [len(fingerprint) for fingerprint in fingerprints] == [64, 64, 64]
    assert fingerprints[0] != fingerprints[1] == fingerprints[2]


def test_missing_data_is_recorded_as_a_failed_execution(tmp_path):
    project = Project(tmp_path)
    project.csv.unlink()
    with pytest.raises(DataError, match="got an empty folder"):
        project.run()
    assert project.states() == ["FAILED"]


def test_link_to_nothing_is_recorded_as_a_failed_execution(tmp_path):
    project = Project(tmp_path)
    (project.data / "x.csv").symlink_to("nowhere")
    with pytest.raises(DataError, match=r"x\.csv: expected a file, got a link to nothing"):
        project.run()
    assert project.states() == ["FAILED"]


@pytest.mark.parametrize("data_format", sorted(FORMATS))
def test_every_format_gives_one_node_named_example_gen_with_seed_and_code_version(data_format):
    node = example_gen(data_format=data_format, path="data", splits=SPLITS, seed=2**60 + 1)
    assert node.id == "ExampleGen"
    assert list(node.outputs) == ["examples"]
    assert str(2**60 + 1) in node.exec_properties["custom_config"]
    assert "code_version" in node.exec_properties["custom_config"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data_format": "xls"}, "data.format: expected one of csv, digits, idx, parquet, tfrecord, got 'xls'"),
        ({"path": None}, "data.path: format csv expected the folder"),
        ({"splits": {"train": 4}}, "expected at least train and eval, got train"),
        ({"splits": {}}, "expected at least train and eval, got nothing"),
        ({"splits": {"train": 4, "eval": 0}}, r"bucket counts above 0, or one file pattern for each split, got \[4, 0\]"),
        ({"splits": {"train": True, "eval": True}}, "bucket counts above 0"),
        ({"splits": {"train": "a.csv", "eval": 1}}, "bucket counts above 0, or one file pattern"),
        ({"data_format": "digits", "splits": {"train": "a", "eval": "b"}}, "digits has no files"),
    ],
)
def test_nonsense_is_refused_before_anything_runs(arguments, message):
    with pytest.raises(ConfigError, match=message):
        example_gen(**{"data_format": "csv", "path": "data", "splits": SPLITS, "seed": 1, **arguments})
