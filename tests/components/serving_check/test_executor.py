from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tfx.types import standard_artifacts
from tfx.types.artifact_utils import encode_split_names

from components import evidence
from components.artifacts import ServingReport
from components.serving_check import component, spec
from components.serving_check.executor import REPORT_FILE, Executor
from errors import DataError, IntegrityError
from lineage.digests import tree_digest

SETTINGS = {"samples": 6, "requests": 20, "tolerance": 1e-4, "max_p50_ms": None, "allowed_ops": []}


@pytest.fixture
def model(tmp_path: Path, export_flowers: Callable[..., str]) -> Any:
    """A published Model."""
    artifact = standard_artifacts.Model()
    artifact.uri, artifact.id = str(tmp_path / "model"), 7
    export_flowers(tmp_path / "model" / "Format-Serving")
    artifact.set_string_custom_property("digest", tree_digest(artifact.uri))
    return artifact


@pytest.fixture
def examples(tmp_path: Path, flower_records: list[bytes]) -> Any:
    """Examples with an eval split, as TFX writes them."""
    artifact = standard_artifacts.Examples()
    artifact.uri = str(tmp_path / "examples")
    artifact.split_names = encode_split_names(["train", "eval"])
    folder = tmp_path / "examples" / "Split-eval"
    folder.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(folder / "data_tfrecord-00000-of-00001.gz"), "GZIP") as writer:
        for record in flower_records:
            writer.write(record)
    return artifact


@pytest.fixture
def run(tmp_path: Path, model: Any, examples: Any, flowers: str) -> Callable[[], Any]:
    """Runs the executor on the two and returns the ServingReport."""

    def execute() -> Any:
        report = ServingReport()
        report.uri = str(tmp_path / "report")
        properties = {spec.MODULE: flowers, spec.SEED: 3, spec.SETTINGS: json.dumps(SETTINGS)}
        Executor().Do({spec.MODEL: [model], spec.EXAMPLES: [examples]}, {spec.SERVING_REPORT: [report]}, properties)
        return report

    return execute


@pytest.mark.slow
def test_a_good_model_is_served_asked_and_measured(
    run: Callable[[], Any], model: Any, watched_server: Any, tmp_path: Path
) -> None:
    with watched_server() as seen:
        report = run()
    assert (seen.started, seen.given_anything) == (True, True)
    text = Path(report.uri, REPORT_FILE).read_text()
    found = json.loads(text)
    server = found["server"]
    assert (found["loadable"], found["problems"], found["refused_ops"]) == (True, [], [])
    assert found["weights"] == {"arrays": 2, "values": 15, "non_finite": 0}
    assert found["size_bytes"] == sum(path.stat().st_size for path in Path(model.uri).rglob("*") if path.is_file())
    assert (server["problem"], server["samples"], server["requests"], server["non_finite"]) == (None, 6, 20, 0)
    assert server["errors"] == {"rest": 0, "grpc": 0}
    assert all(0 <= difference < 1e-5 for difference in server["max_difference"].values())
    assert all(0 < latency["p50"] <= latency["p99"] < 1000 for latency in server["latency_ms"].values())
    assert 100 << 20 < server["memory_bytes"] < 4 << 30
    assert 0 < server["load_seconds"] < 120
    assert str(tmp_path) not in text and "flower" not in text
    assert report.get_int_custom_property("loadable") == 1
    assert report.get_int_custom_property("model_id") == 7
    assert evidence.problem(report, model) is None


@pytest.mark.slow
def test_a_hostile_model_is_reported_and_never_given_to_the_server(
    run: Callable[[], Any], model: Any, watched_server: Any
) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    path = Path(model.uri, "Format-Serving", "saved_model.pb")
    proto = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    proto.meta_graphs[0].graph_def.node.add(name="read", op="ReadFile")
    path.write_bytes(proto.SerializeToString())
    model.set_string_custom_property("digest", tree_digest(model.uri))
    with watched_server() as seen:
        report = run()
    assert (seen.started, seen.given_anything) == (True, False)
    found = json.loads(Path(report.uri, REPORT_FILE).read_text())
    assert (found["loadable"], found["refused_ops"], found["server"]) == (False, ["ReadFile"], None)
    assert report.get_int_custom_property("loadable") == 0
    assert evidence.problem(report, model) is None


def test_a_model_altered_after_it_was_published_is_an_error(run: Callable[[], Any], model: Any) -> None:
    Path(model.uri, "Format-Serving", "fingerprint.pb").write_bytes(b"other")
    with pytest.raises(IntegrityError, match="as published"):
        run()


def test_a_link_in_a_published_model_is_an_error_in_one_line(run: Callable[[], Any], model: Any) -> None:
    Path(model.uri, "Format-Serving", "assets", "link").symlink_to("/etc/passwd")
    with pytest.raises(IntegrityError, match="symbolic link") as raised:
        run()
    assert "\n" not in str(raised.value)


def test_no_evaluation_examples_are_an_error(run: Callable[[], Any], examples: Any) -> None:
    for path in Path(examples.uri, "Split-eval").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="expected evaluation examples"):
        run()


def test_no_evaluation_split_is_an_error(run: Callable[[], Any], examples: Any) -> None:
    examples.split_names = encode_split_names(["train"])
    with pytest.raises(DataError, match="a split named 'eval'"):
        run()


def node(**changes: Any) -> Any:
    from tfx.types import Channel

    given = {"module": "m", "module_digest": "d", "settings": SETTINGS, "seed": 1, **changes}
    return component.ServingCheck(
        model=Channel(type=standard_artifacts.Model), examples=Channel(type=standard_artifacts.Examples), **given
    )


def test_a_limit_that_changes_is_no_reason_to_measure_again() -> None:
    assert node().exec_properties == node(settings={**SETTINGS, "max_p50_ms": 5, "tolerance": 0.1}).exec_properties


@pytest.mark.parametrize("change", [{"samples": 7}, {"requests": 9}, {"allowed_ops": ["PrintV2"]}])
def test_what_is_measured_is_in_the_nodes_parameters(change: dict[str, Any]) -> None:
    assert node().exec_properties != node(settings={**SETTINGS, **change}).exec_properties
    assert node().exec_properties[spec.CODE_VERSION]
