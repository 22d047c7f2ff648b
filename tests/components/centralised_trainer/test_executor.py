"""Trainer's model on a small module, by the real executor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tensorflow as tf
from tfx.proto import trainer_pb2
from tfx.types import standard_artifacts
from tfx.utils import proto_utils

from components.centralised_trainer.executor import Executor
from errors import TrainingError
from lineage.digests import tree_digest

pytestmark = pytest.mark.slow

MODULE = """
import tensorflow as tf

from modeling import centralised

LABEL_KEY = "y"
FEATURES = {"x": tf.io.FixedLenFeature([1], tf.float32), LABEL_KEY: tf.io.FixedLenFeature([], tf.float32)}


def preprocess(raw):
    return raw["x"]


def build_model():
    return tf.keras.Sequential([tf.keras.layers.Input([1]), tf.keras.layers.Dense(1)])


def build_loss():
    return tf.keras.losses.MeanSquaredError()


def build_metrics():
    return [tf.keras.metrics.MeanAbsoluteError(name="error")]


def run_fn(fn_args):
    centralised.train(fn_args, __name__)
"""


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs the executor and returns its model."""
    (tmp_path / "line_model.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    for split in ("train", "eval"):
        (tmp_path / "examples" / f"Split-{split}").mkdir(parents=True)
        with tf.io.TFRecordWriter(str(tmp_path / "examples" / f"Split-{split}" / "data.gz"), "GZIP") as writer:
            for number in range(100):
                example = tf.train.Example()
                example.features.feature["x"].float_list.value.append(number / 10)
                example.features.feature["y"].float_list.value.append(number / 5)
                writer.write(example.SerializeToString(deterministic=True))

    def run(stop_at: float | None) -> standard_artifacts.Model:
        examples, model, model_run = standard_artifacts.Examples(), standard_artifacts.Model(), standard_artifacts.ModelRun()
        examples.uri, examples.split_names = str(tmp_path / "examples"), json.dumps(["train", "eval"])
        model.uri, model_run.uri = str(tmp_path / "model"), str(tmp_path / "run")
        settings = {"epochs": 2, "batch_size": 4, "learning_rate": 0.1, "seed": 1, "stop_at": stop_at}
        code = {"module_digest": "0123", "code_version": "4567"}
        properties = {
            "run_fn": "line_model.run_fn",
            "train_args": proto_utils.proto_to_json(trainer_pb2.TrainArgs(splits=["train"])),
            "eval_args": proto_utils.proto_to_json(trainer_pb2.EvalArgs(splits=["eval"])),
            "custom_config": json.dumps({**settings, **code}),
        }
        Executor().Do({"examples": [examples]}, {"model": [model], "model_run": [model_run]}, properties)
        return model

    return run


def test_trained_model_carries_the_digest_of_its_bytes(train) -> None:
    model = train(None)
    assert (Path(model.uri) / "Format-Serving" / "saved_model.pb").is_file()
    assert model.get_string_custom_property("digest") == tree_digest(model.uri)
    code = [model.get_string_custom_property(name) for name in ("module", "module_digest", "code_version")]
    assert code == ["line_model", "0123", "4567"]


def test_baseline_that_is_never_good_enough_fails_the_node(train) -> None:
    with pytest.raises(
        TrainingError, match=r"^the baseline's error on the held-out tenth was at most .*; expected baseline.stop_at 1000"
    ):
        train(1000.0)
