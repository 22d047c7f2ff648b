"""How much may be on its way in at once: bodies that strangers send, and pictures from hosts that they name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from serving.gateway.refusals import Refusal

# Of each, so much is never refused: whoever holds all the rest cannot shut out small pictures, texts and rows.
FREE_BYTES = 1 << 16

# Is told how many bytes more have come.
Count: TypeAlias = Callable[[int], None]


class Arriving:
    """Bounds what is held of requests that are not answered yet.

    A request takes no place among those answered until all of it is there, so that a sender who sends nothing costs a
    connection and nothing else. In memory are at most `number` * FREE_BYTES + `total_bytes`.
    """

    def __init__(self, number: int, total_bytes: int) -> None:
        self._number, self._total_bytes = number, total_bytes
        self._under_way = self._held = 0

    @contextmanager
    def one(self) -> Iterator[Count]:
        """One request, until it is answered; what is given must be told of each piece of it.

        Raises:
          Refusal: 503 when there are too many, or too much of them.
        """
        if self._under_way >= self._number:
            raise Refusal(503, f"{self._number} requests are arriving; try again later")
        self._under_way += 1
        came = counted = 0

        def count(size: int) -> None:
            nonlocal came, counted
            came += size
            more = max(0, came - FREE_BYTES) - counted
            if self._held + more > self._total_bytes:
                raise Refusal(503, f"more than {self._total_bytes} bytes are arriving at once; try again later")
            self._held += more
            counted += more

        try:
            yield count
        finally:
            self._under_way -= 1
            self._held -= counted
