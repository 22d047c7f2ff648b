"""Finds our own error inside whatever Beam made of it.

A runner that executes in workers ships an exception as text: the caller gets a RuntimeError that holds the traceback. This
module reads the one line that matters back out of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import errors

# A traceback's last line, as Python prints it for a class of the top-level module `errors`.
_LAST_LINE = re.compile(r"^errors\.(\w+): (.+)$", re.MULTILINE)
# Beam adds the name of the step, once for every layer that re-raises; step names may hold brackets and quotes.
_STEP = re.compile(r" \[while running .*$")


def cause_of(exception: BaseException) -> errors.FedtfxError | None:
    """Returns the project error that `exception` is, was caused by, or carries in its text; None if there is none.

    The message is as it was raised, without Beam's ` [while running 'step']`.
    """
    for error in _chain(exception):
        if isinstance(error, errors.FedtfxError):
            return _stripped(error)
        if found := _in_text(str(error)):
            return found
    return None


def _chain(exception: BaseException) -> Iterator[BaseException]:
    """Yields the exception and all its causes and contexts, nearest first, each once."""
    seen: set[int] = set()
    waiting = [exception]
    while waiting:
        error = waiting.pop(0)
        if id(error) in seen:
            continue
        seen.add(id(error))
        yield error
        waiting += [linked for linked in (error.__cause__, error.__context__) if linked is not None]


def _stripped(error: errors.FedtfxError) -> errors.FedtfxError:
    message = _STEP.sub("", str(error))
    return error if message == str(error) else type(error)(message)


def _in_text(text: str) -> errors.FedtfxError | None:
    for name, message in reversed(_LAST_LINE.findall(text)):
        kind = getattr(errors, name, None)
        if isinstance(kind, type) and issubclass(kind, errors.FedtfxError):
            return kind(_STEP.sub("", message))
    return None
