"""Opens the ports, polls the directory, and ends on a signal."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from typing import Any

from errors import FedtfxError
from serving.server.flags import Flags, parse
from serving.server.models import Model

_STOP_SECONDS = 1.0
_KEEP_ALIVE_SECONDS = 75  # longer than the usual client's or proxy's, so that those and not we close idle connections
_BACKLOG = 2048

_log = logging.getLogger(__name__)


class Server:
    """REST and gRPC over the models that the flags name."""

    def __init__(self, flags: Flags) -> None:
        self._flags = flags
        self._models = {flags.model_name: Model(flags.model_name, flags.model_base_path)}
        self._stopping = threading.Event()
        self._rest: Any = None
        self._rest_thread: threading.Thread | None = None
        self._grpc: Any = None

    def start(self) -> None:
        """Opens REST, so that readiness can be asked, then gRPC, which takes seconds to import, then starts polling.

        Raises:
          FedtfxError: a port cannot be listened on.
        """
        if self._flags.rest_api_port:
            self._start_rest(_listen(self._flags.host, self._flags.rest_api_port))
        if self._flags.port:
            self._start_grpc()
        threading.Thread(target=self._poll, name="poll", daemon=True).start()

    def stop(self) -> None:
        """Takes no more requests, gives those in flight a second, and returns."""
        self._stopping.set()
        ended = self._grpc.stop(_STOP_SECONDS) if self._grpc else None
        if self._rest and self._rest_thread:
            self._rest.should_exit = True
            self._rest_thread.join(_STOP_SECONDS + 0.5)
        if ended:
            ended.wait(_STOP_SECONDS)

    def _start_rest(self, listening: socket.socket) -> None:
        import uvicorn

        from serving.server.rest import application

        config = uvicorn.Config(
            application(self._models, self._flags.rest_api_max_body_bytes),
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=int(_STOP_SECONDS),
        )
        self._rest = uvicorn.Server(config)
        self._rest_thread = threading.Thread(target=self._rest.run, args=([listening],), name="rest", daemon=True)
        self._rest_thread.start()
        _log.info("REST on http://%s", _address(self._flags.host, self._flags.rest_api_port))

    def _start_grpc(self) -> None:
        from serving.server.grpc_service import open_server

        address = _address(self._flags.host, self._flags.port)
        try:
            self._grpc = open_server(self._models, address)
        except RuntimeError:
            raise FedtfxError(f"cannot listen on {address} (--port): it is in use or not an address of this machine.") from None
        _log.info("gRPC on %s", address)

    def _poll(self) -> None:
        seconds = self._flags.file_system_poll_wait_seconds
        while seconds >= 0 and not self._stopping.is_set():
            for model in self._models.values():
                try:
                    model.poll()
                except Exception:  # one bad model must not end the watch over the others, nor this one's
                    _log.exception("defect while polling model %s", model.name)
            if seconds == 0 or self._stopping.wait(seconds):
                return


def serve(arguments: Sequence[str]) -> int:
    """Runs a server by its command line until SIGTERM or SIGINT, and then ends the process with exit code 0.

    Raises:
      FedtfxError: the command line is wrong or a port cannot be listened on.
    """
    flags = parse(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # its failures reach us as exceptions, the rest is noise
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    reading, writing = os.pipe()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os.write(writing, b"s"))
    server, failures = Server(flags), []

    def start() -> None:
        try:
            server.start()
        except BaseException as error:
            failures.append(error)
            os.write(writing, b"f")

    # Not in the main thread: imports and loads take seconds, in which a signal would not be heard.
    threading.Thread(target=start, name="start", daemon=True).start()
    os.read(reading, 1)
    server.stop()
    if failures:
        raise failures[0]
    _log.info("ended by a signal")
    logging.shutdown()
    os._exit(0)  # a load may be under way, which nothing can interrupt and the interpreter's own end would wait for


def _listen(host: str, port: int) -> socket.socket:
    address = _address(host, port)
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen(_BACKLOG)
    except OSError as error:
        raise FedtfxError(f"cannot listen on {address} (--rest_api_port): {error.strerror or error}.") from None
    return listening


def _address(host: str, port: int) -> str:
    try:
        return f"[{host}]:{port}" if ipaddress.ip_address(host).version == 6 else f"{host}:{port}"
    except ValueError:  # a host's name
        return f"{host}:{port}"
