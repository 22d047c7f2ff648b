"""The models that are served, untrained: the digits CNN of the examples, a recurrent one of text, one of a megabyte.

python models.py FOLDER      # writes FOLDER/digits/1, FOLDER/text/1 and FOLDER/megabyte/1, and what clients send
"""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
FLOATS = 262_144  # a megabyte as float32
CHARACTERS = 80
TEXT = b"But, soft! what light through yonder window breaks? It is the east, and Juliet is the sun."[-CHARACTERS:]


def main(folder: Path) -> None:
    """Writes models and requests."""
    _digits(folder / "digits")
    _text(folder / "text")
    _megabyte(folder / "megabyte")
    _requests(folder)


def _digits(base: Path) -> None:
    from modeling import contract
    from modeling.export import export

    module = contract.load("examples.digits.digits_model")
    export(module.build_model(), module, str(base / "1"))


def _text(base: Path) -> None:
    """A recurrent network: many steps, each of which costs about the same for one text and for many."""
    import tensorflow as tf

    model = tf.keras.Sequential(
        [
            tf.keras.layers.Input([CHARACTERS], dtype=tf.int32),
            tf.keras.layers.Embedding(256, 8),
            tf.keras.layers.GRU(64),
            tf.keras.layers.Dense(256, activation="softmax"),
        ]
    )

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def next_character(text):
        codes = tf.io.decode_raw(text, tf.uint8, fixed_length=CHARACTERS)
        return {"next": tf.argmax(model(tf.cast(codes, tf.int32)), axis=1)}

    tf.saved_model.save(model, str(base / "1"), signatures={"serving_default": next_character})


def _megabyte(base: Path) -> None:
    import tensorflow as tf

    class Means(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, FLOATS], tf.float32, "x")])
        def floats(self, x):
            return {"means": tf.reduce_mean(tf.reshape(x, [-1, 8, FLOATS // 8]), axis=2)}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "x")])
        def encoded(self, x):
            return self.floats(tf.ensure_shape(tf.io.decode_raw(x, tf.float32), [None, FLOATS]))

    model = Means()
    tf.saved_model.save(model, str(base / "1"), signatures={"serving_default": model.floats, "encoded": model.encoded})


def _requests(folder: Path) -> None:
    import tensorflow as tf

    png = tf.io.encode_png(tf.random.stateless_uniform([8, 8, 1], (1, 2), 0, 256, tf.int32).numpy().astype(np.uint8)).numpy()
    (folder / "digit.png").write_bytes(png)
    floats = np.random.default_rng(1).normal(size=[1, FLOATS]).astype(np.float32)
    rows = json.dumps({"instances": [[float(f"{value:.7g}") for value in floats[0].tolist()]]})
    b64 = {"signature_name": "encoded", "instances": [{"b64": base64.b64encode(floats.tobytes()).decode()}]}
    digit = json.dumps({"instances": [{"b64": base64.b64encode(png).decode()}]})
    text = json.dumps({"instances": [{"b64": base64.b64encode(TEXT).decode()}]})
    for name, model, body in (
        ("digits-rest-b64", "digits", digit),
        ("text-rest-b64", "text", text),
        ("megabyte-rest-json", "megabyte", rows),
        ("megabyte-rest-b64", "megabyte", json.dumps(b64)),
    ):
        _write_http(folder / name, f"/v1/models/{model}:predict", body)
    _write_http(folder / "digits-flask-b64", "/predict", digit)
    _write_grpc(folder / "digits-grpc", "digits", "image", np.array([png], object))
    _write_grpc(folder / "text-grpc", "text", "text", np.array([TEXT], object))
    _write_grpc(folder / "megabyte-grpc", "megabyte", "x", floats)


def _write_http(file: Path, path: str, body: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    file.write_bytes((head + body).encode())


def _write_grpc(file: Path, model: str, name: str, array: np.ndarray) -> None:
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    file.write_bytes(request.SerializeToString())


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.path.insert(0, str(ROOT))
    main(Path(sys.argv[1]))
