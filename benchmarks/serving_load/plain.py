"""What people write without a model server: Flask over the loaded signature; and the signature by itself.

python plain.py flask FOLDER PORT waitress|werkzeug      # POST /predict, TensorFlow Serving's body
python plain.py direct FOLDER SECONDS                    # prints the latencies of calls of one digit, as JSON
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

_THREADS = 16


def _signature(folder: Path) -> Any:
    import tensorflow as tf

    model = tf.saved_model.load(str(folder / "digits" / "1"))
    signature = model.signatures["serving_default"]
    signature._model = model  # keeps it loaded
    return signature


def flask(folder: Path, port: int, server: str) -> None:
    """Serves until it is killed."""
    import tensorflow as tf
    from flask import Flask, jsonify, request

    signature, application = _signature(folder), Flask(__name__)

    @application.post("/predict")
    def predict():
        images = [base64.b64decode(instance["b64"]) for instance in request.get_json()["instances"]]
        outputs = signature(image=tf.constant(images))
        labels, scores = outputs["label"].numpy(), outputs["scores"].numpy()
        return jsonify(
            predictions=[{"label": label.decode(), "scores": row.tolist()} for label, row in zip(labels, scores, strict=True)]
        )

    if server == "waitress":
        import waitress

        waitress.serve(application, host="127.0.0.1", port=port, threads=_THREADS)
    else:
        import logging

        from werkzeug.serving import WSGIRequestHandler

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        WSGIRequestHandler.protocol_version = "HTTP/1.1"  # or each request would need a connection of its own
        application.run("127.0.0.1", port, threaded=True)


def direct(folder: Path, seconds: float) -> dict[str, float]:
    """Milliseconds of one call: `p50`, `p95`, `p99`."""
    import tensorflow as tf

    signature, images = _signature(folder), [(folder / "digit.png").read_bytes()]
    took: list[float] = []
    for _ in range(100):
        signature(image=tf.constant(images))
    ends = time.perf_counter() + seconds
    while (started := time.perf_counter()) < ends:
        outputs = signature(image=tf.constant(images))
        outputs["scores"].numpy()
        took.append(time.perf_counter() - started)
    took.sort()
    return {f"p{point}": round(1000 * took[len(took) * point // 100], 3) for point in (50, 95, 99)}


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if sys.argv[1] == "flask":
        flask(Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    else:
        print(json.dumps(direct(Path(sys.argv[2]), float(sys.argv[3]))), flush=True)
