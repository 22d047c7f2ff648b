"""Where a model server is: the forms in which it may be given, and what a failed connection to it means in plain words."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from errors import ConfigError

GRPC, REST, PATH = ("grpc", "grpcs"), ("http", "https"), ("",)
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):(\d{1,5})")
_EXPECTED = {
    "grpc": "host:port of its gRPC, such as localhost:8500, also as grpc:// or grpcs://",
    "http": "http:// or https:// and host:port of its REST",
    "": "a path",
}


@dataclass(frozen=True)
class Address:
    """Where to ask.

    Attributes:
      scheme: grpc, grpcs, http or https, with TLS if it ends with s; empty for a path.
      place: host:port; for REST possibly a path behind it; a path of the file system if there is no scheme.
    """

    scheme: str
    place: str

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme.endswith("s")

    def __str__(self) -> str:
        return f"{self.scheme}://{self.place}" if self.scheme else self.place


def parse(option: str, text: str, schemes: Collection[str] = GRPC) -> Address:
    """Reads an address; `host:port` alone is gRPC.

    Args:
      option: the flag that it was given with, for the message.
      text: as it was given.
      schemes: those allowed, of GRPC, REST and PATH.

    Raises:
      ConfigError: another form.
    """
    scheme, separator, place = text.partition("://")
    if not separator:
        scheme, place = ("grpc" if _is_host_port(text) else ""), text
    scheme = scheme.lower()
    if scheme in schemes and (scheme not in GRPC or _is_host_port(place.rstrip("/"))) and place:
        return Address(scheme, place.rstrip("/") if scheme else place)
    expected = "; or ".join(words for kind, words in _EXPECTED.items() if kind in schemes)
    rest = " (that is REST; gRPC is usually on port 8500)" if scheme in REST else ""
    raise ConfigError(f"{option}: expected a model server's address, {expected}; got {text!r}{rest}.")


def _is_host_port(text: str) -> bool:
    match = _HOST_PORT.fullmatch(text)
    return match is not None and 0 < int(match[2]) < 65536


@dataclass(frozen=True)
class Trouble:
    """Why a connection failed.

    Attributes:
      reason: in plain words.
      remedy: what to do about it.
      passing: whether it may work a little later.
    """

    reason: str
    remedy: str
    passing: bool = False


_CLOSED = Trouble(
    "the server closed the connection without an answer",
    "see that this is its gRPC port (usually 8500) or, with http://, its REST port (usually 8501), and whether it wants TLS"
    " (grpcs://, https://)",
    passing=True,
)
# What gRPC's library, httpx and Python's ssl write, in lower case; the first that is found counts.
_TROUBLES = {
    "hostname mismatch|ip address mismatch|not in peer certificate": Trouble(
        "the server's certificate is for another host", "use the host name that it is for"
    ),
    "certificate_verify_failed": Trouble(
        "the server's certificate is not trusted", "give --ca_file with its authority's PEM file"
    ),
    "certificate[_ ]required": Trouble("the server asks for a client's certificate", "give --certificate_file and --key_file"),
    r"wrong[_ ]version[_ ]number": Trouble(
        "the server does not speak TLS on this port",
        "give grpc:// or http:// in place of grpcs:// or https://, or another port",
    ),
    r"http1\.x server|failed parsing http/2|missing selected alpn": Trouble(
        "this looks like the REST port", "gRPC is usually on port 8500; or ask REST with http://"
    ),
    "illegal request line": Trouble("this looks like the gRPC port", "REST is usually on port 8501; or ask gRPC with grpc://"),
    "connection refused": Trouble(
        "nothing listens there",
        "start the model server or correct host and port (gRPC is usually 8500, REST 8501)",
        passing=True,
    ),
    "dns resolution|name or service not known|no address associated": Trouble(
        "no host of that name is found", "correct the host"
    ),
    "fd shutdown": Trouble(
        "no connection could be made",
        "see that a model server runs there and that this is its gRPC port (usually 8500), not its REST port",
        passing=True,
    ),
    "socket closed|connection reset|disconnected without": _CLOSED,
}


def trouble(details: str) -> Trouble | None:
    """What an error's text of gRPC's or HTTP's library means, or None if that is not known."""
    text = details.lower()
    return next((meant for words, meant in _TROUBLES.items() if re.search(words, text)), None)
