"""MultiInference: several signatures of one servable over the same examples, as TensorFlow Serving's multi_inference.cc does.

A front end finds the servable by `model_spec`, calls `tasks`, each task's signature with the same examples, and `reply`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from serving.server import classify_regress
from serving.server.servable import Servable
from serving.server.signature import DEFAULT_SIGNATURE, Signature
from serving.server.status import ApiError, invalid


@dataclass(frozen=True)
class Task:
    """What a request asks: `method` is one of classify_regress's two."""

    method: str
    signature: Signature


def model_spec(request: Any) -> Any:
    """Which model answers all tasks: the first one's.

    Raises:
      ApiError: INVALID_ARGUMENT if there is no task.
    """
    if not request.tasks:
        raise invalid("MultiInferenceRequest has no tasks; expected at least one.")
    return request.tasks[0].model_spec


def tasks(request: Any, servable: Servable) -> list[Task]:
    """The request's tasks in their order, checked.

    Raises:
      ApiError: INVALID_ARGUMENT, or UNIMPLEMENTED for a method that is neither classify nor regress.
    """
    made: list[Task] = []
    for task in request.tasks:
        if not task.model_spec.name:
            raise invalid("Found ModelSpec with an empty model name.")
        if task.model_spec.name != model_spec(request).name:
            raise invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if any(before.signature.name == name for before in made):
            raise invalid(f"Duplicate evaluation of signature: {name}")
        made.append(Task(task.method_name, servable.signature(name)))
        if task.method_name not in (classify_regress.CLASSIFY, classify_regress.REGRESS):
            raise ApiError("UNIMPLEMENTED", f"Unsupported signature method_name: {task.method_name}")
        classify_regress.check(task.method_name, made[-1].signature)
    return made


def reply(name: str, version: int, asked: Sequence[Task], answers: Sequence[Mapping[str, np.ndarray]], count: int) -> Any:
    """The MultiInferenceResponse: one result per task, in order.

    Args:
      name: the model's.
      version: the one that answered.
      asked: the tasks.
      answers: each task's outputs for the `count` examples.

    Raises:
      ApiError: INVALID_ARGUMENT if outputs are no answer to so many examples.
    """
    from tensorflow_serving.apis import inference_pb2

    made = inference_pb2.MultiInferenceResponse()
    for task, outputs in zip(asked, answers, strict=True):
        result = made.results.add()
        kind = result.classification_result if task.method == classify_regress.CLASSIFY else result.regression_result
        kind.CopyFrom(classify_regress.result(task.method, outputs, count))
        result.model_spec.name = name
        result.model_spec.version.value = version
        result.model_spec.signature_name = task.signature.name
    return made
