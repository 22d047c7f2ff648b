from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tensorflow_serving.apis.inference_pb2 import MultiInferenceRequest

from serving.server import multi_inference, servable
from serving.server.classify_regress import CLASSIFY, REGRESS
from serving.server.servable import Servable
from serving.server.status import ApiError

BOTH = [("m", "regress", REGRESS), ("m", "classify", CLASSIFY)]


@pytest.fixture(scope="module")
def loaded(typed: Path) -> Iterator[Servable]:
    made = servable.load(typed, 1)
    yield made
    made.close()


def request(tasks: list[tuple[str, str, str]]) -> MultiInferenceRequest:
    made = MultiInferenceRequest()
    for name, signature, method in tasks:
        task = made.tasks.add(method_name=method)
        task.model_spec.name = name
        task.model_spec.signature_name = signature
    return made


def test_results_have_the_order_of_the_tasks_and_name_what_answered(loaded) -> None:
    for order in (BOTH, BOTH[::-1]):
        tasks = multi_inference.tasks(request(order), loaded)
        answers = {
            "classify": {"scores": np.array([[0.5]], np.float32)},
            "regress": {"outputs": np.array([2], np.float32)},
        }
        reply = multi_inference.reply("m", 7, tasks, [answers[task.signature.name] for task in tasks], 1)
        assert [one.model_spec.signature_name for one in reply.results] == [signature for _, signature, _ in order]
        assert {(one.model_spec.name, one.model_spec.version.value) for one in reply.results} == {("m", 7)}
        by_name = {one.model_spec.signature_name: one for one in reply.results}
        assert by_name["classify"].classification_result.classifications[0].classes[0].score == 0.5
        assert by_name["regress"].regression_result.regressions[0].value == 2


@pytest.mark.parametrize(
    ("tasks", "code", "said"),
    [
        ([], "INVALID_ARGUMENT", "no tasks"),
        ([("", "regress", REGRESS)], "INVALID_ARGUMENT", "empty model name"),
        ([*BOTH, ("n", "regress", REGRESS)], "INVALID_ARGUMENT", "must access the same model name"),
        ([*BOTH, BOTH[0]], "INVALID_ARGUMENT", "Duplicate evaluation of signature: regress"),
        ([("m", "none", REGRESS)], "INVALID_ARGUMENT", '"none" not found'),
        ([("m", "", REGRESS)], "INVALID_ARGUMENT", "No regression inputs found"),
        ([("m", "classify", REGRESS)], "INVALID_ARGUMENT", "Expected one output Tensor"),
        ([("m", "regress", "tensorflow/serving/predict")], "UNIMPLEMENTED", "Unsupported signature method_name"),
        ([("m", "regress", "")], "UNIMPLEMENTED", "Unsupported signature method_name"),
    ],
)
def test_tasks_that_do_not_go_together_are_refused(tasks, code: str, said: str, loaded) -> None:
    made = request(tasks)
    with pytest.raises(ApiError, match=said) as caught:
        multi_inference.model_spec(made)
        multi_inference.tasks(made, loaded)
    assert caught.value.code == code
