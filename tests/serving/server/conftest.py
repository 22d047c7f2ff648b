"""A small exported model with every kind of input and output, and servers as processes of their own."""

from __future__ import annotations

import datetime
import ipaddress
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
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from serving.server import memory
from serving.server.status import ApiError

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


PLAIN = serialization.NoEncryption()


class Authority:
    """Signs certificates for 127.0.0.1, as an organisation's own authority would."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.certificate = self._signed(self._name, self._key, authority=True)

    def issue(self, name: str, encryption: serialization.KeySerializationEncryption = PLAIN) -> tuple[str, str]:
        """Key and certificate as PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        form = serialization.PrivateFormat.PKCS8
        text = key.private_bytes(serialization.Encoding.PEM, form, encryption).decode()
        return text, self._signed(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]), key)

    def _signed(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, authority: bool = False) -> str:
        today = datetime.datetime(2020, 1, 1)
        place = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        made = x509.CertificateBuilder().subject_name(name).issuer_name(self._name).public_key(key.public_key())
        made = made.serial_number(x509.random_serial_number()).not_valid_before(today)
        made = made.not_valid_after(today + datetime.timedelta(days=36500)).add_extension(place, critical=False)
        made = made.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        return made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


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


@pytest.fixture(scope="session")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel: two signatures take tf.Examples with a float feature `x`, two a tensor `x`; `count` counts its calls."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def classify(inputs):
        x = tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([], tf.float32)})["x"]
        classes = tf.tile([["low", "high"]], [tf.size(x), 1])
        return {"classes": classes, "scores": tf.stack([1 - x, x], axis=1)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def regress(inputs):
        return {"outputs": 2 * tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([], tf.float32)})["x"]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def serving_default(x):
        return {"y": 2 * x}

    module = tf.Module()
    module.calls = tf.Variable(0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def count(x):
        return {"calls": module.calls.assign_add(1)}

    folder = tmp_path_factory.mktemp("typed") / "model"
    signatures = {"classify": classify, "regress": regress, "serving_default": serving_default, "count": count}
    for name, function in signatures.items():
        setattr(module, name, function)
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel with one variable, whose serving_default doubles `x`: quick to copy and to load."""
    import tensorflow as tf

    module = tf.Module()
    module.factor = tf.Variable(2.0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def double(x):
        return {"y": module.factor * x}

    folder = tmp_path_factory.mktemp("tiny") / "model"
    tf.saved_model.save(module, str(folder), signatures={"serving_default": double})
    memory.spare_imports()  # as the server does, or each unload would look through all of TensorFlow
    return folder


@pytest.fixture(scope="session")
def authority() -> Callable[[str], Authority]:
    """Makes an authority of a name."""
    return Authority


class Gate:
    """Loads versions as ever, but a closed one only once it is opened."""

    def __init__(self, *closed: int) -> None:
        self._opened = {version: threading.Event() for version in closed}
        self._begun = {version: threading.Event() for version in closed}

    def __call__(self, name: str, path: Path, version: int) -> Any:
        from serving.server import servable

        if version in self._opened:
            self._begun[version].set()
            assert self._opened[version].wait(20)
        return servable.load(path, version)

    def wait_for(self, version: int) -> None:
        """Until the load of a closed version has begun."""
        assert self._begun[version].wait(20)

    def open(self, version: int) -> None:
        self._opened[version].set()


@pytest.fixture
def gated() -> type[Gate]:
    """Makes what loads versions only when they are opened."""
    return Gate


class TriedManager:
    """A manager whose models are loaded from their files as ever, with what tests ask of it.

    Attributes:
      manager: the manager.
      told: the live versions that it has told of, (model, version) in order.
    """

    def __init__(self, load: Any = None, **options: Any) -> None:
        from serving.server import servable
        from serving.server.manager import Manager

        self.told: list[tuple[str, int | None]] = []
        self._told = threading.Condition()
        self.manager = Manager(load or (lambda name, path, version: servable.load(path, version)), serves=self._tell, **options)

    def look(self) -> None:
        """Looks once and waits for what that loads and unloads."""
        self.manager.poll()
        assert self.manager.settle(20)

    def answers(self, version: int | None = None, label: str = "", name: str = "m") -> int:
        """The version that answers, and that it answers rightly."""
        import numpy as np

        with self.manager.lease(name, version, label) as servable:
            outputs = servable.predict(servable.signature("serving_default"), {"x": np.ones(1, np.float32)})
            assert outputs["y"].tolist() == [2]
            return servable.version

    def refused(self, version: int | None = None, label: str = "", name: str = "m") -> ApiError:
        """What a request is refused with."""
        with pytest.raises(ApiError) as refused, self.manager.lease(name, version, label):
            pass
        return refused.value

    def states(self, name: str = "m") -> dict[int, str]:
        return {status.version: status.state for status in self.manager.statuses(name)}

    def wait_for(self, name: str, version: int | None) -> None:
        """Until this is, or has been, the version that answers."""
        with self._told:
            assert self._told.wait_for(lambda: (name, version) in self.told, 20)

    def _tell(self, name: str, version: int | None) -> None:
        with self._told:
            self.told.append((name, version))
            self._told.notify_all()


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "base"


@pytest.fixture
def put(base: Path, tiny: Path) -> Callable[..., Path]:
    """Puts `tiny` as a version into a model's directory; a broken one has its variables beside it."""

    def run(version: int, place: Path = base, *, broken: bool = False) -> Path:
        path = place / str(version)
        shutil.copytree(tiny, path)
        if broken:
            (path / "variables").rename(place / f"away-{version}")
        return path

    return run


@pytest.fixture
def manage() -> Iterator[Callable[..., TriedManager]]:
    """Makes managers of models `name=Settings`, which have looked once and loaded what there is."""
    made = []

    def run(load: Any = None, *, options: dict[str, Any] | None = None, **models: Any) -> TriedManager:
        made.append(TriedManager(load, **(options or {})))
        made[-1].manager.apply(models)
        assert made[-1].manager.settle(20)
        return made[-1]

    yield run
    for tried in made:
        tried.manager.stop()
