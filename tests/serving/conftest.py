"""A tiny model of pictures and a model server for it, which the client's and the gateway's tests ask."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import portpicker
import pytest

ROOT = Path(__file__).resolve().parents[2]
VERSION = 7


@dataclass(frozen=True)
class Addresses:
    """Where the models can be asked, always version 7."""

    grpc: str
    rest: str
    files: str


@pytest.fixture(scope="session")
def brightness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of models by name: `brightness` (is an 8x8 PNG dark, grey or bright?), `fish` of rows, `praise` of texts."""
    import tensorflow as tf

    from serving.layout import publish

    def decoded(images):
        def decode(image):
            return tf.ensure_shape(tf.io.decode_png(image, channels=1), [8, 8, 1])

        return tf.cast(tf.map_fn(decode, images, fn_output_signature=tf.uint8), tf.float32) / 255.0

    def scores(images):
        mean = tf.reduce_mean(decoded(images), axis=[1, 2])
        return tf.nn.softmax(-20.0 * tf.square(mean - tf.constant([[0.0, 0.5, 1.0]])))

    def images(serialized):
        return tf.io.parse_example(serialized, {"image": tf.io.FixedLenFeature([], tf.string)})["image"]

    names = tf.constant(["dunkel", "grau", "hell"])
    strings = tf.TensorSpec([None], tf.string)

    @tf.function(input_signature=[strings])
    def serving_default(image):
        found = scores(image)
        return {"scores": found, "label": tf.gather(names, tf.argmax(found, axis=1))}

    @tf.function(input_signature=[strings])
    def classify(inputs):
        found = scores(images(inputs))
        return {"classes": tf.tile(names[tf.newaxis], [tf.shape(found)[0], 1]), "scores": found}

    @tf.function(input_signature=[strings])
    def regress(inputs):
        return {"outputs": tf.reduce_mean(decoded(images(inputs)), axis=[1, 2])}

    @tf.function(input_signature=[strings, tf.TensorSpec([None], tf.float32), tf.TensorSpec([None, 2], tf.int64)])
    def rows(name, length, fins):
        return {
            "total": length + tf.cast(tf.reduce_sum(fins, axis=1), tf.float32),
            "name_bytes": tf.strings.join([name, tf.constant(b"\xff\x00")]),
            "odd": tf.equal(fins % 2, 1),
            "nothing": length / 0.0,
        }

    @tf.function(input_signature=[strings])
    def praise(review):
        good = tf.strings.regex_full_match(review, ".*(gut|fein).*")
        return {"label": tf.where(good, "gut", "schlecht")}

    models = {
        "brightness": {"serving_default": serving_default, "classify": classify, "regress": regress, "rows": rows},
        "fish": {"serving_default": rows},
        "praise": {"serving_default": praise},
    }
    folder = tmp_path_factory.mktemp("models")
    for name, signatures in models.items():
        tf.saved_model.save(tf.Module(), str(folder / "saved" / name), signatures=signatures)
        publish(folder / "saved" / name, folder / "models" / name, now=lambda: VERSION)
    return folder / "models"


@pytest.fixture(scope="session")
def asked(brightness: Path) -> Iterator[Addresses]:
    """A running model server."""
    ports = [portpicker.pick_unused_port() for _ in range(2)]
    command = [sys.executable, "-m", "serving", "serve", f"--model_config_file={brightness / 'models.config'}"]
    command += [f"--port={ports[0]}", f"--rest_api_port={ports[1]}"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        lines = iter(process.stderr)
        for _ in range(3):
            assert any("AVAILABLE" in line for line in lines), f"the server ended with {process.wait()}"
        yield Addresses(f"grpc://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}", str(brightness))
        process.send_signal(signal.SIGTERM)


@pytest.fixture(scope="session")
def picture() -> Callable[..., bytes]:
    """Makes a picture of one grey value; encoded, 8x8 PNG unless told otherwise."""
    from PIL import Image

    def make(grey: int, size: tuple[int, int] = (8, 8), kind: str = "PNG", mode: str = "L") -> bytes:
        out = io.BytesIO()
        Image.new("L", size, grey).convert(mode).save(out, kind)
        return out.getvalue()

    return make
