from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import portpicker
import pytest

from components.serving_check.clients import Grpc, Rest
from components.serving_check.measuring import Deadline
from components.serving_check.model_server import HOST, Server, serve
from components.serving_check.processes import Finding, running
from serving.server import flags, server


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that does nothing for as long as it is needed."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as started:
        yield started
        started.kill()


@pytest.fixture
def silent(process: subprocess.Popen[bytes]) -> Iterator[Server]:
    """A server that takes connections and never says a word."""
    with socket.create_server((HOST, 0)) as listening:
        port = listening.getsockname()[1]
        yield Server(process, "model", port, port)


@pytest.mark.parametrize("protocol", [Rest, Grpc])
def test_a_request_without_an_answer_is_a_finding(protocol: type[Rest] | type[Grpc], silent: Server) -> None:
    client = protocol(silent)
    with pytest.raises(Finding, match=r"did not answer a request within 0\.2 s"):
        client.send(b"{}", 0.2)
    client.close()


@pytest.mark.parametrize("protocol", [Rest, Grpc])
def test_a_server_that_is_gone_is_a_finding_that_says_how_it_ended(
    protocol: type[Rest] | type[Grpc], process: subprocess.Popen[bytes]
) -> None:
    process.kill()
    with socket.create_server((HOST, 0)) as listening:
        port = listening.getsockname()[1]
    client = protocol(Server(process, "model", port, port))
    with pytest.raises(Finding, match="the model server died with signal 9 while it was asked"):
        client.send(b"{}", 5)
    client.close()


def test_a_server_that_does_not_start_in_time_is_a_finding(tmp_path: Path) -> None:
    with serve(tmp_path) as started, pytest.raises(Finding, match=r"did not serve the model within 0\.1 s"):
        started.wait_until_available(0.1)
    assert started.process.returncode == -9


def test_a_server_that_ends_before_it_serves_is_a_finding() -> None:
    ended = "the model server ended with status 2 before it served the model"
    with running("serving", "no-such-command") as process, pytest.raises(Finding, match=ended):
        Server(process, "model", 1, 1).wait_until_available(60)


@pytest.mark.slow
def test_a_model_that_the_server_cannot_load_is_a_finding(tmp_path: Path, process: subprocess.Popen[bytes]) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"no model")
    rest, grpc = portpicker.pick_unused_port(), portpicker.pick_unused_port()
    # The very server, in this process, which has imported TensorFlow.
    given = [f"--port={grpc}", f"--rest_api_port={rest}", f"--model_base_path={tmp_path}", "--max_num_load_retries=0"]
    opened = server.Server(flags.parse(given))
    opened.start()
    with pytest.raises(Finding, match="the model server could not load the model"):
        Server(process, "default", rest, grpc).wait_until_available(60)
    opened.stop()


def test_the_memory_of_a_process_is_its_own_and_gone_with_it(process: subprocess.Popen[bytes]) -> None:
    running_server = Server(process, "model", 1, 1)
    memory = running_server.peak_memory_bytes()
    assert memory is not None and 1 << 20 < memory < 100 << 20
    process.kill()
    process.wait()
    assert running_server.peak_memory_bytes() is None


def test_a_stage_that_takes_too_long_is_a_finding() -> None:
    deadline = Deadline(0.0, request_seconds=5)
    with pytest.raises(Finding, match="not measured within 0 s"):
        deadline.left()
    assert Deadline(100.0, request_seconds=5).request_seconds() == 5
