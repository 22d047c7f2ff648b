"""What stops the clients' work is told without anything of the clients' data, in the error and in the log."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf

from components.federated_trainer.executors.failures import in_one_line, reason
from errors import IntegrityError, TrainingError

FEATURES = {"x": tf.io.FixedLenFeature([2], tf.float32), "y": tf.io.FixedLenFeature([], tf.int64)}
SECRETS = ("4711", "4712", "hidden", "ann@")


def serialized(**lists: tf.train.Feature) -> bytes:
    return tf.train.Example(features=tf.train.Features(feature=lists)).SerializeToString(deterministic=True)


def floats(*values: float) -> tf.train.Feature:
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def whole(*values: int) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def parsed(record: bytes) -> None:
    tf.function(lambda data: tf.io.parse_example(data, FEATURES))(tf.constant([record]))


def losses(labels: list[int]) -> None:
    tf.function(lambda y: tf.nn.sparse_softmax_cross_entropy_with_logits(y, tf.zeros([len(labels), 2])))(tf.constant(labels))


def embedded(number: int) -> None:
    tf.function(lambda i: tf.gather(tf.zeros([3]), i))(tf.constant([number]))


def to_number(text: str) -> None:
    tf.function(tf.strings.to_number)(tf.constant([text]))


def columns(line: str) -> None:
    tf.function(lambda text: tf.io.decode_csv(text, [[0.0]]))(tf.constant([line]))


def asserted(number: int) -> None:
    @tf.function
    def check(value: tf.Tensor) -> tf.Tensor:
        tf.debugging.assert_less(value, 3)
        return value

    check(tf.constant(number))


@pytest.mark.parametrize(
    ("work", "data", "why"),
    [
        (losses, [4712, 1, 4711], "a label is outside of the valid range of [0, 2)"),
        (parsed, b"hidden ann@home\n\xff\x00", "a record is no serialized tf.Example"),
        (parsed, b"Feature: hidden (data type: int64) is required", "a record is no serialized tf.Example"),
        (parsed, serialized(x=floats(4711, 4712)), "a record lacks the feature 'y' of type int64"),
        (
            parsed,
            serialized(x=whole(4711, 4712), y=whole(1)),
            "a record has the feature 'x' with the type int64 in place of float",
        ),
        (
            parsed,
            serialized(x=floats(4711), y=whole(1)),
            "a record has the feature 'x' with another number of values than FEATURES",
        ),
        (embedded, 4711, "an index is outside of the valid range of [0, 3)"),
        (to_number, "hidden ann@home", "StringToNumberOp could not correctly convert ..."),
        (columns, "hidden ann@home", "a field of a line is no valid float"),
        (asserted, 4711, "an assertion on the data failed"),
    ],
)
def test_what_tensorflow_says_of_data_is_told_without_values(work: Callable[[Any], None], data: Any, why: str, caplog) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(TrainingError) as caught, in_one_line():
        work(data)
    assert str(caught.value) == f"the clients' work failed: {why}; see the clients' data and the log."
    assert why in caplog.text
    assert not [secret for secret in SECRETS if secret in str(caught.value) + caplog.text]


def test_log_names_the_operation(caplog) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(TrainingError), in_one_line():
        losses([4711])
    assert "in the operation SparseSoftmaxCrossEntropyWithLogits/SparseSoftmaxCrossEntropyWithLogits: a label" in caplog.text


def test_printed_traceback_has_nothing_of_what_tensorflow_said() -> None:
    with pytest.raises(TrainingError) as caught, in_one_line():
        raise tf.errors.InvalidArgumentError(None, None, "Could not parse example input, value: 'ann'", 3)
    assert "InvalidArgumentError" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("OOM when allocating tensor with shape[3,4]", "OOM when allocating tensor with shape[3,4]"),
        ("it doesn't fit: b'ann' and 'bob", "it doesn't fit: '...' and '...'"),
        ("bad input. Label values: 1 2 3", "bad input. ..."),
        ("wrong, value: ann", "wrong, ..."),
    ],
)
def test_what_nobody_foresaw_is_cut_where_it_quotes(text: str, told: str) -> None:
    assert reason(text) == told


def test_errors_of_the_project_and_defects_pass() -> None:
    with pytest.raises(IntegrityError, match=r"^a file was changed$"), in_one_line():
        raise RuntimeError("Traceback ...\nerrors.IntegrityError: a file was changed [while running 'Work']")
    with pytest.raises(KeyError), in_one_line():
        raise KeyError("a defect")
