"""Closed-loop clients over raw sockets: each sends its request again as soon as it has the answer. They read no more of an
answer than whether it is one, so that the processor is the server's.

    python client.py '{"protocol": "rest", "port": 8501, "clients": 16, "seconds": 5, "warm_up": 1, "file": "request"}'

The file holds what is sent: the bytes of a whole HTTP request, or a serialized PredictRequest. One line of JSON comes out.
"""

from __future__ import annotations

import asyncio
import json
import signal
import struct
import sys
import time
from pathlib import Path
from typing import Any

_WINDOW = 2**31 - 1
_FRAME = 16384
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GO_AWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4


class Tally:
    """What all clients saw."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.errors = 0
        self.counting = False

    def add(self, seconds: float, good: bool) -> None:
        if self.counting and good:
            self.seconds.append(seconds)
        elif self.counting:
            self.errors += 1


class Rest(asyncio.Protocol):
    """One connection of HTTP/1.1, opened again when the server closes it, for answers that have a Content-Length."""

    def __init__(self, request: bytes, tally: Tally) -> None:
        self._request = request
        self._tally = tally
        self._got = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._started, self._answered = time.perf_counter(), False
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._got = got = self._got + data if self._got else data
        end = got.find(b"\r\n\r\n")
        if end < 0:
            return
        head = got[:end].lower()
        place = head.index(b"content-length:") + 15
        length = int(head[place:].split(b"\r\n", 1)[0])
        if len(got) < end + 4 + length:
            return
        self._tally.add(time.perf_counter() - self._started, got.startswith(b"HTTP/1.1 200"))
        self._got, self._answered = b"", True
        if b"connection: close" in head:
            self._transport.close()
        else:
            self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._answered:
            self._tally.add(0, False)
        port = self._transport.get_extra_info("peername")[1]
        loop = asyncio.get_running_loop()
        again = loop.create_connection(lambda: Rest(self._request, self._tally), "127.0.0.1", port)
        self._opening = loop.create_task(again)  # kept, or it may be collected before it has run


class Grpc(asyncio.Protocol):
    """One connection of HTTP/2 with one call at a time. A call is good if a message came: gRPC sends none with an error."""

    def __init__(self, request: bytes, tally: Tally) -> None:
        self._message = struct.pack(">BI", 0, len(request)) + request
        self._tally = tally
        self._got = bytearray()
        self._stream, self._window, self._stream_window, self._initial_window = 1, 65535, 65535, 65535
        self._left: memoryview = memoryview(b"")
        self._bytes = 0
        self._headers = _header_block()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        settings = struct.pack(">HIHI", 4, _WINDOW, 1, 0)
        widened = _frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", _WINDOW - 65535))
        transport.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, 0, settings) + widened)
        self._send()

    def _send(self) -> None:
        self._started, self._bytes, self._stream_window = time.perf_counter(), 0, self._initial_window
        self._left = memoryview(self._message)
        self._transport.write(_frame(_HEADERS, _END_HEADERS, self._stream, self._headers) + self._pieces())

    def _pieces(self) -> bytes:
        """As much of the message as the server takes now."""
        frames = []
        while self._left and min(self._window, self._stream_window) > 0:
            piece = self._left[: min(_FRAME, self._window, self._stream_window)]
            self._left = self._left[len(piece) :]
            self._window -= len(piece)
            self._stream_window -= len(piece)
            frames.append(_frame(_DATA, 0 if self._left else _END_STREAM, self._stream, bytes(piece)))
        return b"".join(frames)

    def data_received(self, data: bytes) -> None:
        self._got += data
        place = 0
        while len(self._got) >= place + 9:
            length = int.from_bytes(self._got[place : place + 3], "big")
            if len(self._got) < place + 9 + length:
                break
            kind, flags, stream = struct.unpack(">BBI", self._got[place + 3 : place + 9])
            self._take(kind, flags, stream, bytes(self._got[place + 9 : place + 9 + length]))
            place += 9 + length
        del self._got[:place]

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _DATA:
            self._bytes += len(payload)
            if stream == self._stream and payload:
                self._transport.write(_frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", len(payload))))
        elif kind == _WINDOW_UPDATE:
            self._widen(stream, struct.unpack(">I", payload)[0])
        elif kind == _SETTINGS and not flags & _ACK:
            self._settle(payload)
        elif kind == _PING and not flags & _ACK:
            self._transport.write(_frame(_PING, _ACK, 0, payload))
        if kind == _RESET or (kind in (_DATA, _HEADERS) and flags & _END_STREAM):
            self._tally.add(time.perf_counter() - self._started, self._bytes > 0)
            self._stream += 2
            self._send()

    def _widen(self, stream: int, by: int) -> None:
        if not stream:
            self._window += by
        elif stream == self._stream:
            self._stream_window += by
        if self._left:
            self._transport.write(self._pieces())

    def _settle(self, payload: bytes) -> None:
        for number, value in struct.iter_unpack(">HI", payload):
            if number == 4:
                self._stream_window += value - self._initial_window
                self._initial_window = value
        self._transport.write(_frame(_SETTINGS, _ACK, 0, b"") + self._pieces())

    def connection_lost(self, error: Exception | None) -> None:
        self._tally.add(0, False)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + payload


def _header_block() -> bytes:
    """HPACK literals that need no table."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/tensorflow.serving.PredictionService/Predict",
        ":authority": "127.0.0.1",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    pairs = ((name.encode(), value.encode()) for name, value in headers.items())
    return b"".join(bytes([0, len(name)]) + name + bytes([len(value)]) + value for name, value in pairs)


async def run(protocol: str, port: int, clients: int, seconds: float, warm_up: float, file: str) -> dict[str, Any]:
    """Runs so many clients until the time is over, or SIGTERM.

    Returns:
      `per_second`; of the latencies `p50`, `p95` and `p99` in milliseconds; `requests` and `errors`.
    """
    request, tally = Path(file).read_bytes(), Tally()
    kind = {"rest": Rest, "grpc": Grpc}[protocol]
    loop = asyncio.get_running_loop()
    for _ in range(clients):
        await loop.create_connection(lambda: kind(request, tally), "127.0.0.1", port)
    await asyncio.sleep(warm_up)
    tally.counting, started = True, time.perf_counter()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    loop.call_later(seconds, ended.set)
    await ended.wait()
    tally.counting, took = False, time.perf_counter() - started
    ordered = sorted(tally.seconds)
    points = {
        f"p{p}": round(1000 * ordered[min(len(ordered) - 1, len(ordered) * p // 100)], 3) for p in (50, 95, 99) if ordered
    }
    return {"per_second": round(len(ordered) / took, 1), **points, "requests": len(ordered), "errors": tally.errors}


if __name__ == "__main__":
    import uvloop

    uvloop.install()
    print(json.dumps(asyncio.run(run(**json.loads(sys.argv[1])))), flush=True)
