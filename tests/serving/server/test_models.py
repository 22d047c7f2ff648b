import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from serving.server.models import Model, VersionStatus
from serving.server.status import ApiError
from serving.server.warmup import WARMUP_FILE

pytestmark = pytest.mark.slow


class Doubler(tf.Module):
    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = tf.Variable(float(factor))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def __call__(self, x):
        return {"y": self.factor * x}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "base"


@pytest.fixture
def put(base: Path, tmp_path: Path):
    """Puts a model that multiplies by its version there."""

    def run(version: int) -> Path:
        model = Doubler(version)
        incoming = tmp_path / f"incoming-{version}"
        tf.saved_model.save(model, str(incoming), signatures={"serving_default": model.__call__.get_concrete_function()})
        base.mkdir(exist_ok=True)
        return incoming.rename(base / str(version))

    return run


def answer(model: Model, version: int | None = None) -> float:
    servable = model.servable(version)
    outputs = servable.predict(servable.signature("serving_default"), {"x": np.ones(1, np.float32)})
    return float(outputs["y"][0])


def states(model: Model) -> dict[int, str]:
    return {status.version: status.state for status in model.statuses()}


def test_the_newest_version_answers_and_the_old_one_has_ended(base, put) -> None:
    model = Model("m", base)
    put(3)
    model.poll()
    assert answer(model) == answer(model, 3) == 3
    put(20)
    model.poll()
    assert answer(model) == 20
    assert model.statuses() == [VersionStatus(20, "AVAILABLE"), VersionStatus(3, "END")]
    with pytest.raises(ApiError, match=r"Specific\(m, 3\)"):
        model.servable(3)


def test_a_request_keeps_the_version_it_got(base, put) -> None:
    model = Model("m", base)
    put(3)
    model.poll()
    servable = model.servable()
    put(4)
    model.poll()
    outputs = servable.predict(servable.signature("serving_default"), {"x": np.ones(1, np.float32)})
    assert outputs["y"].tolist() == [3]


def test_a_version_taken_away_gives_its_place_to_the_one_before(base, put) -> None:
    model = Model("m", base)
    put(3)
    put(4)
    model.poll()
    assert answer(model) == 4
    shutil.rmtree(base / "4")
    model.poll()
    assert answer(model) == 3
    shutil.rmtree(base / "3")
    model.poll()
    assert not model.ready
    assert states(model) == {4: "END", 3: "END"}


def test_what_is_served_stays_while_the_directory_is_away(base, put, caplog) -> None:
    model = Model("m", base)
    model.poll()
    with pytest.raises(ApiError, match="Could not find any versions of model m"):
        model.statuses()
    put(3)
    model.poll()
    base.rename(base.parent / "elsewhere")
    model.poll()
    model.poll()
    assert answer(model) == 3
    assert sum("no directory" in record.message for record in caplog.records) == 2


def test_a_half_copied_version_never_goes_live_and_is_tried_again_when_it_is_whole(base, put, caplog) -> None:
    caplog.set_level(logging.INFO)
    model = Model("m", base)
    put(3)
    model.poll()
    version = put(4)
    (version / "variables").rename(base / "away")
    model.poll()
    model.poll()
    assert answer(model) == 3
    failed, _ = model.statuses()
    assert (failed.version, failed.state) == (4, "END")
    assert failed.code != "OK"
    assert str(base) not in failed.message
    assert sum("version 4 failed to load" in record.message for record in caplog.records) == 1
    (base / "away").rename(version / "variables")
    model.poll()
    assert answer(model) == 4


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: (path / "saved_model.pb").write_bytes(b"not a model"), "cannot parse saved_model.pb"),
        (lambda path: (path / "saved_model.pb").write_bytes(b""), "no graph with the tag `serve`"),
        (lambda path: (path / "variables" / "variables.index").write_bytes(b"x" * 100), ""),
        (lambda path: _write(path / WARMUP_FILE, b"x" * 100), "cannot read the warm-up requests"),
    ],
)
def test_a_damaged_version_fails_with_a_reason(base, put, damage, said: str) -> None:
    damage(put(3))
    model = Model("m", base)
    model.poll()
    assert not model.ready
    (status,) = model.statuses()
    assert status.state == "END"
    assert said in status.message


def test_a_version_whose_warm_up_request_fails_does_not_go_live(base, put) -> None:
    from tensorflow_serving.apis import prediction_log_pb2

    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.inputs["z"].CopyFrom(tf.make_tensor_proto([1.0]))
    file = put(3) / WARMUP_FILE
    file.parent.mkdir()
    with tf.io.TFRecordWriter(str(file)) as writer:
        writer.write(log.SerializeToString())
    model = Model("m", base)
    model.poll()
    assert "warm-up request 0 failed" in model.statuses()[0].message


def _write(path: Path, content: bytes) -> None:
    os.makedirs(path.parent)
    path.write_bytes(content)
