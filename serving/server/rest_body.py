"""The body of a REST request: inflated, of bounded size, alone and with all others that are in flight."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from serving.server.status import ApiError, invalid

_INFLATED_AT_ONCE = 1 << 18  # bytes, which take about a millisecond


class Budget:
    """Bytes that all requests in flight may hold together."""

    def __init__(self, limit: int) -> None:
        self._left = limit

    def take(self, size: int) -> None:
        """Takes bytes that must be given back.

        Raises:
          ApiError: RESOURCE_EXHAUSTED if there are not so many left.
        """
        if size > self._left:
            raise ApiError("RESOURCE_EXHAUSTED", "the requests in flight hold all memory that they may; ask again later")
        self._left -= size

    def give_back(self, size: int) -> None:
        """Gives back what was taken."""
        self._left += size


class Body:
    """Collects a body and holds its share of the budget until `release`."""

    def __init__(self, headers: Iterable[tuple[bytes, bytes]], limit: int, budget: Budget) -> None:
        """
        Args:
          headers: the request's, names in lower case.
          limit: bytes of one body, sent and inflated.
          budget: of all.

        Raises:
          ApiError: RESOURCE_EXHAUSTED (HTTP 413) if the headers tell that it is too large.
        """
        self._inflate = None
        for name, value in headers:
            if name == b"content-encoding" and b"gzip" in value.lower():
                self._inflate = zlib.decompressobj(31)
            elif name == b"content-length" and int(value) > limit:
                raise _too_large(limit)
        self._limit, self._budget = limit, budget
        self._pieces: list[bytes] = []
        self._size = self._received = self._held = 0

    async def add(self, message: Mapping[str, Any]) -> bool:
        """Takes an ASGI message `http.request` and tells whether more will come; lets others run while it inflates much.

        Raises:
          ApiError: the body is too large (HTTP 413), no room is left (429), or it is not gzip as it says (400).
        """
        raw = message.get("body", b"")
        self._received += len(raw)
        inflate = self._inflate
        if inflate is None:
            self._keep(raw)
            return bool(message.get("more_body"))
        while True:
            try:
                piece = inflate.decompress(raw, _INFLATED_AT_ONCE)
            except zlib.error as error:
                raise invalid(f"the body is not gzip as its Content-Encoding says: {error}") from None
            self._keep(piece)
            raw = inflate.unconsumed_tail
            if not raw and len(piece) < _INFLATED_AT_ONCE:
                return bool(message.get("more_body"))
            await asyncio.sleep(0)

    def hold(self, size: int) -> None:
        """Takes so many bytes more of the budget, for what has been made of the body.

        Raises:
          ApiError: RESOURCE_EXHAUSTED if there are not so many left.
        """
        self._budget.take(size)
        self._held += size

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if max(self._size, self._received) > self._limit:
            raise _too_large(self._limit)
        self.hold(len(piece))
        self._pieces.append(piece)

    def content(self) -> bytes:
        """All of it.

        Raises:
          ApiError: INVALID_ARGUMENT if it was cut off.
        """
        if self._inflate and (not self._inflate.eof or self._inflate.unused_data):
            raise invalid("the gzip body was cut off or has something after its end")
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)

    def release(self) -> None:
        """Gives its share of the budget back."""
        self._pieces.clear()
        self._budget.give_back(self._held)
        self._held = 0


def inflated(raw: bytes, limit: int) -> bytes:
    """What a whole gzip stream holds.

    Raises:
      ApiError: RESOURCE_EXHAUSTED if that is more than `limit` bytes, INVALID_ARGUMENT if it is no such stream.
    """
    inflate = zlib.decompressobj(31)
    try:
        content = inflate.decompress(raw, limit + 1)
    except zlib.error as error:
        raise invalid(f"the message is not gzip as it begins: {error}") from None
    if len(content) > limit:
        raise _too_large(limit)
    if not inflate.eof or inflate.unused_data:
        raise invalid("the gzip message was cut off or has something after its end")
    return content


def _too_large(limit: int) -> ApiError:
    return ApiError("RESOURCE_EXHAUSTED", f"the body is larger than {limit} bytes", http_status=413)
