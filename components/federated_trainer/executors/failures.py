"""Turns whatever stops the clients' work into one line, wherever it runs."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from components.beam_errors import cause_of
from errors import TrainingError
from modeling.contract import one_line

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def in_one_line() -> Iterator[None]:
    """Raises errors of the project as they are, however wrapped, and those of TensorFlow, TFF and Beam as a TrainingError.

    The latter are logged in full. Others are defects, and pass.
    """
    import grpc
    import tensorflow as tf

    try:
        yield
    except Exception as error:
        own = cause_of(error)
        if own is error or not (own or isinstance(error, (tf.errors.OpError, grpc.RpcError, RuntimeError))):
            raise
        logger.error("the clients' work failed", exc_info=error)
        if own is not None:
            raise own from error
        raise TrainingError(f"the clients' work failed: {_reason(error)}; see the clients' data and the log.") from error


def _reason(error: BaseException) -> str:
    """The line of an error's text that says what is wrong; of gRPC's, which holds much else, the details'."""
    import grpc

    if isinstance(error, grpc.Call):
        error = RuntimeError(error.details() or "no reason given")
    return one_line(error)
