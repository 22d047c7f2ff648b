"""Many inputs through a few requests in flight: answers come in the order of the inputs, in bounded memory."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

Item = TypeVar("Item")
_LOOK_AGAIN_SECONDS = 0.2


def in_order(
    items: Iterable[Item], ask: Callable[[Item], Any], in_flight: int, stop: threading.Event
) -> Iterator[tuple[Item | None, Future[Any]]]:
    """Yields each item with its future, in order, while later ones are already being asked.

    An item that cannot be taken from `items` because that raises ends the stream: it is None, and its future holds the error.
    Ends early, without waiting for what is under way, if the caller stops iterating.

    Args:
      items: taken in a thread of its own, so that an answer is yielded as soon as it is there, even if the next item is not.
      ask: called in threads.
      in_flight: how many items at most are asked or wait to be yielded.
      stop: set when the caller stops iterating; `items` may look at it.
    """
    waiting: queue.Queue[tuple[Item | None, Future[Any]] | None] = queue.Queue()
    places = threading.Semaphore(in_flight)
    pool = ThreadPoolExecutor(in_flight, thread_name_prefix="ask")

    def take() -> None:
        with suppress(RuntimeError):  # the pool was shut down: nobody waits any more
            try:
                for item in items:
                    while not places.acquire(timeout=_LOOK_AGAIN_SECONDS):
                        if stop.is_set():
                            return
                    waiting.put((item, pool.submit(ask, item)))
            except Exception as error:
                failed: Future[Any] = Future()
                failed.set_exception(error)
                waiting.put((None, failed))
        waiting.put(None)

    threading.Thread(target=take, name="take", daemon=True).start()
    try:
        while (entry := waiting.get()) is not None:
            yield entry
            places.release()
    finally:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
