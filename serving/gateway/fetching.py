"""Fetches a picture from a stranger's URL without being led anywhere but to public addresses."""

from __future__ import annotations

import re
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias
from urllib.parse import SplitResult, urljoin, urlsplit

import anyio
import httpcore

from serving.gateway.addresses import is_allowed
from serving.gateway.arriving import Count
from serving.gateway.refusals import Refusal
from serving.gateway.settings import Settings

_MAX_REDIRECTS = 3
_MAX_URL = 2048
_REDIRECTS = (301, 302, 303, 307, 308)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HEADERS: dict[bytes | str, bytes | str] = {
    "Accept": "image/*",
    "Accept-Encoding": "identity",
    "User-Agent": "fedtfx-gateway",
}
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?\.?")

# Host and port -> every address of the host.
Resolver: TypeAlias = Callable[[str, int], Awaitable[list[str]]]


async def resolve(host: str, port: int) -> list[str]:
    """The system's addresses of a host, numeric ones in any spelling included."""
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Fetcher:
    """Fetches by the settings; `resolver` says where hosts are."""

    def __init__(self, settings: Settings, resolver: Resolver = resolve) -> None:
        self._settings = settings
        self._resolver = resolver

    async def fetch(self, url: str, count: Count = lambda size: None) -> bytes:
        """The content behind a URL; `count` is told of each piece.

        Follows at most three redirects, each checked as the first URL is. No cookies, credentials or proxies; nothing of an
        earlier request is kept.

        Raises:
          Refusal: 422 for a URL that is not allowed, 413 too large, 415 no picture, 502 a bad answer, 504 too slow.
        """
        try:
            with anyio.fail_after(self._settings.timeout):
                return await self._follow(url, count)
        except (TimeoutError, httpcore.TimeoutException):
            raise Refusal(504, f"the picture was not there within {self._settings.timeout:g} s") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError):
            raise Refusal(502, "the host of the picture cannot be reached or does not speak HTTP") from None

    async def _follow(self, url: str, count: Count) -> bytes:
        for _ in range(_MAX_REDIRECTS + 1):
            checked = self._checked(url)
            guard = _Guard(self._resolver, self._settings)
            async with httpcore.AsyncConnectionPool(network_backend=guard) as pool:
                headers = {**_HEADERS, "Host": checked.netloc}
                seconds = self._settings.timeout
                limits = {"timeout": {"connect": seconds, "read": seconds, "write": seconds, "pool": seconds}}
                async with pool.stream("GET", checked.geturl(), headers=headers, extensions=limits) as reply:
                    if reply.status not in _REDIRECTS:
                        return await self._content(reply, count)
                    url = urljoin(checked.geturl(), _header(reply, b"location"))
        raise Refusal(422, f"the URL redirects more than {_MAX_REDIRECTS} times")

    def _checked(self, url: str) -> SplitResult:
        """The URL's parts, with an ASCII host and without its fragment."""
        if len(url) > _MAX_URL or not re.fullmatch(r"[^\s\\\x00-\x20\x7f]+", url):
            raise Refusal(422, f"the URL has blanks, backslashes or more than {_MAX_URL} characters")
        try:
            split = urlsplit(url)
            host, port = (split.hostname or "").encode("idna").decode("ascii"), split.port
            path = split.path.encode("ascii"), split.query.encode("ascii")
        except ValueError:  # of which UnicodeError is one
            raise Refusal(422, "the URL cannot be read; escape what is not ASCII") from None
        if split.scheme not in _DEFAULT_PORTS:
            raise Refusal(422, "only http and https URLs are fetched")
        if "@" in split.netloc:
            raise Refusal(422, "the URL holds a user name or password; leave them out")
        if not _HOST.fullmatch(host) and ":" not in host:
            raise Refusal(422, "the URL has no proper host")
        if (port or _DEFAULT_PORTS[split.scheme]) not in self._settings.image_url_ports:
            allowed = ", ".join(map(str, self._settings.image_url_ports))
            raise Refusal(422, f"the URL's port is not allowed; expected one of {allowed}")
        name = f"[{host}]" if ":" in host else host
        netloc = name if port is None else f"{name}:{port}"
        return SplitResult(split.scheme, netloc, path[0].decode() or "/", path[1].decode(), "")

    async def _content(self, reply: httpcore.Response, count: Count) -> bytes:
        if reply.status != 200:
            raise Refusal(502, f"the host of the picture answered {reply.status}")
        kind = _header(reply, b"content-type").partition(";")[0].strip().lower()
        if not kind.startswith("image/") or kind.startswith("image/svg"):
            raise Refusal(415, "what the URL leads to says that it is no picture of pixels")
        if _header(reply, b"content-encoding") not in ("", "identity"):
            raise Refusal(502, "the host of the picture answered compressed, which was not asked for")
        limit, content = self._settings.max_upload_bytes, bytearray()
        async for piece in reply.aiter_stream():
            if len(content) + len(piece) > limit:
                raise Refusal(413, f"the picture has more than {limit} bytes")
            count(len(piece))
            content += piece
        return bytes(content)


class _Guard(httpcore.AsyncNetworkBackend):
    """Resolves a host, checks every address, and connects to the addresses that it checked.

    To check a host first and connect to its name later would let a name server give another address the second time.
    """

    def __init__(self, resolver: Resolver, settings: Settings) -> None:
        self._resolver = resolver
        self._networks = settings.image_url_networks
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._resolver(host, port)
        if not addresses or not all(is_allowed(address, self._networks) for address in addresses):
            raise Refusal(422, "the URL leads to an address that is not public")
        for address in addresses[:-1]:
            try:
                return await self._backend.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._backend.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        raise Refusal(422, "only http and https URLs are fetched")

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)


def _header(reply: httpcore.Response, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in reply.headers if key.lower() == name), "")
