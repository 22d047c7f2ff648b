import asyncio
import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from google.protobuf import text_format

from errors import ConfigError
from serving.server import protos, tls


def write(path: Path, **fields: object) -> Path:
    message = protos.message("tensorflow.serving.SSLConfig")(**fields)
    path.write_text(text_format.MessageToString(message), encoding="utf-8")
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def ours(authority: Callable[[str], Any]) -> Any:
    return authority("ours")


@pytest.fixture(scope="module")
def pair(ours) -> tuple[str, str]:
    return ours.issue("server")


@contextmanager
def echo(context: ssl.SSLContext) -> Iterator[int]:
    """A port that takes one TLS connection after the other and sends back what it gets."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                accepted, _ = listening.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(accepted, server_side=True) as stream:
                    stream.sendall(stream.recv(100))
            except OSError:
                accepted.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def ask(port: int, client: ssl.SSLContext) -> bytes:
    plain = socket.create_connection(("127.0.0.1", port), timeout=10)
    with plain, client.wrap_socket(plain, server_hostname="127.0.0.1") as stream:
        stream.sendall(b"hello")
        return stream.recv(100)


def client(authority, tmp_path: Path, pair: tuple[str, str] | None = None) -> ssl.SSLContext:
    made = ssl.create_default_context(cadata=authority.certificate)
    if pair:
        (tmp_path / "client.pem").write_text("".join(pair))
        made.load_cert_chain(str(tmp_path / "client.pem"))
    return made


def test_a_client_that_trusts_the_authority_is_answered_and_another_is_not(ours, authority, pair, tmp_path) -> None:
    context = tls.read(write(tmp_path / "ssl", server_key=pair[0], server_cert=pair[1])).context()
    with echo(context) as port:
        assert ask(port, client(ours, tmp_path)) == b"hello"
        with pytest.raises(ssl.SSLCertVerificationError):
            ask(port, client(authority("other"), tmp_path))
        assert ask(port, client(ours, tmp_path)) == b"hello"


def test_client_verify_lets_in_only_who_shows_the_authoritys_certificate(ours, authority, pair, tmp_path) -> None:
    fields = {"server_key": pair[0], "server_cert": pair[1], "custom_ca": ours.certificate, "client_verify": True}
    with echo(tls.read(write(tmp_path / "ssl", **fields)).context()) as port:
        assert ask(port, client(ours, tmp_path, ours.issue("client"))) == b"hello"
        for stranger in (None, authority("other").issue("client")):
            with pytest.raises(OSError):
                assert ask(port, client(ours, tmp_path, stranger))


@pytest.mark.parametrize("verify", [False, True])
def test_grpc_takes_the_same_file(verify: bool, ours, pair, tmp_path) -> None:
    fields = {"server_key": pair[0], "server_cert": pair[1], "custom_ca": ours.certificate, "client_verify": verify}
    credentials = tls.read(write(tmp_path / "ssl", **fields)).grpc_credentials()
    key, certificate = (text.encode() for text in ours.issue("client"))

    async def states() -> list[bool]:
        server = grpc.aio.server()
        port = server.add_secure_port("127.0.0.1:0", credentials)
        await server.start()
        found = []
        for mine in ((None, None), (key, certificate)):
            channel = grpc.aio.secure_channel(
                f"127.0.0.1:{port}", grpc.ssl_channel_credentials(ours.certificate.encode(), *mine)
            )
            found.append(await _answers(channel))
            await channel.close()
        await server.stop(0)
        return found

    assert asyncio.run(states()) == [not verify, True]


async def _answers(channel: grpc.aio.Channel) -> bool:
    """Whether a call gets as far as to be told that there is no such method."""
    try:
        await channel.unary_unary("/a/b")(b"", timeout=10)
    except grpc.aio.AioRpcError as error:
        return error.code() == grpc.StatusCode.UNIMPLEMENTED
    return False


def test_a_file_that_cannot_be_used_is_refused_in_one_line_without_its_content(ours, pair, tmp_path) -> None:
    key, certificate = pair
    locked = ours.issue("locked", serialization.BestAvailableEncryption(b"secret"))
    wrong = [
        ({"server_cert": certificate}, "server_key must hold a PEM text"),
        ({"server_key": "/etc/key.pem", "server_cert": certificate}, "got something else"),
        ({"server_key": key}, "server_cert must hold a PEM text"),
        ({"server_key": key, "server_cert": certificate, "client_verify": True}, "custom_ca must hold a PEM text"),
        ({"server_key": ours.issue("x")[0], "server_cert": certificate}, "KEY_VALUES_MISMATCH"),
        ({"server_key": key, "server_cert": certificate.replace("M", "N")}, "cannot be used"),
        ({"server_key": locked[0], "server_cert": locked[1]}, "encrypted"),
    ]
    for fields, said in wrong:
        with pytest.raises(ConfigError, match=said) as caught:
            tls.read(write(tmp_path / "ssl", **fields))
        assert "\n" not in str(caught.value)
        assert key.splitlines()[1] not in str(caught.value)


def test_a_file_that_is_no_ssl_config_is_refused_without_its_content(pair, tmp_path) -> None:
    file = tmp_path / "ssl"
    with pytest.raises(ConfigError, match="cannot read"):
        tls.read(file)
    file.write_text(f"server_key {pair[0]}")
    with pytest.raises(ConfigError, match=r"is wrong at line 1, column \d+; expected a SSLConfig") as caught:
        tls.read(file)
    assert "PRIVATE" not in str(caught.value)


def test_a_key_that_everybody_can_read_is_warned_of_and_not_shown(pair, tmp_path, caplog) -> None:
    file = write(tmp_path / "ssl", server_key=pair[0], server_cert=pair[1])
    caplog.set_level(logging.DEBUG)
    assert "PRIVATE" not in repr(tls.read(file))
    assert not caplog.records
    os.chmod(file, 0o644)
    tls.read(file)
    assert "every user of this machine can read it" in caplog.text
    assert pair[0].splitlines()[1] not in caplog.text
