"""Turns whatever stops the clients' work into one line, wherever it runs, that holds nothing of the clients' data."""

from __future__ import annotations

import contextlib
import logging
import re
import traceback
from collections.abc import Iterator

from components.beam_errors import cause_of
from errors import TrainingError
from modeling.contract import one_line

logger = logging.getLogger(__name__)
# What TensorFlow says of data -> what we say, with names that the model module gave, and no value. The first that fits counts:
# after "input, value:" anything may follow.
_KNOWN = (
    (r"Could not parse example input", "a record is no serialized tf.Example"),
    (r"label value of .* outside the valid range of (\[[-\d]+, [-\d]+\))", r"a label is outside of the valid range of \1"),
    (r"indices\S* = .* is not in (\[[-\d]+, [-\d]+\))", r"an index is outside of the valid range of \1"),
    (r"Feature: (.+) \(data type: (\w+)\) is required", r"a record lacks the feature '\1' of type \2"),
    (
        r"Key: (.+?)(?:, Index: \d+)?\.\s+Data types don't match. Data type: (\w+) but expected type: (\w+)",
        r"a record has the feature '\1' with the type \2 in place of \3",
    ),
    (
        r"Key: (.+?)(?:, Index: \d+)?\.\s+Number of",
        r"a record has the feature '\1' with another number of values than FEATURES",
    ),
    (r"Key: (.+?)\.\s+Can't parse", r"a record has the feature '\1' in another form than FEATURES says"),
    (r"Field \d+ in record(?: \d+)? is not a valid (\w+)", r"a field of a line is no valid \1"),
    (r"assertion failed", "an assertion on the data failed"),
)
# Where a text goes on with a value, and what it quotes.
_VALUE = re.compile(r"\b(labels?|values?|strings?|bytes|inputs?|got|received)\b( \w+)?\s*[:=].*", re.IGNORECASE | re.DOTALL)
_QUOTED = re.compile(r"""(?<!\w)[bu]?('[^']*('|$)|"[^"]*("|$))""")
_OPERATION = re.compile(r"\{\{node ([\w./-]+)\}\}|Detected at node '?([\w./-]+)")


@contextlib.contextmanager
def in_one_line() -> Iterator[None]:
    """Raises errors of the project as they are, however wrapped, and those of TensorFlow, TFF and Beam as a TrainingError.

    Of the latter, whose texts quote the clients' data, only what `reason` leaves is raised and logged. Others are defects, and
    pass.
    """
    import grpc
    import tensorflow as tf

    try:
        yield
    except Exception as error:
        own = cause_of(error)
        if own is error or not (own or isinstance(error, (tf.errors.OpError, grpc.RpcError, RuntimeError, UnicodeDecodeError))):
            raise
        text = text_of(error)
        why, where = str(own or reason(text)), _OPERATION.search(text)
        operation = f" in the operation {where[1] or where[2]}" if where else ""
        places = "".join(traceback.format_tb(error.__traceback__))
        logger.error("the clients' work failed%s: %s (%s), at\n%s", operation, why, type(error).__name__, places)
        # `from None`: a traceback that is printed or shipped by a worker shows no cause, as its text is the one to keep out
        raise (own or TrainingError(f"the clients' work failed: {why}; see the clients' data and the log.")) from None


def reason(text: str) -> str:
    """Returns what an error's text says is wrong, in one line and without the values that it quotes."""
    line = one_line(RuntimeError(text))
    for pattern, ours in _KNOWN:
        if found := re.search(pattern, line):
            return found.expand(ours)
    return _QUOTED.sub("'...'", _VALUE.sub("...", line))


def text_of(error: BaseException) -> str:
    """Returns an error's text; of gRPC's the details; of one that quotes bytes that are no text, up to them."""
    import grpc

    if isinstance(error, UnicodeDecodeError):  # what TensorFlow's own errors become in Python then
        return bytes(error.object[: error.start]).decode(error.encoding)
    return str(error.details() or "no reason given") if isinstance(error, grpc.Call) else str(error)
