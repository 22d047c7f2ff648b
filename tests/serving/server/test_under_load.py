"""The server while clients ask without a pause, or do what no client should."""

from __future__ import annotations

import gzip
import random
import resource
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
import requests

from serving import layout, protocol
from serving.releases import commands
from tests.serving.deploy.deployed import Moved
from tests.serving.deploy.running import Running

pytestmark = pytest.mark.slow

VERSIONS = (1, 2, 3)
ROWS = 5
PREDICT = "/tensorflow.serving.PredictionService/Predict"
BODY = b'{"signature_name": "serving_default", "instances": [1.0, 2.5, -3e2, 4, 5]}'
MAX_BODY = 200_000
READ_SECONDS = 1.5
HEAD = b"POST /v1/models/m:predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Models that answer, for each row, their own number and twice the row."""
    import tensorflow as tf

    class Model(tf.Module):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = tf.Variable(number, dtype=tf.int64)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
        def __call__(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"number": tf.fill(tf.shape(x), self.number), "y": 2 * x}

    folder, models = tmp_path_factory.mktemp("exported"), {number: Model(number) for number in VERSIONS}
    for number, model in models.items():
        tf.saved_model.save(model, str(folder / str(number)), {"serving_default": model.__call__})
    return {number: folder / str(number) for number in VERSIONS}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, exported: dict[int, Path]) -> Path:
    folder = tmp_path_factory.mktemp("root")
    push(folder, exported, 1)
    return folder


def push(root: Path, exported: dict[int, Path], number: int) -> None:
    layout.publish(exported[number], root / "m", now=lambda: number)


@pytest.fixture
def many_files() -> Iterator[None]:
    """Lets this process have more sockets than the usual 1024; the server, started before, sees to that for itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[Running]:
    flags = [f"--model_config_file={root}/models.config", "--model_config_file_poll_wait_seconds=0.1"]
    flags += ["--allow_version_labels_for_unavailable_models=true", "--file_system_poll_wait_seconds=0.1"]
    flags += [f"--rest_api_max_body_bytes={MAX_BODY}", f"--rest_api_request_read_seconds={READ_SECONDS}"]
    running = Running(Moved(tuple(flags), (), ()))
    assert running.process.poll() is None, "".join(running.log)
    yield running
    running.process.kill()
    running.process.wait()


@pytest.fixture
def bounded(server: Running) -> Iterator[None]:
    """What a test does must not leave the server with 100 MB more."""
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    yield
    assert process.memory_info().rss - before < 100e6


def over_rest(server: Running) -> Iterator[tuple[int, set[int]]]:
    """Asks again and again; yields the version that the answer names, and those whose values it has."""
    url = f"http://127.0.0.1:{server.ports[8501]}/v1/models/m:predict"
    with requests.Session() as session:
        while True:
            reply = session.post(url, data=BODY, timeout=30)
            assert reply.status_code == 200, reply.text
            rows = reply.json()["predictions"]
            assert [row["y"] for row in rows] == [2, 5, -600, 8, 10]
            yield int(reply.headers["X-Model-Version"]), {row["number"] for row in rows}


def request() -> Any:
    made = protocol.message("tensorflow.serving.PredictRequest")()
    made.model_spec.name, made.model_spec.signature_name = "m", "serving_default"
    tensor = made.inputs["x"]
    tensor.dtype = protocol.number_of("tensorflow.DataType", "DT_FLOAT")
    tensor.tensor_shape.dim.add(size=ROWS)
    tensor.float_val.extend(range(ROWS))
    return made


def over_grpc(server: Running) -> Iterator[tuple[int, set[int]]]:
    sent = request().SerializeToString()
    with grpc.insecure_channel(f"127.0.0.1:{server.ports[8500]}") as channel:
        call = channel.unary_unary(
            PREDICT, response_deserializer=protocol.message("tensorflow.serving.PredictResponse").FromString
        )
        while True:
            reply = call(sent, timeout=30)
            assert list(reply.outputs["y"].float_val) == [2 * row for row in range(ROWS)]
            yield reply.model_spec.version.value, set(reply.outputs["number"].int64_val)


class Crowd:
    """Clients that ask without a pause, each in a thread of its own."""

    def __init__(self, server: Running, *clients: Callable[[Running], Iterator[tuple[int, set[int]]]]) -> None:
        self._changed = threading.Condition()
        self._last = [0] * len(clients)
        self._stopping = False
        self.answers, self.wrong = 0, list[str]()
        self._threads = [
            threading.Thread(target=self._ask, args=(index, client(server))) for index, client in enumerate(clients)
        ]

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        for thread in self._threads:
            thread.join()

    def wait_for(self, version: int) -> None:
        """Until each client's last answer was of a version."""
        with self._changed:
            done = self._changed.wait_for(lambda: self.wrong or set(self._last) == {version}, 30)
            assert done and not self.wrong, self.wrong or f"{self._last}, expected {version}"

    def _ask(self, index: int, asked: Iterator[tuple[int, set[int]]]) -> None:
        try:
            while not self._stopping:
                named, computed = next(asked)
                assert computed == {named}, f"version {named} is named, {computed} answered"
                with self._changed:
                    self._last[index] = named
                    self.answers += 1
                    self._changed.notify_all()
        except Exception as error:
            with self._changed:
                self.wrong.append(repr(error))
                self._changed.notify_all()


