import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from errors import ConfigError
from serving.server.flags import parse
from serving.server.loading import ServedModels, loader
from serving.server.metrics import Metrics
from serving.server.status import ApiError
from serving.server.warmup import WARMUP_FILE


def load(path: Path, *flags: str) -> tuple[Any, Metrics]:
    metrics = Metrics()
    return loader(parse(["--model_base_path=/m", *flags]), metrics)("m", path, int(path.name)), metrics


def write(path: Path, content: bytes) -> None:
    os.makedirs(path.parent, exist_ok=True)
    path.write_bytes(content)


def refuse_warm_up(version: Path) -> None:
    """Leaves a warm-up request that the model cannot answer."""
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.inputs["z"].CopyFrom(tf.make_tensor_proto([1.0]))
    (version / WARMUP_FILE).parent.mkdir()
    with tf.io.TFRecordWriter(str(version / WARMUP_FILE)) as writer:
        writer.write(log.SerializeToString())


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: (path / "saved_model.pb").write_bytes(b"not a model"), "cannot parse saved_model.pb"),
        (lambda path: (path / "saved_model.pb").write_bytes(b""), "no graph with the tag `serve`"),
        (lambda path: (path / "variables" / "variables.index").write_bytes(b"x" * 100), ""),
        (lambda path: os.truncate(path / "variables" / "variables.data-00000-of-00001", 1), ""),
        (lambda path: write(path / WARMUP_FILE, b"x" * 100), "cannot read the warm-up requests"),
        (refuse_warm_up, "warm-up request 0 failed"),
        (lambda path: shutil.rmtree(path / "variables"), "the copy is not complete"),
    ],
)
def test_a_damaged_version_fails_with_a_reason(put, damage: Callable[[Path], None], said: str) -> None:
    path = put(3)
    damage(path)
    metrics = Metrics()
    with pytest.raises(ApiError) as refused:
        loader(parse(["--model_base_path=/m"]), metrics)("m", path, 3)
    assert f':load_attempt_count{{model_path="{path}",status="fail"}} 1' in metrics.page()
    assert 'status="success"' not in metrics.page()
    assert said in refused.value.message
    assert str(path) not in refused.value.message


def test_warm_up_can_be_left_out_and_is_timed_otherwise(put) -> None:
    path = put(3)
    refuse_warm_up(path)
    loaded, metrics = load(path, "--enable_model_warmup=false")
    assert loaded.version == 3
    names = [":tensorflow:cc:saved_model:load_attempt_count", ":tensorflow:serving:model_warmup_latency"]
    assert list(metrics.values(names).values()) == [1, 0]
    loaded.close()


def test_the_tags_of_the_flags_name_the_graph(put) -> None:
    with pytest.raises(ApiError, match="no graph with the tag `gpu,serve`"):
        load(put(3), "--saved_model_tags=serve,gpu")


def test_the_flags_name_one_model_or_a_file_of_them(put, base, tmp_path) -> None:
    put(3)
    file = tmp_path / "models.config"
    one = [f"--model_base_path={base}", "--model_name=fish"]
    several = [f"--model_config_file={file}", "--model_config_file_poll_wait_seconds=0"]
    with pytest.raises(ConfigError, match="cannot be read"):
        ServedModels(parse(several), Metrics()).start()
    file.write_text(f'model_config_list {{ config {{ name: "fish" base_path: "{base}" model_platform: "tensorflow" }} }}')
    for flags in (one, several):
        metrics = Metrics()
        served = ServedModels(parse([*flags, "--num_load_threads=2"]), metrics)
        served.start()
        assert served.manager.settle(20)
        with served.manager.lease("fish") as servable:
            assert servable.version == 3
        assert 'fedtfx_served_version{model_name="fish"} 3' in metrics.page()
        served.stop()


def test_a_wrong_batching_file_of_a_version_fails_its_load(fish: Path, tmp_path: Path) -> None:
    version = tmp_path / "1"
    shutil.copytree(fish, version)
    (version / "batching_params.pbtxt").write_text("max_batch_size { value: 0 }")
    with pytest.raises(ApiError, match=r"batching_params\.pbtxt: max_batch_size is 0"):
        load(version, "--enable_batching", "--enable_per_model_batching_parameters")
    load(version, "--enable_batching")[0].close()
