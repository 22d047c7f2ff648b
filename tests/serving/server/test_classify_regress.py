import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import classification_pb2, input_pb2, regression_pb2

from serving.server.classify_regress import CLASSIFY, REGRESS, check, examples, result, size
from serving.server.signature import Signature, TensorSpec
from serving.server.status import ApiError


def signature(inputs: dict[str, str], outputs: list[str]) -> Signature:
    specs = {name: TensorSpec(dtype, None) for name, dtype in inputs.items()}
    return Signature("s", specs, {name: TensorSpec("DT_FLOAT", None) for name in outputs})


def feature(**values: int) -> tf.train.Example:
    made = tf.train.Example()
    for name, value in values.items():
        made.features.feature[name].int64_list.value.append(value)
    return made


STRING = {"inputs": "DT_STRING"}


@pytest.mark.parametrize("outputs", [["classes"], ["scores"], ["classes", "scores"]])
def test_a_signature_with_classes_or_scores_classifies(outputs: list[str]) -> None:
    check(CLASSIFY, signature(STRING, outputs))


def test_a_signature_with_outputs_regresses() -> None:
    check(REGRESS, signature(STRING, ["outputs"]))


@pytest.mark.parametrize(
    ("method", "inputs", "outputs", "said"),
    [
        (CLASSIFY, {**STRING, "more": "DT_STRING"}, ["scores"], "Expected one input Tensor"),
        (CLASSIFY, {"examples": "DT_STRING"}, ["scores"], "No classification inputs found"),
        (CLASSIFY, {"inputs": "DT_FLOAT"}, ["scores"], "Expected classification inputs of DT_STRING"),
        (CLASSIFY, STRING, [], "Expected one or two output Tensors, found 0"),
        (CLASSIFY, STRING, ["a", "b", "scores"], "Expected one or two output Tensors, found 3"),
        (CLASSIFY, STRING, ["outputs"], 'at least one of "classes" or "scores"'),
        (CLASSIFY, STRING, ["outputs", "scores"], "nothing else"),
        (REGRESS, {}, ["outputs"], "Expected one input Tensor"),
        (REGRESS, {"examples": "DT_STRING"}, ["outputs"], "No regression inputs found"),
        (REGRESS, STRING, ["outputs", "more"], "Expected one output Tensor"),
        (REGRESS, STRING, ["scores"], "No regression outputs found"),
    ],
)
def test_another_signature_is_refused(method: str, inputs: dict[str, str], outputs: list[str], said: str) -> None:
    with pytest.raises(ApiError, match=said) as caught:
        check(method, signature(inputs, outputs))
    assert caught.value.code == "INVALID_ARGUMENT"


def test_an_example_overrides_its_context() -> None:
    given = input_pb2.Input()
    given.example_list_with_context.context.CopyFrom(feature(a=1, b=2))
    given.example_list_with_context.examples.extend([feature(b=3), feature()])
    spec = {name: tf.io.FixedLenFeature([], tf.int64) for name in "ab"}
    parsed = tf.io.parse_example(tf.constant(examples(given)), spec)
    assert (parsed["a"].numpy().tolist(), parsed["b"].numpy().tolist()) == ([1, 1], [3, 2])


def test_a_list_of_examples_is_taken_as_it_is() -> None:
    given = input_pb2.Input()
    given.example_list.examples.extend([feature(b=3), feature()])
    assert examples(given).tolist() == [feature(b=3).SerializeToString(), b""]


def test_few_bytes_cannot_become_very_many_examples_or_copies_of_a_context() -> None:
    many = input_pb2.Input.FromString(b"\x0a\xc4\x9a\x0c" + b"\x0a\x00" * 100_002)
    with pytest.raises(ApiError, match="100002 examples; expected at most 100000"):
        examples(many)
    large = input_pb2.Input()
    large.example_list_with_context.context.features.feature["x"].bytes_list.value.append(bytes(100_000))
    for _ in range(1000):
        large.example_list_with_context.examples.add()
    with pytest.raises(ApiError, match=r"context of 1000.. bytes would be copied to 1000 examples"):
        examples(large)
    del large.example_list_with_context.examples[10:]
    assert size(examples(large)) > 1_000_000


@pytest.mark.parametrize("kind", [None, "example_list", "example_list_with_context"])
def test_no_example_is_refused(kind: str | None) -> None:
    given = input_pb2.Input()
    if kind:
        getattr(given, kind).SetInParent()
    with pytest.raises(ApiError, match=r"Input is empty\.") as caught:
        examples(given)
    assert caught.value.code == "INVALID_ARGUMENT"


def test_results_are_the_real_protos() -> None:
    classes = {"classes": np.array([[b"a", b"b"]], object), "scores": np.array([[0.25, 0.75]], np.float32)}
    expected = classification_pb2.ClassificationResult()
    expected.classifications.add().classes.add(label="a", score=0.25)
    expected.classifications[0].classes.add(label="b", score=0.75)
    assert result(CLASSIFY, classes, 1) == expected
    regressions = regression_pb2.RegressionResult(regressions=[regression_pb2.Regression(value=value) for value in (1.5, -2)])
    assert result(REGRESS, {"outputs": np.array([[1.5], [-2]], np.float32)}, 2) == regressions


@pytest.mark.parametrize(
    ("method", "outputs", "said"),
    [
        (CLASSIFY, {"scores": np.zeros(2, np.float32)}, r"Expected Tensor shape: \[batch_size num_classes\] but got \[2\]"),
        (CLASSIFY, {"scores": np.zeros([2, 1])}, "Expected scores Tensor of DT_FLOAT. Got: float64"),
        (CLASSIFY, {"classes": np.zeros([2, 1], np.float32)}, "Expected classes Tensor of DT_STRING. Got: float32"),
        (CLASSIFY, {"scores": np.zeros([3, 1], np.float32)}, "Expected scores output batch size of 2. Got: 3"),
        (
            CLASSIFY,
            {"classes": np.full([2, 3], b"", object), "scores": np.zeros([2, 1], np.float32)},
            r"should match in dim_size\(1\). Got 3 vs. 1",
        ),
        (
            REGRESS,
            {"outputs": np.zeros([2, 2], np.float32)},
            r"\[batch_size, 1\] but got \[2, 2\]",
        ),
        (REGRESS, {"outputs": np.float32(1)}, r"but got \[\]"),
        (REGRESS, {"outputs": np.zeros(3, np.float32)}, "did not match output batch size: 2 vs. 3"),
        (REGRESS, {"outputs": np.zeros(2)}, "Expected output Tensor of DT_FLOAT.  Got: float64"),
    ],
)
def test_outputs_that_are_no_answer_are_refused(method: str, outputs: dict[str, np.ndarray], said: str) -> None:
    with pytest.raises(ApiError, match=said) as caught:
        result(method, outputs, 2)
    assert caught.value.code == "INVALID_ARGUMENT"


def test_a_label_that_is_no_text_is_the_models_fault() -> None:
    with pytest.raises(ApiError, match="is not UTF-8") as caught:
        result(CLASSIFY, {"classes": np.array([[b"\xff"]], object)}, 1)
    assert caught.value.code == "INTERNAL"