def test_swaps_and_rollbacks_lose_and_mix_no_answer(server: Running, root: Path, exported: dict[int, Path]) -> None:
    told = ["--root", str(root), "--server", f"127.0.0.1:{server.ports[8500]}"]
    with Crowd(server, over_rest, over_rest, over_grpc, over_grpc) as crowd:
        crowd.wait_for(1)
        push(root, exported, 2)
        crowd.wait_for(2)
        push(root, exported, 3)
        crowd.wait_for(3)
        assert commands.rollback(told) == 0
        crowd.wait_for(2)
        assert commands.rollback([*told, "--to", "1"]) == 0
        crowd.wait_for(1)
        assert commands.promote(["3", *told]) == 0
        crowd.wait_for(3)
    assert crowd.wrong == []
    assert crowd.answers > 100


def test_damage_on_the_disk_loses_no_answer_and_is_told(server: Running, root: Path, exported: dict[int, Path]) -> None:
    config, told = root / "models.config", ["--root", str(root), "--server", f"127.0.0.1:{server.ports[8500]}"]
    push(root, exported, 3)
    assert commands.promote(["3", *told]) == 0
    with Crowd(server, over_rest, over_grpc) as crowd:
        crowd.wait_for(3)
        right = config.read_bytes()
        config.write_bytes(right[: len(right) // 2])
        server.wait_for("ERROR")
        config.unlink()
        server.wait_for("cannot be read")
        config.write_bytes(right)
        assert commands.unlabel(["stable", *told]) == 0
        assert commands.unpin(told) == 0
        (root / "m" / "9").mkdir()
        (root / "m" / "9" / "saved_model.pb").write_bytes(bytes(1000))
        server.wait_for("version 9 failed to load")
        shutil.copytree(exported[1], root / "m" / "8", ignore=shutil.ignore_patterns("variables"))
        server.wait_for("version 8 failed to load")
        shutil.rmtree(root / "m" / "9")
        shutil.rmtree(root / "m" / "8")
        answered = crowd.answers
        crowd.wait_for(3)
    assert crowd.wrong == []
    assert crowd.answers > answered > 100


def mutated(dice: random.Random, text: bytes) -> bytes:
    """Bytes with one to four mistakes."""
    made = bytearray(text)
    for _ in range(dice.randint(1, 4)):
        start = dice.randrange(len(made))
        end = min(len(made), start + dice.choice([1, 1, 2, 8]))
        made[start:end] = dice.choice(
            [b"", dice.randbytes(end - start), made[start:end] * 2, b"9" * 30, b"[" * 50, b'"', b"\xff\xff\xff\xff\x7f", b"\0"]
        )
        made = made or bytearray(b"x")
    return bytes(made)


def test_malformed_requests_get_an_answer_and_do_no_harm(server: Running, bounded: None) -> None:
    dice = random.Random(6)
    url = f"http://127.0.0.1:{server.ports[8501]}/v1/models/m:predict"
    with requests.Session() as session:
        codes = [session.post(url, data=mutated(dice, BODY), timeout=20).status_code for _ in range(350)]
    assert set(codes) <= {200, 400, 404, 501}
    assert codes.count(400) > 250
    whole = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    answers = [exchange(server, mutated(dice, whole))[9:12] for _ in range(300)]
    assert set(answers) <= {b"", b"200", b"400", b"404", b"413", b"431", b"501"}
    assert answers.count(b"") < 60  # only where the end of what was announced never came
    with grpc.insecure_channel(f"127.0.0.1:{server.ports[8500]}") as channel:
        call, valid = channel.unary_unary(PREDICT), request().SerializeToString()
        refused = [code_of(call, mutated(dice, valid)) for _ in range(350)]
    assert set(refused) <= {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "INTERNAL", "UNIMPLEMENTED"}
    assert server.process.poll() is None
    version, computed = next(over_rest(server))
    assert computed == {version}
    assert next(over_grpc(server)) == (version, {version})


def swollen() -> Iterator[bytes]:
    """Small messages that would be a server's death if it believed them."""
    for dtype, sizes, values in [
        ("DT_STRING", [4_000_000], {"string_val": [b"x" * 20_000]}),
        ("DT_FLOAT", [2**40], {"float_val": [1]}),
        ("DT_FLOAT", [2**62] * 30_000, {}),
        ("DT_FLOAT", [2**40, 0, 2**40], {}),
        ("DT_FLOAT", [1] * 300, {"float_val": [1]}),
        ("DT_FLOAT", [3], {"tensor_content": b"12345"}),
        ("DT_FLOAT", [-1], {}),
        ("DT_HALF", [1], {"half_val": [1]}),
        ("DT_RESOURCE", [1], {}),
        ("DT_VARIANT", [1], {}),
        ("DT_QINT8", [1], {"int_val": [1]}),
    ]:
        made = request()
        tensor = made.inputs["x"]
        tensor.Clear()
        tensor.dtype = protocol.number_of("tensorflow.DataType", dtype)
        for size in sizes:
            tensor.tensor_shape.dim.add(size=size)
        for field, value in values.items():
            setattr(tensor, field, value) if isinstance(value, bytes) else getattr(tensor, field).extend(value)
        yield made.SerializeToString()
    unknown = request()
    unknown.inputs["x"].dtype = 500
    yield unknown.SerializeToString()
    yield gzip.compress(bytes(100_000_000), 1)


def test_small_requests_that_ask_for_all_memory_are_refused_while_others_are_answered(server: Running, bounded: None) -> None:
    with Crowd(server, over_rest, over_grpc) as crowd:
        with grpc.insecure_channel(f"127.0.0.1:{server.ports[8500]}") as channel:
            codes = [code_of(channel.unary_unary(PREDICT), sent) for sent in swollen()]
        assert set(codes) == {"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"}
        with connected(server) as trailing:
            trailing.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n")
            with pytest.raises(OSError, match=r"reset|pipe"):
                for _ in range(2000):
                    trailing.sendall(b"a: b\r\n" * 2000)
    assert crowd.wrong == []


def test_other_protocols_on_the_rest_port_are_answered_and_closed(server: Running) -> None:
    upgrade = b"GET /v1/models/m HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n"
    for sent, status in [
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), b"400"),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", b"400"),
        (upgrade % b"websocket", b"200"),
        (upgrade % b"h2c", b"200"),
    ]:
        with connected(server) as connection:
            connection.sendall(sent)
            assert received(connection)[9:12] == status


