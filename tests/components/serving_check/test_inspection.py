from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from keras.protobuf import saved_metadata_pb2
from tensorflow.core.protobuf import saved_model_pb2

from components.serving_check import files, inspection, lambdas


@pytest.fixture
def copy(good_model: str, tmp_path: Path) -> Path:
    """A copy of the good model, to be altered."""
    return Path(shutil.copytree(good_model, tmp_path / "copy"))


def alter(folder: Path, change: Callable[[Any], Any]) -> None:
    path = folder / "saved_model.pb"
    proto = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    change(proto)
    path.write_bytes(proto.SerializeToString())


def test_a_model_of_ours_is_loadable(good_model: str) -> None:
    found = inspection.inspect(Path(good_model), [])
    assert found.loadable
    assert found == inspection.Findings(weights={"arrays": 2, "values": 15, "non_finite": 0})


def test_weights_that_are_not_finite_are_counted(tmp_path: Path, export_flowers: Any) -> None:
    def spoil(model: Any) -> None:
        kernel, bias = model.get_weights()
        kernel[1, 2], kernel[0, 0], bias[1] = np.nan, -np.inf, np.inf
        model.set_weights([kernel, bias])

    found = inspection.inspect(Path(export_flowers(tmp_path, spoil)), [])
    assert found.weights == {"arrays": 2, "values": 15, "non_finite": 3}
    assert not found.loadable


@pytest.mark.parametrize("kind", [tf.float16, tf.bfloat16, tf.float64, tf.complex64], ids=lambda kind: kind.name)
def test_weights_of_every_floating_type_are_looked_at(kind: Any, tmp_path: Path, save: Any) -> None:
    held = tf.Variable(tf.cast([1.0, float("nan"), float("inf")], kind))
    folder = save(lambda texts: tf.zeros(tf.shape(texts)), {"held": held, "count": tf.Variable([1, 2])})
    assert inspection.inspect(Path(folder), []).weights == {"arrays": 3, "values": 6, "non_finite": 2}


def test_missing_variables_are_a_problem(copy: Path) -> None:
    shutil.rmtree(copy / "variables")
    assert inspection.inspect(copy, []).problems == ["there are no variables: variables/variables.index is missing"]


def test_damaged_variables_are_a_problem_that_names_no_path(copy: Path) -> None:
    (copy / "variables" / "variables.data-00000-of-00001").write_bytes(b"short")
    found = inspection.inspect(copy, [])
    assert not found.loadable
    assert found.problems[0].startswith("the variables cannot be read (")
    assert str(copy) not in str(found)


def test_a_symbolic_link_is_a_problem(copy: Path) -> None:
    (copy / "assets" / "words.txt").symlink_to("/etc/passwd")
    assert inspection.inspect(copy, []).problems == ["'assets/words.txt' is neither a file nor a directory"]


def test_a_pipe_is_a_problem_and_is_not_opened(copy: Path) -> None:
    os.mkfifo(copy / "keras_metadata.pb.old")
    assert not inspection.inspect(copy, []).loadable


def test_a_linked_saved_model_is_a_problem(copy: Path, good_model: str) -> None:
    (copy / "saved_model.pb").unlink()
    (copy / "saved_model.pb").symlink_to(Path(good_model, "saved_model.pb"))
    assert not inspection.inspect(copy, []).loadable


def test_no_saved_model_is_a_problem(tmp_path: Path) -> None:
    assert inspection.inspect(tmp_path, []).problems == ["there is no saved_model.pb"]


def test_a_saved_model_that_cannot_be_parsed_is_a_problem(copy: Path) -> None:
    (copy / "saved_model.pb").write_bytes(b"\xff" * 100)
    assert "saved_model.pb cannot be parsed" in inspection.inspect(copy, []).problems


def test_too_large_a_saved_model_is_a_problem_and_is_not_read(copy: Path) -> None:
    os.truncate(copy / "saved_model.pb", (1 << 30) + 1)  # a hole: it takes no room
    assert inspection.inspect(copy, []).problems == ["saved_model.pb is larger than 1024 MiB"]


