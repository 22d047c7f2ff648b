"""The ports: REST and gRPC on one event loop in a thread of its own.

One loop for both: they share the batches, which therefore need no locks, and Python uses one processor at a time anyway.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from errors import FedtfxError
from serving.server import admin, batching_parameters, metrics, tls
from serving.server.batching import Batcher
from serving.server.execution import Alone, Engine
from serving.server.flags import Flags
from serving.server.manager import Manager

_STOP_SECONDS = 1.0
_KEEP_ALIVE_SECONDS = 75  # longer than the usual client's or proxy's, so that those and not we close idle connections
_BACKLOG = 2048

_log = logging.getLogger(__name__)


class Ports:
    """What listens.

    Args:
      flags: tell where, and all limits.
      manager: has the models.
      counted: counts requests.

    Raises:
      ConfigError: a file that the flags name is wrong.
    """

    def __init__(self, flags: Flags, manager: Manager, counted: metrics.Metrics) -> None:
        self._flags = flags
        self._manager = manager
        self._metrics = counted
        self._metrics_path = metrics.path_of(flags.monitoring_config_file)
        self._tls = tls.read(flags.ssl_config_file) if flags.ssl_config_file else None
        self._admin_token = self._read_token(flags.admin_token_file)
        self._engine = _engine(flags, counted)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._rest: Any = None
        self._rest_ended: asyncio.Task[None] | None = None
        self._grpc: Any = None

    def start(self) -> None:
        """Opens REST, so that readiness can be asked, then gRPC, which takes seconds to import.

        Raises:
          FedtfxError: a port cannot be listened on.
        """
        if self._flags.port:  # told now, not after the seconds that gRPC takes
            _listen(self._flags.host, self._flags.port, "--port").close()
        import uvloop

        self._loop = uvloop.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="ports", daemon=True).start()
        if self._flags.rest_api_port:
            listening = _listen(self._flags.host, self._flags.rest_api_port, "--rest_api_port")
            self._in_loop(self._open_rest(listening))
            _log.info(
                "REST on %s://%s", "https" if self._tls else "http", _address(self._flags.host, self._flags.rest_api_port)
            )
        if self._flags.port:
            import serving.server.grpc_service  # noqa: F401  (here, since the loop would stand still meanwhile)

            address = _address(self._flags.host, self._flags.port)
            self._in_loop(self._open_grpc(address))
            _log.info("gRPC on %s", address)

    def stop(self) -> None:
        """Takes no more requests, gives those in flight a second, and returns."""
        if self._loop is not None:
            self._in_loop(self._close())

    def _in_loop(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open_rest(self, listening: socket.socket) -> None:
        import uvicorn

        from serving.server.rest import Rest
        from serving.server.rest_connection import limited

        flags = self._flags
        application = Rest(
            self._manager,
            self._engine,
            self._metrics,
            max_body_bytes=flags.rest_api_max_body_bytes,
            timeout_seconds=flags.rest_api_timeout_in_ms / 1000,
            read_seconds=flags.rest_api_request_read_seconds,
            cors=flags.rest_api_enable_cors_support,
            metrics_path=self._metrics_path,
        )
        config = uvicorn.Config(
            application,
            http=limited(flags.max_connections, flags.rest_api_request_read_seconds),
            ws="none",
            interface="asgi3",
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            proxy_headers=False,  # nothing here asks who the client is
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=int(_STOP_SECONDS),
        )
        config.load()
        config.ssl = self._tls.context() if self._tls else None
        self._rest = uvicorn.Server(config)
        self._rest_ended = asyncio.get_running_loop().create_task(self._rest.serve(sockets=[listening]))

    async def _open_grpc(self, address: str) -> None:
        from serving.server.grpc_service import Service, create_server
        from serving.server.health import Health

        size = self._flags.grpc_max_message_bytes
        handlers = Service(self._manager, self._engine, self._metrics, self._admin_token, size).handlers()
        if self._flags.enable_grpc_healthcheck_service:
            handlers.append(Health(self._manager.names, self._manager.ready).handler())
        server = create_server(handlers, size)
        try:
            if self._tls:
                server.add_secure_port(address, self._tls.grpc_credentials())
            else:
                server.add_insecure_port(address)
        except RuntimeError:
            raise FedtfxError(f"cannot listen on {address} (--port): it is in use or not an address of this machine.") from None
        await server.start()
        self._grpc = server

    async def _close(self) -> None:
        ending: list[Any] = []
        if self._grpc is not None:
            ending.append(asyncio.ensure_future(self._grpc.stop(_STOP_SECONDS)))
        if self._rest is not None and self._rest_ended is not None:
            self._rest.should_exit = True
            ending.append(self._rest_ended)
        if ending:
            await asyncio.wait(ending, timeout=_STOP_SECONDS + 0.5)

    def _read_token(self, file: Path | None) -> bytes | None:
        if file is None:
            return None
        return admin.read_token(file, host=self._flags.host, encrypted=self._tls is not None)


def _engine(flags: Flags, counted: metrics.Metrics) -> Engine:
    threads = max(flags.rest_api_num_threads if flags.rest_api_port else 0, flags.grpc_max_threads if flags.port else 0)
    alone = Alone(threads)
    if not flags.enable_batching:
        return Engine(alone)
    batch_threads, parameters = batching_parameters.chooser(flags)
    return Engine(Batcher(batch_threads, parameters, alone, counted.batched))


def _listen(host: str, port: int, flag: str) -> socket.socket:
    address = _address(host, port)
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen(_BACKLOG)
    except OSError as error:
        raise FedtfxError(
            f"cannot listen on {address} ({flag}): {error.strerror or error}; end what listens there or give another port."
        ) from None
    return listening


def _address(host: str, port: int) -> str:
    try:
        return f"[{host}]:{port}" if ipaddress.ip_address(host).version == 6 else f"{host}:{port}"
    except ValueError:  # a host's name
        return f"{host}:{port}"
