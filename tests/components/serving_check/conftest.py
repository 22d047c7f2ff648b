"""Small models, good and hostile, and the examples they are asked with."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from components.serving_check import allow_list, graphs

FLOWERS = """
import tensorflow as tf

LABEL_KEY = "kind"
FEATURES = {
    "width": tf.io.FixedLenFeature([], tf.float32),
    "petals": tf.io.FixedLenFeature([2], tf.int64),
    "name": tf.io.FixedLenFeature([], tf.string, b"none"),
    LABEL_KEY: tf.io.FixedLenFeature([], tf.int64),
}
CLASS_LABELS = ["rose", "lily", "iris"]


def preprocess(raw):
    length = tf.cast(tf.strings.length(raw["name"]), tf.float32)
    return tf.concat([raw["width"][:, tf.newaxis], tf.cast(raw["petals"], tf.float32), length[:, tf.newaxis]], axis=1)


def build_model():
    return tf.keras.Sequential([tf.keras.layers.Input([4]), tf.keras.layers.Dense(3)])


def build_loss():
    return tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def build_metrics():
    return []


def postprocess(outputs):
    return {"scores": tf.nn.softmax(outputs)}


def run_fn(fn_args):
    pass
"""


@pytest.fixture(scope="session")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Import path of a model module of three kinds of features."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "flowers_to_serve.py").write_text(FLOWERS)
    sys.path.insert(0, str(folder))
    yield "flowers_to_serve"
    sys.path.remove(str(folder))


@pytest.fixture(scope="session")
def export_flowers(flowers: str) -> Callable[..., str]:
    """Exports an untrained model of the module into a folder, after `change` was made to it."""
    from modeling import contract, export

    def write(folder: Path, change: Callable[[Any], Any] = lambda model: None) -> str:
        module = contract.load(flowers)
        tf.keras.utils.set_random_seed(7)
        model = module.build_model()
        change(model)
        export.export(model, module, str(folder))
        return str(folder)

    return write


@pytest.fixture(scope="session")
def good_model(tmp_path_factory: pytest.TempPathFactory, export_flowers: Callable[..., str]) -> str:
    """A model nothing is wrong with; not to be altered."""
    return export_flowers(tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="session")
def flower_records() -> list[bytes]:
    """Serialized examples, no two alike; every third has no name."""
    records = []
    for number in range(24):
        example = tf.train.Example()
        example.features.feature["width"].float_list.value.append(number % 3 - 0.7)
        example.features.feature["petals"].int64_list.value.extend([number, number // 3])
        example.features.feature["kind"].int64_list.value.append(number % 3)
        if number % 3:
            example.features.feature["name"].bytes_list.value.append(b"\xffflower" * number)
        records.append(example.SerializeToString(deterministic=True))
    return records


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., str]:
    """Saves a model whose two signatures answer `answer(strings)`, floats [batch], plus what `track` holds."""

    def write(answer: Callable[[Any], Any], track: Mapping[str, Any] | None = None) -> str:
        model = tf.Module()
        model.weight = tf.Variable(1.0)
        for name, value in (track or {}).items():
            setattr(model, name, value)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
        def serve(examples: Any) -> dict[str, Any]:
            return {"predictions": answer(examples) * model.weight}

        folder = str(tmp_path / "saved")
        tf.saved_model.save(model, folder, signatures={"serving_default": serve, "serve_examples": serve})
        return folder

    return write


@pytest.fixture
def refused() -> Callable[..., set[str]]:
    """Reads a SavedModel, alters its one MetaGraph, and returns the operations off the list."""

    def read(folder: str, change: Callable[[Any], Any] = lambda meta_graph: None, *allowed: str) -> set[str]:
        proto = saved_model_pb2.SavedModel.FromString((Path(folder) / "saved_model.pb").read_bytes())
        change(proto.meta_graphs[0])
        return graphs.refused_ops(proto.meta_graphs[0], allow_list.read().extended(allowed))

    return read


@dataclass
class Seen:
    """What became of the base directory of a model server that we started."""

    started: bool = False
    given_anything: bool = False


@pytest.fixture
def watched_server() -> Callable[[], AbstractContextManager[Seen]]:
    """Watches the first model server that is started in a block; what it saw is known at the end of the block.

    The directory is held open from when it is found, so that its time of change can be read when it is gone.
    """

    def base_path() -> str | None:
        flag = "--model_base_path="
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                if found := [word.removeprefix(flag) for word in child.cmdline() if word.startswith(flag)]:
                    return found[0]
        return None

    @contextmanager
    def watch() -> Iterator[Seen]:
        seen, done = Seen(), threading.Event()

        def look() -> None:
            while not (path := base_path()):
                if done.wait(0.01):
                    return
            directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                seen.started, before = True, os.stat(directory).st_mtime_ns
                seen.given_anything = bool(os.listdir(directory))
                done.wait()
                seen.given_anything |= os.stat(directory).st_mtime_ns != before
            finally:
                os.close(directory)

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield seen
        finally:
            done.set()
            thread.join()

    return watch
