"""`python -m serving gateway`."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import suppress

import uvicorn

from serving.client import connect
from serving.gateway.application import application
from serving.gateway.health import told
from serving.gateway.settings import parse
from serving.listening import listen
from serving.server.rest_connection import limited

_KEEP_ALIVE_SECONDS = 75
_STOP_SECONDS = 5
_BACKLOG = 2048

_log = logging.getLogger(__name__)


def gateway(arguments: Sequence[str]) -> int:
    """Serves until a signal ends it.

    Raises:
      ConfigError: flags that cannot be used, or a port that cannot be listened on.
    """
    settings = parse(arguments)
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what it would write is in the log below, once
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    listening = listen(settings.host, settings.port, _BACKLOG)
    host, port = listening.getsockname()[:2]
    with connect(settings.server, timeout=settings.timeout, ca_file=settings.ca_file) as client:
        config = uvicorn.Config(
            application(settings, client),
            http=limited(settings.max_connections, settings.timeout),
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
        label = f"label {settings.label}" if settings.label else "no label: the version that the server prefers"
        _log.info("gateway to %s (%s) of %s on http://%s:%d", settings.model_name, label, settings.server, host, port)
        # uvicorn raises the signal that ended it once more when all is closed; that is how a server ends, and no failure.
        with told(client, settings), suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])
    return 0
