"""What a request is refused with."""

from __future__ import annotations


class Refusal(Exception):
    """An HTTP status and one line for the client: 400 not understood, 413 too large, 415 no such kind, 422 understood but
    impossible, 502 a bad answer from behind, 503 busy or not reached, 504 too late."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(message)
