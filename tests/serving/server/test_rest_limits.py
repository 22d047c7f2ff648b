import json
import socket
import time

import pytest

pytestmark = pytest.mark.slow

CONNECTIONS = 1100


@pytest.fixture(scope="module")
def limited(run_server, fish, tmp_path_factory):
    base = tmp_path_factory.mktemp("limited")
    (base / "7").symlink_to(fish)
    server = run_server(
        base,
        "--rest_api_request_read_seconds=0.5",
        "--rest_api_max_body_bytes=1000",
        f"--max_connections={CONNECTIONS}",
        "--rest_api_enable_cors_support",
    )
    server.wait_for("REST on")
    return server


def connect(server) -> socket.socket:
    port = int(server.url.rpartition(":")[2])
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def answer(connection: socket.socket) -> tuple[int, str]:
    """Status and error of an answer after which the server closes."""
    content = b""
    while piece := connection.recv(65536):
        content += piece
    head, _, body = content.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["error"]


def test_a_client_that_sends_its_headers_too_slowly_is_told_so(limited) -> None:
    with connect(limited) as connection:
        connection.sendall(b"POST /v1/models/fish:predict HTTP/1.1\r\nHost: ")
        assert answer(connection) == (408, "the request took too long to arrive")


def test_a_client_that_sends_its_body_too_slowly_is_told_so(limited) -> None:
    with connect(limited) as connection:
        connection.sendall(b"POST /v1/models/fish:predict HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        assert answer(connection) == (408, "the request's body did not arrive within 0.5 s")


def test_a_body_that_is_refused_and_never_ends_does_not_hold_the_connection(limited) -> None:
    with connect(limited) as connection:
        connection.sendall(b"POST /v1/models/fish:predict HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n{")
        assert answer(connection) == (413, "the body is larger than 1000 bytes")


def test_headers_without_end_are_refused(limited) -> None:
    with connect(limited) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\n" + b"A: b\r\n" * 20_000)
        assert connection.recv(100).startswith(b"HTTP/1.1 431")


def test_idle_connections_harm_nobody_until_there_are_too_many(limited) -> None:
    idle = [connect(limited) for _ in range(1000)]
    started = time.monotonic()
    assert limited.get("healthz").status_code == 200
    assert time.monotonic() - started < 2
    idle += [connect(limited) for _ in range(CONNECTIONS - 1000)]
    with connect(limited) as refused:
        assert answer(refused) == (503, "too many connections; ask again later")
    for connection in idle:
        connection.close()
    until = time.monotonic() + 20
    while limited_status(limited) != 200:
        assert time.monotonic() < until, "the connections are gone, but the server has no room again"


def limited_status(server) -> int:
    """As soon as the server has seen that the connections are gone there is room again."""
    return server.get("healthz").status_code


def test_pages_of_other_origins_may_ask_if_the_flag_says_so(limited) -> None:
    assert limited.get("v1/models/fish").headers["access-control-allow-origin"] == "*"
