"""A small exported model with every kind of input and output, and servers as processes of their own."""

from __future__ import annotations

import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import portpicker
import pytest
import requests

ROOT = Path(__file__).resolve().parents[3]

FISH = r"""
import tensorflow as tf

LABEL_KEY = "kind"
FEATURES = {
    "name": tf.io.FixedLenFeature([], tf.string),
    "length": tf.io.FixedLenFeature([], tf.float32),
    "fins": tf.io.FixedLenFeature([2], tf.int64),
    LABEL_KEY: tf.io.FixedLenFeature([], tf.int64),
}
CLASS_LABELS = ["köhler", "lachs", "hai"]


def preprocess(raw):
    letters = tf.cast(tf.strings.length(raw["name"]), tf.float32)
    return tf.concat([tf.stack([letters, raw["length"]], axis=1), tf.cast(raw["fins"], tf.float32)], axis=1)


def build_model():
    return tf.keras.Sequential([tf.keras.layers.Input([4]), tf.keras.layers.Dense(3)])


def build_loss():
    return tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def build_metrics():
    return [tf.keras.metrics.SparseCategoricalAccuracy(name="accuracy")]


def postprocess(outputs):
    best = tf.argmax(outputs, axis=1)
    return {
        "scores": tf.nn.softmax(outputs),
        "best": best,
        "label": tf.gather(tf.constant(CLASS_LABELS), best),
        "code_bytes": tf.fill([tf.shape(outputs)[0]], b"\xff\x00"),
    }


def run_fn(fn_args):
    pass
"""


class RunningServer:
    """`python -m serving serve` on free ports."""

    def __init__(self, base: Path, *flags: str) -> None:
        self.base = base
        self.grpc_address = f"127.0.0.1:{portpicker.pick_unused_port()}"
        rest_port = portpicker.pick_unused_port()
        self.url = f"http://127.0.0.1:{rest_port}"
        self._lines: queue.Queue[str] = queue.Queue()
        command = [sys.executable, "-m", "serving", "serve", "--model_name=fish", "--model_base_path", str(base)]
        command += [f"--port={self.grpc_address.split(':')[1]}", "--rest_api_port", str(rest_port), *flags]
        command += ["--file_system_poll_wait_seconds", "0.1"]
        self.process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, text: str, seconds: float = 60) -> str:
        """The next line of the log that holds `text`."""
        while text not in (line := self._lines.get(timeout=seconds)):
            assert line, f"the server ended with {self.process.wait()}"
        return line

    def post(self, path: str, body: Any, **options: Any) -> requests.Response:
        """POSTs text as it is, anything else as JSON."""
        how = {"data": body} if isinstance(body, str | bytes) else {"json": body}
        return requests.post(f"{self.url}/v1/models/{path}", **how, timeout=60, **options)

    def get(self, path: str) -> requests.Response:
        return requests.get(f"{self.url}/{path}", timeout=60)

    def end(self) -> int:
        """Sends SIGTERM and returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(20)
        self._reader.join()
        return code

    def _read(self) -> None:
        with self.process.stderr:
            for line in self.process.stderr:
                self._lines.put(line)
        self._lines.put("")


@pytest.fixture(scope="session")
def fish(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model of the module above, exported."""
    from modeling import contract
    from modeling.export import export

    folder = tmp_path_factory.mktemp("fish")
    (folder / "fish_model.py").write_text(FISH, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        module = contract.load("fish_model")
        export(module.build_model(), module, str(folder / "model"))
    return folder / "model"


@pytest.fixture(scope="module")
def run_server() -> Iterator[Callable[..., RunningServer]]:
    """Starts servers and ends what is left of them."""
    started = []

    def run(base: Path, *flags: str) -> RunningServer:
        started.append(RunningServer(base, *flags))
        return started[-1]

    yield run
    for server in started:
        server.process.kill()
        server.process.wait()


@pytest.fixture(scope="module")
def server(run_server, fish: Path, tmp_path_factory: pytest.TempPathFactory) -> RunningServer:
    """A server that serves `fish` as version 7, for all tests of a file."""
    base = tmp_path_factory.mktemp("served")
    shutil.copytree(fish, base / "7")
    running = run_server(base, "--rest_api_max_body_bytes=100000")
    running.wait_for("version 7 is AVAILABLE")
    return running


@pytest.fixture(scope="module")
def channel(server: RunningServer) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.grpc_address) as opened:
        yield opened


@pytest.fixture(scope="session")
def direct(fish: Path) -> Callable[..., dict[str, Any]]:
    """Calls the exported model's serving_default in this process."""
    import tensorflow as tf

    model = tf.saved_model.load(str(fish))

    def call(name: list[bytes], length: list[float], fins: list[list[int]]) -> dict[str, Any]:
        raw = {"name": tf.constant(name), "length": tf.constant(length), "fins": tf.constant(fins, tf.int64)}
        return {key: value.numpy() for key, value in model.signatures["serving_default"](**raw).items()}

    return call
