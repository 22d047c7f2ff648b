"""A server as its flags say: models, metrics and ports; it ends on a signal."""

from __future__ import annotations

import logging
import os
import resource
import signal
import sys
import threading
from collections.abc import Sequence

from serving.server import memory
from serving.server.flags import Flags, parse
from serving.server.loading import ServedModels
from serving.server.metrics import Metrics
from serving.server.ports import Ports

_log = logging.getLogger(__name__)


class Server:
    """REST and gRPC over the models that the flags name.

    Raises:
      ConfigError: a file that the flags name is wrong.
    """

    def __init__(self, flags: Flags) -> None:
        metrics = Metrics()
        self._models = ServedModels(flags, metrics)
        self._models.check()
        self._ports = Ports(flags, self._models.manager, metrics)

    def start(self) -> None:
        """Opens the ports, then starts loading models.

        Raises:
          FedtfxError: a port cannot be listened on, or the configuration file is wrong.
        """
        self._ports.start()
        memory.spare_imports()
        self._models.start()

    def stop(self) -> None:
        """Takes no more requests, gives those in flight a second, and returns."""
        self._models.stop()
        self._ports.stop()


def _allow_connections() -> None:
    """The usual limit of open files is 1024, which idle connections alone would use up; nobody else could then connect."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def serve(arguments: Sequence[str]) -> int:
    """Runs a server by its command line until SIGTERM or SIGINT, and then ends the process with exit code 0.

    Raises:
      FedtfxError: the command line is wrong or a port cannot be listened on.
    """
    flags = parse(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # its failures reach us as exceptions, the rest is noise
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # anybody can send what is no HTTP, as often as they like
    memory.bound()
    _allow_connections()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    # The signal may come to any thread. A handler of Python's would wait for the main thread, which that does not wake.
    signal.set_wakeup_fd(writing)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
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
