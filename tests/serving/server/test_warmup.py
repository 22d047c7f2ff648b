import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from serving.server import servable
from serving.server.classify_regress import CLASSIFY, REGRESS
from serving.server.servable import Servable
from serving.server.status import ApiError
from serving.server.warmup import WARMUP_FILE, warm_up


@pytest.fixture(scope="module")
def loaded(typed: Path) -> Iterator[Servable]:
    made = servable.load(typed, 1)
    yield made
    made.close()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def put(*logs: PredictionLog, count: int = 1) -> Path:
        file = tmp_path / WARMUP_FILE
        file.parent.mkdir(exist_ok=True)
        with tf.io.TFRecordWriter(str(file)) as writer:
            for log in logs:
                for _ in range(count):
                    writer.write(log.SerializeToString())
        return tmp_path

    return put


def examples(given, *values: float) -> None:
    for value in values:
        given.example_list.examples.add().features.feature["x"].float_list.value.append(value)


def predict(signature: str = "") -> PredictionLog:
    log = PredictionLog()
    log.predict_log.request.model_spec.signature_name = signature
    log.predict_log.request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0]))
    return log


def classify(signature: str = "classify") -> PredictionLog:
    log = PredictionLog()
    log.classify_log.request.model_spec.signature_name = signature
    examples(log.classify_log.request.input, 1, 2)
    return log


def regress() -> PredictionLog:
    log = PredictionLog()
    log.regress_log.request.model_spec.signature_name = "regress"
    examples(log.regress_log.request.input, 1)
    return log


def both() -> PredictionLog:
    log = PredictionLog()
    for signature, method in (("regress", REGRESS), ("classify", CLASSIFY)):
        task = log.multi_inference_log.request.tasks.add(method_name=method)
        task.model_spec.name = "m"
        task.model_spec.signature_name = signature
    examples(log.multi_inference_log.request.input, 1)
    return log


def session_run() -> PredictionLog:
    log = PredictionLog()
    log.session_run_log.request.target.append("x")
    return log


def streamed() -> PredictionLog:
    log = PredictionLog()
    log.predict_streamed_log.SetInParent()
    return log


def test_every_kind_of_request_is_answered(loaded, write) -> None:
    assert warm_up(loaded, write(predict(), classify(), regress(), both())) == 4


def test_each_request_is_answered_as_often_as_asked(loaded, write) -> None:
    assert warm_up(loaded, write(predict("count"), predict("count")), iterations=3) == 2
    calls = loaded.predict(loaded.signature("count"), {"x": np.ones(1, np.float32)})["calls"]
    assert calls == 2 * 3 + 1


def test_without_a_file_there_is_nothing_to_do(loaded, tmp_path: Path) -> None:
    assert warm_up(loaded, tmp_path) == 0


def test_a_thousand_records_are_taken_and_not_one_more(loaded, write) -> None:
    assert warm_up(loaded, write(predict(), count=1000)) == 1000
    with pytest.raises(ApiError, match="more than 1000 warm-up requests") as caught:
        warm_up(loaded, write(predict(), count=1001))
    assert caught.value.code == "INVALID_ARGUMENT"


@pytest.mark.parametrize("log", [session_run(), streamed(), PredictionLog()], ids=["session", "streamed", "empty"])
def test_another_kind_fails_the_load(log: PredictionLog, loaded, write) -> None:
    with pytest.raises(ApiError, match="warm-up request 1 failed: Unsupported log_type") as caught:
        warm_up(loaded, write(predict(), log))
    assert caught.value.code == "UNIMPLEMENTED"


@pytest.mark.parametrize("log", [classify("none"), classify("regress"), classify("serving_default")])
def test_a_request_that_cannot_be_answered_fails_the_load(log: PredictionLog, loaded, write) -> None:
    with pytest.raises(ApiError, match="warm-up request 0 failed") as caught:
        warm_up(loaded, write(log))
    assert caught.value.code == "INVALID_ARGUMENT"


@pytest.mark.parametrize("left", [1, 11, 12, 20, -1, -4, -15])
def test_a_file_that_was_cut_off_fails_the_load(left: int, loaded, write) -> None:
    file = write(predict(), count=2) / WARMUP_FILE
    record = len(file.read_bytes()) // 2
    file.write_bytes(file.read_bytes()[: left if left > 0 else 2 * record + left])
    with pytest.raises(ApiError, match=r"cannot read the warm-up requests: the file ends after [0-9]+ bytes") as caught:
        warm_up(loaded, file.parents[1])
    assert caught.value.code == "DATA_LOSS"


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-3], lambda data: b"x" * 50, lambda data: data[:20] + b"\xff" + data[21:]]
)
def test_a_damaged_file_fails_the_load_and_does_not_tell_where_it_is(damage, loaded, write) -> None:
    file = write(predict()) / WARMUP_FILE
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ApiError, match="cannot read the warm-up requests") as caught:
        warm_up(loaded, file.parents[1])
    assert caught.value.code == "DATA_LOSS"
    assert str(file.parents[1]) not in caught.value.message


@pytest.mark.slow
def test_what_export_writes_is_answered(fish: Path, tmp_path: Path) -> None:
    shutil.copytree(fish, tmp_path / "7")
    made = servable.load(tmp_path / "7", 7)
    assert warm_up(made, tmp_path / "7") == 2
    made.close()
