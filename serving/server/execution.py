"""Where requests are run: threads that the event loop hands work to, and the queue before them.

The loop that reads and writes the ports runs no model and reads no large body. `Engine.predict` is the one way from a front
end to a model, with batching and without.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, suppress
from typing import Any, Protocol, TypeVar

import numpy as np

from serving.server import servable as servables
from serving.server.servable import Servable
from serving.server.signature import Signature
from serving.server.status import ApiError

MAX_WAITING = 4096  # requests that no thread has taken yet; beyond them the server is too slow for its clients
_MAX_LARGE_WAITING = 256  # bodies that are to be read and answers that are to be written, of LARGE_BYTES and more
LARGE_BYTES = 1 << 16  # a body that would hold up the loop for a millisecond

Arrays = dict[str, np.ndarray]
Result = TypeVar("Result")


class Held:
    """A version that one request has, and that stays loaded until all its work is done, even if its client has gone before.

    To be entered; then `servable` is the version. Used in the event loop alone.
    """

    __slots__ = ("_holders", "_lease", "servable")
    servable: Servable

    def __init__(self, lease: AbstractContextManager[Servable]) -> None:
        self._lease = lease

    def __enter__(self) -> Held:
        self.servable = self._lease.__enter__()
        self._holders = 1
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go()

    def keep(self) -> Held:
        """One more has it, who must let it go."""
        self._holders += 1
        return self

    def let_go(self) -> None:
        """One of those who have it needs it no more."""
        self._holders -= 1
        if not self._holders:
            self._lease.__exit__(None, None, None)


class Predictor(Protocol):
    """Runs checked requests: by itself (`Alone`) or together with others (`batching.Batcher`); called in the event loop."""

    def submit(self, held: Held, signature: Signature, inputs: Arrays, only: tuple[str, ...]) -> asyncio.Future[Arrays]:
        """Returns the outputs to come; a future that is cancelled before its turn is not run.

        The version is kept until the work is done, which may be after the future was cancelled.

        Raises:
          ApiError: there is no room.
        """
        ...


class Pool:
    """Threads that call functions for one event loop, in order; quicker than those of concurrent.futures, which lock more.

    `run` takes no more than `max_waiting` at once.
    """

    def __init__(self, threads: int, name: str, max_waiting: int = MAX_WAITING) -> None:
        self._room = threads + max_waiting
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        for number in range(threads):
            threading.Thread(target=self._serve, name=f"{name}-{number}", daemon=True).start()

    def submit(self, function: Callable[..., None], *arguments: Any) -> None:
        """Calls `function` in a thread; it must not raise."""
        self._work.put(lambda: function(*arguments))

    async def run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """What `function` returns or raises in a thread; it is not called if whoever awaits this is cancelled before its turn.

        Raises:
          ApiError: UNAVAILABLE if too many wait.
        """
        if not self._room:
            raise _no_room()
        self._room -= 1
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()

        def work() -> None:
            result, error = None, None
            try:
                if not future.cancelled():
                    result = function(*arguments)
            except Exception as raised:
                error = raised
            tell(loop, self._done, future, result, error)

        self._work.put(work)
        return await future

    def _done(self, future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
        self._room += 1
        settle(future, result, error)

    def _serve(self) -> None:
        while True:
            self._work.get()()


class Alone:
    """Runs every request by itself."""

    def __init__(self, threads: int, max_waiting: int = MAX_WAITING) -> None:
        self._pool = Pool(threads, "predict")
        self._room = threads + max_waiting

    def submit(self, held: Held, signature: Signature, inputs: Arrays, only: tuple[str, ...]) -> asyncio.Future[Arrays]:
        """See `Predictor`."""
        if not self._room:
            raise _no_room()
        self._room -= 1
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Arrays] = loop.create_future()
        self._pool.submit(self._run, loop, future, held.keep(), signature, inputs, only)
        return future

    def _run(self, loop: asyncio.AbstractEventLoop, future: asyncio.Future[Arrays], held: Held, *request: Any) -> None:
        outputs, error = None, None
        if not future.cancelled():  # its client has not gone
            outputs, error = attempt(held.servable, *request)
        tell(loop, self._done, future, held, outputs, error)

    def _done(self, future: asyncio.Future[Arrays], held: Held, outputs: Arrays | None, error: Exception | None) -> None:
        self._room += 1
        settle(future, outputs, error)
        held.let_go()


class Engine:
    """Runs what the front ends have read. One for the process, used in one event loop."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        # One thread, so that at most one body at a time is many times its size in memory.
        self._large = Pool(1, "large", _MAX_LARGE_WAITING)

    async def predict(self, held: Held, signature: Signature, inputs: Arrays, only: Collection[str] = ()) -> Arrays:
        """The outputs of a signature, all or `only` some.

        Raises:
          ApiError: the inputs do not fit, the model refuses them, or there is no room (UNAVAILABLE).
        """
        servables.check(signature, inputs)
        return await self._predictor.submit(held, signature, inputs, tuple(sorted(only)) if only else ())

    async def convert(self, size: int, function: Callable[..., Result], *arguments: Any) -> Result:
        """Calls a function that reads or writes `size` bytes: here, if they are few, else in a thread."""
        if size <= LARGE_BYTES:
            return function(*arguments)
        return await self._large.run(function, *arguments)


def _no_room() -> ApiError:
    return ApiError("UNAVAILABLE", "too many requests are waiting for a thread; ask again later or ask another server")


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
