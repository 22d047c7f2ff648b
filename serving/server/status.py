"""Canonical status codes: what every refusal of the server is raised as, and what it becomes over HTTP."""

from __future__ import annotations

MAX_MESSAGE = 1024

# http_rest_api_util.cc of TensorFlow Serving 2.15; what is not named there is 500. grpc.StatusCode has the same names.
HTTP_STATUS = {
    "OK": 200,
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "DATA_LOSS": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
# google.rpc.Code, whose numbers are in TensorFlow's errors and in a model's status.
CODE_NUMBERS = {
    "OK": 0,
    "CANCELLED": 1,
    "UNKNOWN": 2,
    "INVALID_ARGUMENT": 3,
    "DEADLINE_EXCEEDED": 4,
    "NOT_FOUND": 5,
    "ALREADY_EXISTS": 6,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "FAILED_PRECONDITION": 9,
    "ABORTED": 10,
    "OUT_OF_RANGE": 11,
    "UNIMPLEMENTED": 12,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
    "DATA_LOSS": 15,
    "UNAUTHENTICATED": 16,
}
CODE_NAMES = {number: name for name, number in CODE_NUMBERS.items()}


class ApiError(Exception):
    """A request that cannot be answered, or a version that cannot be loaded.

    Attributes:
      code: a key of HTTP_STATUS.
      message: for the client; cut to MAX_MESSAGE characters.
      http_status: HTTP_STATUS[code], unless HTTP has a status that the canonical codes have not.
    """

    def __init__(self, code: str, message: str, http_status: int | None = None) -> None:
        self.code = code
        self.message = cut(message)
        self.http_status = http_status or HTTP_STATUS[code]
        super().__init__(self.message)


def invalid(message: str) -> ApiError:
    """INVALID_ARGUMENT, the code of most refusals."""
    return ApiError("INVALID_ARGUMENT", message)


def cut(text: str, limit: int = MAX_MESSAGE) -> str:
    """`text` in at most `limit` characters, with a mark where something was cut off."""
    mark = "...TRUNCATED"
    return text if len(text) <= limit else text[: limit - len(mark)] + mark
