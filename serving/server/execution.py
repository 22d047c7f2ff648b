"""Where requests are run: threads that the event loop hands work to, and the queue before them.

The loop that reads and writes the ports runs no model and reads no large body. `Engine.predict` is the one way from a front
end to a model, with batching and without.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import numpy as np

from serving.server import servable as servables
from serving.server.servable import Servable
from serving.server.signature import Signature
from serving.server.status import ApiError

MAX_WAITING = 4096  # requests that no thread has taken yet; beyond them the server is too slow for its clients
LARGE_BYTES = 1 << 16  # a body that would hold up the loop for a millisecond

Arrays = dict[str, np.ndarray]
Result = TypeVar("Result")


class Predictor(Protocol):
    """Runs checked requests: by itself (`Alone`) or together with others (`batching.Batcher`); called in the event loop."""

    def submit(self, servable: Servable, signature: Signature, inputs: Arrays, only: tuple[str, ...]) -> asyncio.Future[Arrays]:
        """Returns the outputs to come; a future that is cancelled before its turn is not run.

        Raises:
          ApiError: there is no room.
        """
        ...


class Pool:
    """Threads that call functions for one event loop, in order; quicker than those of concurrent.futures, which lock more."""

    def __init__(self, threads: int, name: str) -> None:
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        for number in range(threads):
            threading.Thread(target=self._serve, name=f"{name}-{number}", daemon=True).start()

    def submit(self, function: Callable[..., None], *arguments: Any) -> None:
        """Calls `function` in a thread; it must not raise."""
        self._work.put(lambda: function(*arguments))

    async def run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """What `function` returns or raises in a thread."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()

        def work() -> None:
            try:
                result, error = function(*arguments), None
            except Exception as raised:
                result, error = None, raised
            tell(loop, settle, future, result, error)

        self._work.put(work)
        return await future

    def _serve(self) -> None:
        while True:
            self._work.get()()


class Alone:
    """Runs every request by itself."""

    def __init__(self, threads: int, max_waiting: int = MAX_WAITING) -> None:
        self._pool = Pool(threads, "predict")
        self._room = threads + max_waiting

    def submit(self, servable: Servable, signature: Signature, inputs: Arrays, only: tuple[str, ...]) -> asyncio.Future[Arrays]:
        """See `Predictor`."""
        if not self._room:
            raise ApiError("UNAVAILABLE", "too many requests are waiting for a thread; ask again later or ask another server")
        self._room -= 1
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Arrays] = loop.create_future()
        self._pool.submit(self._run, loop, future, servable, signature, inputs, only)
        return future

    def _run(self, loop: asyncio.AbstractEventLoop, future: asyncio.Future[Arrays], servable: Servable, *request: Any) -> None:
        outputs, error = None, None
        if not future.cancelled():  # its client has not gone
            outputs, error = attempt(servable, *request)
        tell(loop, self._done, future, outputs, error)

    def _done(self, future: asyncio.Future[Arrays], outputs: Arrays | None, error: Exception | None) -> None:
        self._room += 1
        settle(future, outputs, error)


class Engine:
    """Runs what the front ends have read. One for the process, used in one event loop."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._large = Pool(1, "large")  # one, so that at most one body at a time is many times its size in memory

    async def predict(self, servable: Servable, signature: Signature, inputs: Arrays, only: Collection[str] = ()) -> Arrays:
        """The outputs of a signature, all or `only` some; the caller keeps the servable's lease meanwhile.

        Raises:
          ApiError: the inputs do not fit, the model refuses them, or there is no room (UNAVAILABLE).
        """
        servables.check(signature, inputs)
        return await self._predictor.submit(servable, signature, inputs, tuple(sorted(only)))

    async def convert(self, size: int, function: Callable[..., Result], *arguments: Any) -> Result:
        """Calls a function that reads or writes `size` bytes: here, if they are few, else in a thread."""
        if size <= LARGE_BYTES:
            return function(*arguments)
        return await self._large.run(function, *arguments)


def attempt(servable: Servable, signature: Signature, inputs: Mapping[str, Any], only: Collection[str]) -> Any:
    """Outputs and no error, or no outputs and what was raised."""
    try:
        return servable.run(signature, inputs, only), None
    except Exception as error:
        return None, error


def tell(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *arguments: Any) -> None:
    """Calls a function in the loop, from a thread; not if the loop has been closed meanwhile."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *arguments)


def settle(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    """Ends a future, unless whoever waited for it has gone."""
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
