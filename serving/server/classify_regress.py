"""Classify and regress: tf.Examples through a signature of one input, as in TensorFlow Serving's classifier.cc, regressor.cc.

A front end calls, in this order, `check`, `examples` (or `json_examples.examples`), the servable with `{INPUTS: examples}`, and
`result` (or `json_examples.answer`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from serving.server.signature import Signature
from serving.server.status import ApiError, invalid

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
INPUTS, CLASSES, SCORES, OUTPUTS = "inputs", "classes", "scores", "outputs"
MAX_EXAMPLES = 100_000  # of a request; an empty one is two bytes in a message, and a hundred here
_MAX_CONTEXT_BYTES = 1 << 26  # in all examples' copies


def check(method: str, signature: Signature) -> None:
    """Refuses a signature that does not classify or regress.

    Its names and types count, not its method name, which exporters of TensorFlow 2 cannot set.

    Raises:
      ApiError: INVALID_ARGUMENT.
    """
    word = "classification" if method == CLASSIFY else "regression"
    if len(signature.inputs) != 1:
        raise invalid(f"Expected one input Tensor. Signature {signature.name} has {len(signature.inputs)}")
    if INPUTS not in signature.inputs:
        raise invalid(f"No {word} inputs found in SignatureDef: {signature.name} has no input `{INPUTS}`")
    if signature.inputs[INPUTS].dtype != "DT_STRING":
        raise invalid(f"Expected {word} inputs of DT_STRING. Got: {signature.inputs[INPUTS].dtype}")
    _check_outputs(method, signature)


def _check_outputs(method: str, signature: Signature) -> None:
    names = signature.outputs.keys()
    if method == REGRESS:
        if len(names) != 1:
            raise invalid(f"Expected one output Tensor. Signature {signature.name} has {len(names)}")
        if OUTPUTS not in names:
            raise invalid(f"No regression outputs found in SignatureDef: {signature.name} has no output `{OUTPUTS}`")
        return
    if len(names) not in (1, 2):
        raise invalid(f"Expected one or two output Tensors, found {len(names)}")
    if extra := sorted(names - {CLASSES, SCORES}):
        raise invalid(
            f'Expected classification signature outputs to contain at least one of "{CLASSES}" or "{SCORES}"'
            f" and nothing else. Signature {signature.name} has {extra[0]}"
        )


def check_count(count: int, context_bytes: int) -> None:
    """Refuses examples that would take much more memory than was sent: very many, or each with a copy of a large context.

    Raises:
      ApiError: INVALID_ARGUMENT.
    """
    if count > MAX_EXAMPLES:
        raise invalid(f"the request has {count} examples; expected at most {MAX_EXAMPLES}")
    if count * context_bytes > _MAX_CONTEXT_BYTES:
        raise invalid(
            f"the context of {context_bytes} bytes would be copied to {count} examples; expected at most {_MAX_CONTEXT_BYTES}"
            " bytes of copies, send fewer examples at once"
        )


def examples(given: Any) -> np.ndarray:
    """The serialized tf.Examples [N] of an Input proto, each behind its context, so that the example's features win.

    Raises:
      ApiError: INVALID_ARGUMENT if there is none, or as of `check_count`.
    """
    listed = getattr(given, given.WhichOneof("kind") or "example_list")
    context = listed.context.SerializeToString() if given.HasField("example_list_with_context") else b""
    check_count(len(listed.examples), len(context))
    return serialized([context + example.SerializeToString() for example in listed.examples])


def serialized(texts: list[bytes]) -> np.ndarray:
    """Serialized protos as the array [N] that a signature takes.

    Raises:
      ApiError: INVALID_ARGUMENT if there is none.
    """
    if not texts:
        raise invalid("Input is empty.")
    array = np.empty(len(texts), object)
    array[:] = texts
    return array


def size(examples: np.ndarray) -> int:
    """The bytes of serialized tf.Examples."""
    return sum(map(len, examples.tolist()))


def labels_and_scores(outputs: Mapping[str, np.ndarray], count: int) -> tuple[list[list[str]], np.ndarray]:
    """What a classifier said of `count` examples: labels and float32 scores, both [count, classes].

    A label is "" and a score 0 where the signature does not give them.

    Raises:
      ApiError: INVALID_ARGUMENT if the outputs have not the type or shape of an answer to so many examples.
    """
    for name, dtype in ((CLASSES, "DT_STRING"), (SCORES, "DT_FLOAT")):
        if name in outputs:
            _check_matrix(name, outputs[name], dtype, count)
    widths = {name: array.shape[1] for name, array in outputs.items()}
    if len(set(widths.values())) > 1:
        raise invalid(f"Tensors class and score should match in dim_size(1). Got {widths[CLASSES]} vs. {widths[SCORES]}")
    shape = (count, next(iter(widths.values())))
    classes = outputs.get(CLASSES)
    labels = [[""] * shape[1]] * count if classes is None else [[_label(item) for item in row] for row in classes.tolist()]
    return labels, outputs.get(SCORES, np.zeros(shape, np.float32))


def values(outputs: Mapping[str, np.ndarray], count: int) -> np.ndarray:
    """What a regressor said of `count` examples: float32 [count].

    Raises:
      ApiError: INVALID_ARGUMENT if the output has not the type or shape of an answer to so many examples.
    """
    array = outputs[OUTPUTS]
    if array.ndim != 1 and (array.ndim != 2 or array.shape[1] != 1):
        raise invalid(f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {list(array.shape)}")
    if len(array) != count:
        raise invalid(f"Input batch size did not match output batch size: {count} vs. {len(array)}")
    if array.dtype != np.float32:
        raise invalid(f"Expected output Tensor of DT_FLOAT.  Got: {array.dtype}")
    return array.reshape(count)


def result(method: str, outputs: Mapping[str, np.ndarray], count: int) -> Any:
    """The ClassificationResult or RegressionResult for `count` examples.

    Raises:
      ApiError: as of `labels_and_scores` and `values`.
    """
    from tensorflow_serving.apis import classification_pb2, regression_pb2

    if method == REGRESS:
        made = regression_pb2.RegressionResult()
        for value in values(outputs, count).tolist():
            made.regressions.add().value = value
        return made
    made = classification_pb2.ClassificationResult()
    labels, scores = labels_and_scores(outputs, count)
    for row, numbers in zip(labels, scores.tolist(), strict=True):
        classes = made.classifications.add().classes
        for label, score in zip(row, numbers, strict=True):
            classes.add(label=label, score=score)
    return made


def _check_matrix(name: str, array: np.ndarray, dtype: str, count: int) -> None:
    if array.ndim != 2:
        raise invalid(f"Expected Tensor shape: [batch_size num_classes] but got {list(array.shape)}")
    if (array.dtype.kind not in "OS") if dtype == "DT_STRING" else (array.dtype != np.float32):
        raise invalid(f"Expected {name} Tensor of {dtype}. Got: {array.dtype}")
    if len(array) != count:
        raise invalid(f"Expected {name} output batch size of {count}. Got: {len(array)}")


def _label(text: bytes) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        raise ApiError("INTERNAL", f"class label {text!r} is not UTF-8, so it cannot be sent") from None
