from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from components.serving_check import inspection

TABLE = "InitializeTableFromTextFileV2"


def vocabulary_table(path: str) -> Any:
    lines, numbers = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
    source = tf.lookup.TextFileInitializer(path, tf.string, lines, tf.int64, numbers)
    return tf.lookup.StaticHashTable(source, -1)


@pytest.fixture
def with_vocabulary(tmp_path: Path, save: Any) -> str:
    """A model with a lookup table that is filled from an asset."""
    (tmp_path / "words.txt").write_text("a\nb\n")
    table = vocabulary_table(str(tmp_path / "words.txt"))
    return save(lambda texts: tf.cast(table.lookup(texts), tf.float32), {"table": table})


def function_of(meta_graph: Any, op: str) -> Any:
    return next(f for f in meta_graph.graph_def.library.function if any(node.op == op for node in f.node_def))


def call_of(meta_graph: Any, op: str) -> Any:
    name = function_of(meta_graph, op).signature.name
    return next(node for node in meta_graph.graph_def.node if "f" in node.attr and node.attr["f"].func.name == name)


def foreign_constant(meta_graph: Any) -> str:
    node = meta_graph.graph_def.node.add(name="elsewhere", op="Const")
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto("/etc/passwd"))
    return "elsewhere"


def test_a_table_from_the_models_own_asset_passes(with_vocabulary: str, refused: Any) -> None:
    assert inspection.inspect(Path(with_vocabulary), []).loadable
    assert refused(with_vocabulary) == set()


def test_a_table_from_a_file_elsewhere_is_refused(save: Any, refused: Any) -> None:
    def answer(texts: Any) -> Any:
        table = tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64)
        fill = tf.raw_ops.InitializeTableFromTextFileV2(
            table_handle=table, filename="/etc/passwd", key_index=-2, value_index=-1, vocab_size=-1
        )
        with tf.control_dependencies([fill]):
            return tf.cast(tf.raw_ops.LookupTableFindV2(table_handle=table, keys=texts, default_value=tf.int64.max), tf.float32)

    assert refused(save(answer)) == {TABLE}


def test_a_table_from_a_file_that_the_request_names_is_refused(save: Any, refused: Any) -> None:
    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def fill(name: Any) -> Any:
        table = tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64)
        tf.raw_ops.InitializeTableFromTextFileV2(table_handle=table, filename=name, key_index=-2, value_index=-1, vocab_size=-1)
        return tf.cast(tf.raw_ops.LookupTableSizeV2(table_handle=table), tf.float32)

    assert refused(save(lambda texts: fill(texts[0]) + tf.zeros(tf.shape(texts)))) == {TABLE}


def test_an_asset_that_is_not_in_the_model_is_a_problem(with_vocabulary: str, tmp_path: Path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    path = Path(with_vocabulary, "saved_model.pb")
    proto = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    proto.meta_graphs[0].asset_file_def[0].filename = "../../words.txt"
    path.write_bytes(proto.SerializeToString())
    found = inspection.inspect(Path(with_vocabulary), [])
    assert found.problems == ["an asset that the graph names is not one of the model's files"]
    assert not found.loadable


def given_a_constant(meta_graph: Any) -> None:
    call_of(meta_graph, TABLE).input[0] = foreign_constant(meta_graph)


def assigned_another_value(meta_graph: Any) -> None:
    assign = next(node for node in meta_graph.graph_def.node if node.op == "AssignVariableOp")
    meta_graph.graph_def.node.add(name="again", op="AssignVariableOp", input=[assign.input[0], foreign_constant(meta_graph)])


def shared_with_another_variable(meta_graph: Any) -> None:
    assign = next(node for node in meta_graph.graph_def.node if node.op == "AssignVariableOp")
    handle = next(node for node in meta_graph.graph_def.node if node.name == assign.input[0])
    twin = meta_graph.graph_def.node.add()
    twin.CopyFrom(handle)
    twin.name = "twin"
    twin.attr["shared_name"].s = handle.attr["shared_name"].s or handle.name.encode()


def passed_to_a_function(meta_graph: Any) -> None:
    assign = next(node for node in meta_graph.graph_def.node if node.op == "AssignVariableOp")
    call_of(meta_graph, TABLE).input.append(assign.input[0])


def asked_for_in_a_request(meta_graph: Any) -> None:
    asset = meta_graph.asset_file_def[0].tensor_info
    meta_graph.signature_def["serving_default"].inputs["file"].CopyFrom(asset)


def bound_to_something_else_in_python(meta_graph: Any) -> None:
    function = function_of(meta_graph, TABLE).signature.name
    meta_graph.object_graph_def.concrete_functions[function].bound_inputs[0] = 0


def called_by_another_function(meta_graph: Any) -> None:
    node = function_of(meta_graph, "LookupTableFindV2").node_def.add(name="call", op="PartitionedCall")
    node.attr["f"].func.name = function_of(meta_graph, TABLE).signature.name


@pytest.mark.parametrize(
    "change",
    [
        given_a_constant,
        assigned_another_value,
        shared_with_another_variable,
        passed_to_a_function,
        asked_for_in_a_request,
        bound_to_something_else_in_python,
        called_by_another_function,
    ],
    ids=lambda change: change.__name__,
)
def test_a_table_is_refused_if_its_file_may_be_another(change: Any, with_vocabulary: str, refused: Any) -> None:
    assert refused(with_vocabulary, change) == {TABLE}


def restored_from_a_constant(meta_graph: Any) -> None:
    call_of(meta_graph, "RestoreV2").input[0] = foreign_constant(meta_graph)


def named_inside(meta_graph: Any) -> None:
    function = function_of(meta_graph, "RestoreV2")
    restore = next(node for node in function.node_def if node.op == "RestoreV2")
    node = function.node_def.add(name="elsewhere", op="Const")
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto("/etc/passwd"))
    restore.input[0] = "elsewhere:output:0"


@pytest.mark.parametrize("change", [restored_from_a_constant, named_inside], ids=lambda change: change.__name__)
def test_variables_from_another_checkpoint_are_refused(change: Any, good_model: str, refused: Any) -> None:
    assert refused(good_model, change) == {"RestoreV2"}
