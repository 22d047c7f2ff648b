"""Tells in the log whether the model server answers: at the start, and when that changes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from serving.client import Client, RequestError
from serving.gateway.settings import Settings

_EVERY_SECONDS = 5.0

_log = logging.getLogger(__name__)


@contextmanager
def told(client: Client, settings: Settings, every: float = _EVERY_SECONDS) -> Iterator[None]:
    """Asks the model server every few seconds, in a thread of its own, as long as the context lasts."""
    stop = threading.Event()
    # A daemon: a question that is under way when the gateway ends is not waited for.
    threading.Thread(target=_watch, args=(client, settings, stop, every), daemon=True, name="health").start()
    try:
        yield
    finally:
        stop.set()


def _watch(client: Client, settings: Settings, stop: threading.Event, every: float) -> None:
    before: object = None
    while not stop.is_set():
        state, level, line = _state(client, settings)
        if state != before and not stop.is_set():
            _log.log(level, "%s", line)
        before = state
        stop.wait(every)


def _state(client: Client, settings: Settings) -> tuple[object, int, str]:
    """What a change is told of, and the line for it."""
    try:
        version = client.metadata(settings.model_name, label=settings.label).version
    except RequestError as error:
        return error.code, logging.WARNING, f"no answer from the model server {error}"
    except ValueError:  # of gRPC, on a channel that was closed meanwhile
        return None, logging.DEBUG, ""
    return version, logging.INFO, f"the model server answers: {settings.model_name} version {version}"
