from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import portpicker
import pytest

from serving.client import RequestError, connect
from serving.client.retries import Retries

BUSY = RequestError("somewhere", "UNAVAILABLE", "busy", transient=True)


class Attempts:
    """Fails some times, then answers; keeps when it was called and with how many seconds left."""

    def __init__(self, *failures: RequestError) -> None:
        self.failures = list(failures)
        self.left: list[float] = []

    def __call__(self, left: float) -> str:
        self.left.append(left)
        if self.failures:
            raise self.failures.pop(0)
        return "answer"


def test_a_passing_failure_is_tried_again() -> None:
    attempts = Attempts(BUSY, BUSY)
    assert Retries(10, 2, seed=1).call(attempts) == "answer"
    assert len(attempts.left) == 3
    assert attempts.left == sorted(attempts.left, reverse=True)


def test_a_lasting_failure_is_not_tried_again() -> None:
    attempts = Attempts(RequestError("somewhere", "INVALID_ARGUMENT", "wrong"))
    with pytest.raises(RequestError, match="INVALID_ARGUMENT"):
        Retries(10, 5, seed=1).call(attempts)
    assert len(attempts.left) == 1


def test_no_more_is_tried_than_allowed() -> None:
    attempts = Attempts(BUSY, BUSY, BUSY)
    with pytest.raises(RequestError):
        Retries(10, 1, seed=1).call(attempts)
    assert len(attempts.left) == 2


def test_the_timeout_bounds_all_attempts_together() -> None:
    started = time.monotonic()
    with pytest.raises(RequestError):
        Retries(0.2, 1000, seed=1).call(Attempts(*[BUSY] * 1000))
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_a_server_that_is_not_there_is_unavailable_within_the_timeout(scheme: str) -> None:
    address = f"{scheme}://127.0.0.1:{portpicker.pick_unused_port()}"
    started = time.monotonic()
    with connect(address, timeout=1, retries=1, seed=1) as client, pytest.raises(RequestError, match="UNAVAILABLE") as raised:
        client.status("m")
    assert raised.value.transient
    assert "nothing listens there; start the model server or correct host and port" in str(raised.value)
    assert time.monotonic() - started < 3


class Moody(BaseHTTPRequestHandler):
    """Answers with the statuses of its server, one after the other."""

    def do_GET(self) -> None:
        status = self.server.statuses.pop(0)
        text = {"error": "later"} if status != 200 else {"model_version_status": []}
        body = {0: b"<html>", 1: b'{"status": "fine"}'}.get(status, json.dumps(text).encode())
        self.send_response(status if status > 1 else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def moody():
    with ThreadingHTTPServer(("127.0.0.1", 0), Moody) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def test_429_and_503_are_tried_again(moody) -> None:
    moody.statuses = [503, 429, 200]
    with connect(f"http://127.0.0.1:{moody.server_port}", seed=1) as client:
        assert client.status("m") == []


@pytest.mark.parametrize(
    ("status", "code"), [(400, "INVALID_ARGUMENT"), (404, "NOT_FOUND"), (500, "INTERNAL"), (504, "DEADLINE")]
)
def test_other_statuses_are_not_tried_again(moody, status: int, code: str) -> None:
    moody.statuses = [status, 200]
    with connect(f"http://127.0.0.1:{moody.server_port}", seed=1) as client, pytest.raises(RequestError, match=code):
        client.status("m")
    assert moody.statuses == [200]


@pytest.mark.parametrize("body", [0, 1])
def test_another_service_at_the_address_is_told(moody, body: int) -> None:
    moody.statuses = [body]
    address = f"http://127.0.0.1:{moody.server_port}"
    with connect(address) as client, pytest.raises(RequestError, match="without the JSON of a model server"):
        client.status("m")
