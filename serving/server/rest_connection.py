"""Uvicorn's HTTP connection, with limits that uvicorn has not: on their number, on slow and long headers and trailers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

EXTENSION = "fedtfx.connection"
_MAX_HEADER_BYTES = 1 << 16


def limited(max_connections: int, read_seconds: float) -> type[HttpToolsProtocol]:
    """The class of connections for `uvicorn.Config(http=...)`.

    Args:
      max_connections: open at once; more are answered 503 and closed.
      read_seconds: in which a request's headers, and what is left of a body after its answer, must have arrived.
    """
    return type("Limited", (_Connection,), {"max_connections": max_connections, "read_seconds": read_seconds})


class _Connection(HttpToolsProtocol):
    max_connections: int
    read_seconds: float

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.on_lost: Callable[[], None] | None = None
        self._reading_headers = self._reading_body = self._body_came = False
        self._header_bytes = 0  # of the headers, and later of what came since the last of the body, as trailers
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            self._refuse(503, "too many connections; ask again later")
            return
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        self._in_time()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
        if self.on_lost is not None:
            self.on_lost()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._body_came = False
        super().data_received(data)
        if self.transport.is_closing():
            return
        self._header_bytes = 0 if self._body_came else self._header_bytes + len(data)
        if self._header_bytes > _MAX_HEADER_BYTES and (self._reading_headers or self._reading_body):
            self._refuse(431, f"the headers are larger than {_MAX_HEADER_BYTES} bytes")
        elif self._reading_headers:
            if self._late is None:
                late = (408, "the request took too long to arrive")
                self._late = self.loop.call_later(self.read_seconds, self._refuse, *late)
        elif self.timeout_keep_alive_task is None and not self._reading_body and self._answered():
            # Bytes that began no request, which must not keep the connection.
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def on_message_begin(self) -> None:
        self._reading_headers, self._reading_body, self._header_bytes = True, False, 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._reading_headers:  # and not trailers, which nobody asks for
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._body_came = True
        super().on_body(body)

    def on_headers_complete(self) -> None:
        self._reading_headers, self._reading_body, self._header_bytes = False, True, 0
        self._in_time()
        self.scope["extensions"] = {EXTENSION: self}  # type: ignore[dict-item]
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._reading_body = False
        self._in_time()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle is not None and self.cycle.more_body and not self.transport.is_closing():
            self._late = self._late or self.loop.call_later(self.read_seconds, self.transport.close)

    def _unsupported_upgrade_warning(self) -> None:
        """The request asked for another protocol; it is answered as any, and nothing can be read after it."""
        self.cycle.keep_alive = False

    def _answered(self) -> bool:
        return self.cycle is None or bool(self.cycle.response_complete)

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _refuse(self, status: int, message: str) -> None:
        """Answers without a request, as every other error is answered, and closes."""
        if self.transport.is_closing():
            return
        if self._reading_body and self.cycle.response_started:
            self.transport.close()
            return
        body = f'{{"error": "{message}"}}'.encode()
        head = f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
        self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()