def code_of(call: Any, sent: bytes) -> str:
    try:
        call(sent, timeout=20)
    except grpc.RpcError as error:
        return error.code().name
    return "OK"


def connected(server: Running, port: int = 8501) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.ports[port]), timeout=20)


def exchange(server: Running, sent: bytes) -> bytes:
    """Sends bytes and no more, and returns all that comes until the server closes."""
    with connected(server) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        return received(connection)


def received(connection: socket.socket) -> bytes:
    made = b""
    try:
        while data := connection.recv(65536):
            made += data
    except ConnectionResetError:
        pass
    return made


def test_bodies_that_are_too_large_are_refused_while_others_are_answered(server: Running, bounded: None) -> None:
    with Crowd(server, over_rest, over_grpc) as crowd, ExitStack() as opened:
        announced = [opened.enter_context(connected(server)) for _ in range(20)]
        for connection in announced:
            connection.sendall(HEAD + b"Content-Length: 4000000000\r\n\r\n" + b"1" * 1000)
        endless = [opened.enter_context(connected(server)) for _ in range(5)]
        for connection in endless:
            connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            pour(connection)
        for connection in announced + endless:
            assert b"413" in received(connection)[:20]
    assert crowd.wrong == []
    assert crowd.answers > 20


def pour(connection: socket.socket) -> None:
    """Sends three times what is allowed, in chunks, or until the server will have no more."""
    try:
        for _ in range(3 * MAX_BODY // 10_000):
            connection.sendall(b"2710\r\n" + b" " * 10_000 + b"\r\n")
    except OSError:
        pass


def test_slow_clients_are_let_go_and_idle_ones_are_in_nobodys_way(server: Running, bounded: None, many_files: None) -> None:
    with Crowd(server, over_rest, over_grpc) as crowd, ExitStack() as opened:
        idle = [opened.enter_context(connected(server)) for _ in range(1100)]
        for _ in range(400):
            opened.enter_context(connected(server, 8500))
        half_headers = [opened.enter_context(connected(server)) for _ in range(50)]
        half_bodies = [opened.enter_context(connected(server)) for _ in range(50)]
        for connection in half_headers:
            connection.sendall(HEAD[:40])
        for connection in half_bodies:
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY[:10])
        before = crowd.answers
        assert all(b"408" in received(connection)[:20] for connection in half_headers + half_bodies)
        assert crowd.answers > before
        assert all(is_open(connection) for connection in idle)
    assert crowd.wrong == []


def is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return bool(connection.recv(1))
    except BlockingIOError:
        return True
