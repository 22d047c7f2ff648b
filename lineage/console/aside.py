"""Questions answered in threads of their own, so that one that hangs holds up neither the others nor the end of the console."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from errors import FedtfxError

Answer = TypeVar("Answer")


class Aside:
    """Answers a few questions at a time, each for as long as it may take and no longer.

    A thread cannot be ended from outside: one whose file never answers stays, and takes one of the few places until the
    console ends, which it does not hold up.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._free = threading.BoundedSemaphore(most)
        self._seconds = seconds

    async def ask(self, question: Callable[[], Answer]) -> Answer:
        """Returns a question's answer, or raises what it raises.

        Raises:
          FedtfxError: it took too long.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()

        def give(found: Answer | None, error: BaseException | None) -> None:
            if answer.done():  # nobody waits for it any more
                return
            answer.set_exception(error) if error is not None else answer.set_result(found)  # type: ignore[arg-type]

        def work() -> None:
            found, error = self._worked(question)
            with suppress(RuntimeError):  # the loop ended meanwhile
                loop.call_soon_threadsafe(give, found, error)

        threading.Thread(target=work, daemon=True).start()
        try:
            return await asyncio.wait_for(answer, self._seconds)
        except asyncio.TimeoutError:
            raise self._late() from None

    def _worked(self, question: Callable[[], Answer]) -> tuple[Answer | None, BaseException | None]:
        if not self._free.acquire(timeout=self._seconds):
            return None, self._late()
        try:
            return question(), None
        except BaseException as error:  # raised where the answer is waited for
            return None, error
        finally:
            self._free.release()

    def _late(self) -> FedtfxError:
        return FedtfxError(
            f"expected an answer within {self._seconds:g} s, got none: a file or the store is slow, or does not answer;"
            " ask again later, or ask `python -m lineage`, which waits."
        )