def test_a_missing_signature_is_a_problem(copy: Path) -> None:
    alter(copy, lambda proto: proto.meta_graphs[0].signature_def.pop("serve_examples"))
    assert inspection.inspect(copy, []).problems == ["there is no signature 'serve_examples'"]


def test_a_graph_for_something_else_is_a_problem(copy: Path) -> None:
    def retag(proto: Any) -> None:
        proto.meta_graphs[0].meta_info_def.tags[:] = ["train"]

    alter(copy, retag)
    assert inspection.inspect(copy, []).problems == ["saved_model.pb holds no graph with the tag 'serve'"]


def test_a_second_graph_is_looked_at_too(copy: Path) -> None:
    def add(proto: Any) -> None:
        proto.meta_graphs.add().graph_def.node.add(name="read", op="ReadFile")

    alter(copy, add)
    assert inspection.inspect(copy, []).refused_ops == ["ReadFile"]


def test_the_name_of_an_operation_is_shown_only_if_it_is_plain(copy: Path) -> None:
    alter(copy, lambda proto: proto.meta_graphs[0].graph_def.node.add(name="x", op="<script>alert(1)</script>"))
    assert inspection.inspect(copy, []).refused_ops == ["an operation with an unprintable name"]


@pytest.mark.parametrize("wrap", [lambda layer: layer, tf.keras.layers.TimeDistributed], ids=["plain", "wrapped"])
def test_a_lambda_layer_is_refused(wrap: Any, tmp_path: Path) -> None:
    twice = wrap(tf.keras.layers.Lambda(lambda value: 2 * value))
    model = tf.keras.Sequential([tf.keras.layers.Input([3, 2]), twice])
    model.save(str(tmp_path / "saved"), save_format="tf", include_optimizer=False)
    assert inspection.inspect(tmp_path / "saved", []).refused_ops == [lambdas.LAMBDA]
    assert inspection.inspect(tmp_path / "saved", [lambdas.LAMBDA]).refused_ops == []


def test_a_lambda_in_a_nested_model_is_refused(tmp_path: Path) -> None:
    inner = tf.keras.Sequential([tf.keras.layers.Input([2]), tf.keras.layers.Lambda(lambda value: 2 * value)])
    model = tf.keras.Sequential([tf.keras.layers.Input([2]), inner, tf.keras.layers.Dense(1)])
    model.save(str(tmp_path / "saved"), save_format="tf", include_optimizer=False)
    assert inspection.inspect(tmp_path / "saved", []).refused_ops == [lambdas.LAMBDA]


def test_a_lambda_where_older_files_keep_it_is_refused(copy: Path) -> None:
    def describe(proto: Any) -> None:
        node = proto.meta_graphs[0].object_graph_def.nodes.add()
        node.user_object.metadata = '{"class_name": "Lambda", "config": {"function_type": "lambda"}}'

    alter(copy, describe)
    assert inspection.inspect(copy, []).refused_ops == [lambdas.LAMBDA]


def test_a_layer_that_is_only_named_lambda_passes(tmp_path: Path) -> None:
    layer = tf.keras.layers.Dense(2, name="Lambda")
    model = tf.keras.Sequential([tf.keras.layers.Input([2]), layer])
    model.save(str(tmp_path / "saved"), save_format="tf", include_optimizer=False)
    assert inspection.inspect(tmp_path / "saved", []).refused_ops == []


def described(text: str) -> bytes:
    metadata = saved_metadata_pb2.SavedMetadata()
    metadata.nodes.add().metadata = text
    return metadata.SerializeToString()


@pytest.mark.parametrize(
    "content", [b"\xff" * 20, described('{"a": '), described("[" * 100_000)], ids=["no proto", "no JSON", "too deep"]
)
def test_descriptions_that_cannot_be_parsed_are_a_problem(content: bytes, copy: Path) -> None:
    (copy / "keras_metadata.pb").write_bytes(content)
    assert inspection.inspect(copy, []).problems == ["keras_metadata.pb cannot be parsed"]


def test_size_is_that_of_all_files(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "one").write_bytes(b"12345")
    (tmp_path / "deep" / "two").write_bytes(b"678")
    assert files.size(tmp_path) == 8
