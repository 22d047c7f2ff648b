from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

FLOAT = tf.TensorSpec([], tf.float32)


def zero(tensor: Any) -> Any:
    """0.0 that cannot be worked out without `tensor`."""
    with tf.control_dependencies([tensor]):
        return tf.identity(0.0)


def save_v2(text: Any) -> Any:
    with tf.control_dependencies([tf.raw_ops.SaveV2(prefix=text, tensor_names=["a"], shape_and_slices=[""], tensors=[1.0])]):
        return tf.identity(0.0)


def write_file(text: Any) -> Any:
    with tf.control_dependencies([tf.io.write_file(text, text)]):
        return tf.identity(0.0)


def print_to_file(text: Any) -> Any:
    with tf.control_dependencies([tf.raw_ops.PrintV2(input=text, output_stream="file:///tmp/printed")]):
        return tf.identity(0.0)


HOSTILE: dict[str, Callable[[Any], Any]] = {
    "SaveV2": save_v2,
    "ReadFile": lambda text: zero(tf.io.read_file(text)),
    "WriteFile": write_file,
    "PyFunc": lambda text: tf.ensure_shape(tf.numpy_function(lambda value: np.float32(0), [text], tf.float32), []),
    "EagerPyFunc": lambda text: tf.ensure_shape(tf.py_function(lambda value: 0.0, [text], tf.float32), []),
    "RestoreV2": lambda text: tf.raw_ops.RestoreV2(prefix=text, tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32])[
        0
    ],
    "MatchingFiles": lambda text: zero(tf.io.matching_files(text)),
    "PrintV2": print_to_file,
    "MergeV2Checkpoints": lambda text: zero_after(tf.raw_ops.MergeV2Checkpoints, text),
}


def zero_after(op: Any, text: Any) -> Any:
    with tf.control_dependencies([op(checkpoint_prefixes=[text], destination_prefix=text)]):
        return tf.identity(0.0)


def in_while(hostile: Callable[[Any], Any], texts: Any) -> Any:
    total = tf.while_loop(lambda at, _: at < 2, lambda at, total: (at + 1, total + hostile(texts[0])), (0, 0.0))[1]
    return total + tf.zeros(tf.shape(texts))


def in_if(hostile: Callable[[Any], Any], texts: Any) -> Any:
    return tf.cond(tf.size(texts) > 3, lambda: hostile(texts[0]), lambda: 1.0) + tf.zeros(tf.shape(texts))


def in_map(hostile: Callable[[Any], Any], texts: Any) -> Any:
    return tf.map_fn(hostile, texts, fn_output_signature=FLOAT)


def in_case_in_while_in_function(hostile: Callable[[Any], Any], texts: Any) -> Any:
    @tf.function
    def inner(text: Any) -> Any:
        return tf.switch_case(tf.strings.length(text), {0: lambda: hostile(text), 1: lambda: 1.0})

    return in_while(inner, texts)


PLACES = (in_while, in_if, in_map, in_case_in_while_in_function)


@pytest.mark.parametrize("name", HOSTILE)
def test_an_operation_off_the_list_is_found_in_a_signature(name: str, save: Any, refused: Any) -> None:
    assert name in refused(save(lambda texts: HOSTILE[name](texts[0]) + tf.zeros(tf.shape(texts))))


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
@pytest.mark.parametrize("name", ["SaveV2", "ReadFile", "WriteFile", "PyFunc"])
def test_an_operation_off_the_list_is_found_however_deep_it_is(name: str, place: Any, save: Any, refused: Any) -> None:
    assert name in refused(save(lambda texts: place(HOSTILE[name], texts)))


def test_an_operation_in_a_function_that_nothing_calls_is_found(save: Any, refused: Any) -> None:
    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def unused(text: Any) -> Any:
        return tf.io.read_file(text)

    assert refused(save(lambda texts: tf.zeros(tf.shape(texts)), {"unused": unused})) == {"ReadFile"}


def test_our_own_models_pass(good_model: str, refused: Any) -> None:
    assert refused(good_model) == set()


def test_loops_over_examples_pass(save: Any, refused: Any) -> None:
    assert refused(save(lambda texts: in_map(lambda text: tf.cast(tf.strings.length(text), tf.float32), texts))) == set()


def test_an_operation_that_the_config_allows_passes(save: Any, refused: Any) -> None:
    folder = save(lambda texts: HOSTILE["PrintV2"](texts[0]) + tf.zeros(tf.shape(texts)))
    assert refused(folder, lambda _: None, "PrintV2") == set()


def test_a_custom_operation_is_refused(good_model: str, refused: Any) -> None:
    def add(meta_graph: Any) -> None:
        meta_graph.graph_def.library.function[0].node_def.add(name="mine", op="Mine>Op")

    assert refused(good_model, add) == {"Mine>Op"}


def test_a_signature_that_answers_with_the_saver_is_refused(good_model: str, refused: Any) -> None:
    def answer_with_save(meta_graph: Any) -> None:
        meta_graph.signature_def["serving_default"].outputs["scores"].name = meta_graph.saver_def.save_tensor_name

    assert refused(good_model, answer_with_save) == {"SaveV2", "MergeV2Checkpoints", "ShardedFilename"}


def test_a_signature_that_answers_with_something_that_waits_for_the_saver_is_refused(good_model: str, refused: Any) -> None:
    def wait(meta_graph: Any) -> None:
        meta_graph.graph_def.node.add(name="late", op="NoOp", input=[f"^{meta_graph.saver_def.restore_op_name}"])
        meta_graph.signature_def["serving_default"].outputs["scores"].name = "late:0"

    assert refused(good_model, wait) == {"RestoreV2"}


def function_of(meta_graph: Any, op: str) -> Any:
    return next(f for f in meta_graph.graph_def.library.function if any(node.op == op for node in f.node_def))


def test_a_function_that_calls_the_savers_is_refused(good_model: str, refused: Any) -> None:
    def call(meta_graph: Any) -> None:
        other = function_of(meta_graph, "MatMul")
        node = other.node_def.add(name="call", op="PartitionedCall")
        node.attr["f"].func.name = function_of(meta_graph, "SaveV2").signature.name

    assert "SaveV2" in refused(good_model, call)


def test_the_savers_function_as_an_operation_of_its_own_is_refused(good_model: str, refused: Any) -> None:
    def call(meta_graph: Any) -> None:
        saver = function_of(meta_graph, "SaveV2").signature.name
        function_of(meta_graph, "MatMul").node_def.add(name="call", op=saver)

    assert "SaveV2" in refused(good_model, call)


def test_the_savers_function_among_those_revived_in_python_is_refused(good_model: str, refused: Any) -> None:
    def revive(meta_graph: Any) -> None:
        name = function_of(meta_graph, "SaveV2").signature.name
        meta_graph.object_graph_def.concrete_functions[name].SetInParent()

    assert "SaveV2" in refused(good_model, revive)


def test_a_savers_function_that_may_stand_in_for_another_is_refused(good_model: str, refused: Any) -> None:
    def replaceable(meta_graph: Any) -> None:
        function_of(meta_graph, "RestoreV2").attr["api_implements"].s = b"lstm"

    assert refused(good_model, replaceable) == {"RestoreV2"}


def test_writing_while_restoring_is_refused(good_model: str, refused: Any) -> None:
    def write(meta_graph: Any) -> None:
        meta_graph.saver_def.restore_op_name = meta_graph.saver_def.save_tensor_name.partition(":")[0]

    assert "SaveV2" in refused(good_model, write)
