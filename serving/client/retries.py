"""Tries again what may succeed a little later, with exponential back-off and jitter, within one limit of time."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from serving.client.answers import RequestError

_FIRST_WAIT_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 5.0

Result = TypeVar("Result")


class Retries:
    """How often and how long to try.

    Attributes:
      timeout: seconds for a request with all its retries and waits.
    """

    def __init__(self, timeout: float, retries: int, seed: int | None = None) -> None:
        self.timeout = timeout
        self._retries = retries
        self._random = random.Random(seed)

    def call(self, attempt: Callable[[float], Result]) -> Result:
        """Calls `attempt` with the seconds that are left until it returns or raises something that is not transient.

        Waits between attempts are drawn uniformly up to a bound that doubles ("full jitter"), so that many clients of a server
        that comes back do not all come back at once.

        Raises:
          RequestError: the last attempt's.
        """
        deadline = time.monotonic() + self.timeout
        for number in range(self._retries + 1):
            try:
                return attempt(max(deadline - time.monotonic(), 0.001))
            except RequestError as error:
                wait = self._random.uniform(0, min(_FIRST_WAIT_SECONDS * 2**number, _LONGEST_WAIT_SECONDS))
                if not error.transient or number == self._retries or time.monotonic() + wait >= deadline:
                    raise
            threading.Event().wait(wait)
        raise AssertionError("the last attempt returns or raises")
