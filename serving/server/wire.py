"""Looks at a message's bytes before it is parsed: in memory, millions of empty parts are many times what was sent."""

from __future__ import annotations

from collections.abc import Iterator

from serving.server.status import invalid

_INPUT = 2  # of ClassificationRequest, RegressionRequest and MultiInferenceRequest
_EXAMPLE_LISTS = (1, 2)  # of Input
_SIZED = 2  # wire type of what has a length
_FIXED = {1: 8, 5: 4}


def check_parts(raw: bytes, most: int) -> None:
    """Refuses a request with very many parts, down to its tf.Examples.

    Raises:
      ApiError: INVALID_ARGUMENT if there are more than `most`, or if it is no message.
    """
    try:
        for count, _ in enumerate(_parts(raw)):
            if count >= most:
                raise invalid(f"the message has more than {most} parts; send fewer examples at once")
    except (IndexError, KeyError):
        raise invalid("cannot parse the message: it was cut off or has fields of no known type") from None


def _parts(raw: bytes) -> Iterator[int]:
    for number, start, end in _fields(raw, 0, len(raw)):
        yield number
        for kind, first, last in _fields(raw, start, end) if number == _INPUT else ():
            yield kind
            for part, _, _ in _fields(raw, first, last) if kind in _EXAMPLE_LISTS else ():
                yield part


def _fields(raw: bytes, place: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, begin and end of each field; the latter two are the same for one without a length."""
    while place < end:
        key, place = _varint(raw, place)
        size, kind = 0, key & 7
        if kind == _SIZED:
            size, place = _varint(raw, place)
        elif kind == 0:
            _, place = _varint(raw, place)
        else:
            place += _FIXED[kind]
        yield key >> 3, place, min(place + size, end)
        place += size


def _varint(raw: bytes, place: int) -> tuple[int, int]:
    """A number and the place after it; raises IndexError for one that does not end."""
    number = 0
    for shift in range(0, 70, 7):
        byte = raw[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
    raise IndexError
