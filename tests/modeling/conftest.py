"""Model modules as files, of a working one with some lines replaced."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

FLOWERS = """
import tensorflow as tf

LABEL_KEY = "kind"
FEATURES = {
    "width": tf.io.FixedLenFeature([], tf.float32),
    "petals": tf.io.FixedLenFeature([2], tf.int64),
    LABEL_KEY: tf.io.FixedLenFeature([], tf.int64),
}
CLASS_LABELS = ["rose", "lily", "iris"]


def preprocess(raw):
    return tf.concat([raw["width"][:, tf.newaxis], tf.cast(raw["petals"], tf.float32)], axis=1)


def build_model():
    return tf.keras.Sequential([tf.keras.layers.Input([3]), tf.keras.layers.Dense(3)])


def build_loss():
    return tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def build_metrics():
    return [tf.keras.metrics.SparseCategoricalAccuracy(name="accuracy")]


def postprocess(outputs):
    return {"scores": tf.nn.softmax(outputs)}


def run_fn(fn_args):
    from modeling import centralised

    centralised.train(fn_args, __name__)
"""


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Writes a module of `source` under a name of its own and returns its import path."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(source: str) -> str:
        name = f"module_{hashlib.sha256(source.encode()).hexdigest()[:12]}"
        (tmp_path / f"{name}.py").write_text(source)
        return name

    return write


@pytest.fixture
def flowers(write_module) -> Callable[..., str]:
    """The working module, with each pair of texts replaced; what is replaced must be there."""

    def write(*changes: tuple[str, str]) -> str:
        source = FLOWERS
        for old, new in changes:
            assert old in source, old
            source = source.replace(old, new)
        return write_module(source)

    return write


@pytest.fixture
def flower_records() -> Callable[[int], list[bytes]]:
    """Serialized examples, no two alike, of three kinds of flowers that their width tells apart."""

    def make(count: int) -> list[bytes]:
        records = []
        for number in range(count):
            example = tf.train.Example()
            example.features.feature["width"].float_list.value.append(number % 3 - 1.0)
            example.features.feature["petals"].int64_list.value.extend([number % 5, 1 + number // 15])
            example.features.feature["kind"].int64_list.value.append(number % 3)
            records.append(example.SerializeToString(deterministic=True))
        return records

    return make


@pytest.fixture
def write_split(tmp_path: Path) -> Callable[..., list[str]]:
    """Writes records into gzipped TFRecords and returns the pattern of their names."""

    def write(name: str, records: list[bytes], files: int = 1) -> list[str]:
        (tmp_path / name).mkdir()
        for number in range(files):
            path = tmp_path / name / f"data_tfrecord-{number:05d}-of-{files:05d}.gz"
            with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
                for record in records[number::files]:
                    writer.write(record)
        return [str(tmp_path / name / "*")]

    return write
