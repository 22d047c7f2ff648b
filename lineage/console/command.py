"""`python -m lineage console`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from contextlib import suppress

from lineage import signing
from lineage.console.settings import Settings, parse
from serving.listening import listen

_MAX_CONNECTIONS = 128
_READ_SECONDS = 15.0
_KEEP_ALIVE_SECONDS = 75
_STOP_SECONDS = 3
_BACKLOG = 512

_log = logging.getLogger(__name__)


def console(arguments: Sequence[str]) -> int:
    """Serves until a signal ends it.

    Raises:
      ConfigError: flags that cannot be used, or a port that cannot be listened on.
      FedtfxError: the metadata store cannot be read.
    """
    settings = parse(arguments)
    import uvicorn

    from lineage.console.application import application
    from lineage.console.questions import Questions
    from lineage.console.snapshot import Snapshots
    from serving.server.rest_connection import limited

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("absl").setLevel(logging.WARNING)  # ML Metadata's client, which would tell of every opening
    listening = listen(settings.host, settings.port, _BACKLOG)
    with settings.places.opened():  # what cannot be read ends it here
        if settings.public_key:
            signing.load_public(settings.public_key)
    snapshots, questions = Snapshots(settings.places), Questions(settings)
    threading.Thread(target=questions.prepare, args=(snapshots,), daemon=True).start()
    config = uvicorn.Config(
        application(settings, snapshots, questions),
        http=limited(_MAX_CONNECTIONS, _READ_SECONDS),
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_STOP_SECONDS,
    )
    host, port = listening.getsockname()[:2]
    _log.info("lineage of %s on http://%s:%d%s", settings.places.metadata, _in_url(host), port, _needs(settings))
    with suppress(KeyboardInterrupt):  # uvicorn raises the signal that ended it once more when all is closed
        uvicorn.Server(config).run(sockets=[listening])
    return 0


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _needs(settings: Settings) -> str:
    return ", to be opened with the token" if settings.token else ""
