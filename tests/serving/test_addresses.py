from __future__ import annotations

import pytest

from errors import ConfigError
from serving.addresses import GRPC, PATH, REST, Address, parse, trouble

ALL = (*GRPC, *REST, *PATH)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8500", Address("grpc", "127.0.0.1:8500")),
        ("model-server:8500", Address("grpc", "model-server:8500")),
        ("[::1]:8500", Address("grpc", "[::1]:8500")),
        ("grpc://localhost:8500/", Address("grpc", "localhost:8500")),
        ("GRPCS://localhost:8500", Address("grpcs", "localhost:8500")),
        ("http://localhost:8501/prefix/", Address("http", "localhost:8501/prefix")),
        ("https://models.example", Address("https", "models.example")),
        ("serving/models", Address("", "serving/models")),
        ("/srv/models/", Address("", "/srv/models/")),
        ("./a:80", Address("", "./a:80")),
    ],
)
def test_every_form_is_read(text: str, address: Address) -> None:
    assert parse("--server", text, ALL) == address
    assert address.tls == (address.scheme in ("grpcs", "https"))


@pytest.mark.parametrize(
    "text",
    ["", "localhost", "localhost:", "localhost:0", "localhost:65536", "grpc://", "grpc://a", "ftp://a:1", "a b:1", "/srv"],
)
def test_what_is_no_grpc_address_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(
        ConfigError, match=r"^--server: expected a model server's address, host:port of its gRPC.*; got '"
    ) as raised:
        parse("--server", text)
    assert "\n" not in str(raised.value)


def test_rest_where_grpc_is_needed_is_told_with_the_usual_port() -> None:
    with pytest.raises(ConfigError, match="that is REST; gRPC is usually on port 8500"):
        parse("--server", "http://localhost:8501")


@pytest.mark.parametrize(
    ("details", "reason", "passing"),
    [
        ("last error: UNKNOWN: ipv4:127.0.0.1:1: connect: Connection refused (111)", "nothing listens there", True),
        (
            "INTERNAL: ipv4:127.0.0.1:1: Trying to connect an http1.x server (HTTP status 400)",
            "this looks like the REST port",
            False,
        ),
        ("UNAVAILABLE: ipv4:127.0.0.1:1: FD Shutdown", "no connection could be made", True),
        ("illegal request line", "this looks like the gRPC port", False),
        ("certificate verify failed: Hostname mismatch", "the server's certificate is for another host", False),
        ("DNS resolution failed for a:1", "no host of that name is found", False),
    ],
)
def test_what_libraries_write_is_told_in_plain_words(details: str, reason: str, passing: bool) -> None:
    meant = trouble(details)
    assert meant is not None
    assert (meant.reason, meant.passing) == (reason, passing)


def test_what_is_not_known_is_left_as_it_is() -> None:
    assert trouble("something else") is None
