"""The stock Evaluator's executor, with failures that hold nothing of the examples."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfx.components.evaluator import executor as stock_executor
from tfx.types import artifact, artifact_utils
from tfx.types import standard_component_specs as keys

from components import digested
from components.beam_errors import cause_of
from components.federated_trainer.executors.failures import reason, text_of
from components.model_evaluator.spec import NOT_EVALUATED_FILE
from errors import DataError, FedtfxError

logger = logging.getLogger(__name__)
# What TensorFlow Model Analysis says of a slice's value; the value may hold anything, so the column is what comes last.
_NOT_TEXT = re.compile(r"Found non-UTF8 feature value .* in column \"([^\"]+)\"", re.DOTALL)
_QUOTING = ("absl", "apache_beam", "tensorflow")  # Model Analysis logs to the first and the last
_PLACES = 8  # of a stack that Beam makes hundreds of lines long
_STEP = re.compile(r"\[while running '([^'\n]+)'\]\s*$")


class Executor(stock_executor.Executor):
    """Analyses as the stock one; TensorFlow Model Analysis quotes whole examples when something fails, and Beam logs it."""

    def Do(
        self,
        input_dict: dict[str, list[artifact.Artifact]],
        output_dict: dict[str, list[artifact.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Fills `evaluation`.

        Raises:
          DataError: the examples cannot be analysed, or a model fails on them; one line without a value of an example.
        """
        try:
            with _silent():
                super().Do(input_dict, output_dict, exec_properties)
        except Exception as error:  # whatever Beam, TensorFlow and its Model Analysis raise
            failure = _told(error)
        else:
            return
        raise failure from None  # out here, so that the failure does not even hold what was caught


class TolerantExecutor(Executor):
    """Leaves an evaluation that says why there is none, where the other raises: nothing is decided by it."""

    def Do(
        self,
        input_dict: dict[str, list[artifact.Artifact]],
        output_dict: dict[str, list[artifact.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Fills `evaluation`."""
        try:
            super().Do(input_dict, output_dict, exec_properties)
        except DataError as error:
            logger.warning("Not analysed: %s", error)
            write_refusal(artifact_utils.get_single_uri(output_dict[keys.EVALUATION_KEY]), str(error))
        digested.record(output_dict)


def write_refusal(uri: str, reason: str) -> None:
    """Makes of a directory an evaluation that says why there is none."""
    os.makedirs(uri, exist_ok=True)
    Path(uri, NOT_EVALUATED_FILE).write_text(json.dumps({"reason": reason}) + "\n", encoding="utf-8")


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Lets nobody log who logs the exception of every attempt that fails, whose text quotes examples."""
    loggers = [logging.getLogger(name) for name in _QUOTING]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)


def _told(error: Exception) -> FedtfxError:
    """One line about what was raised; the log gets the places in the code, whose text has no values."""
    if own := cause_of(error):
        return own
    step = _STEP.search(str(error))
    where = f" in the step {step[1]}" if step else ""
    places = "".join(traceback.format_tb(error.__traceback__, limit=-_PLACES))
    logger.error("the analysis failed%s (%s), at\n%s", where, type(error).__name__, places)
    if found := _NOT_TEXT.search(str(error)):
        return DataError(
            f"a feature to slice by holds text that is not UTF-8: {found[1]!r}; mend the data, or slice by another feature."
        )
    return DataError(f"the evaluation examples could not be analysed: {_why(error)}; see the log for where.")


def _why(error: Exception) -> str:
    """Of TensorFlow's own errors what `reason` leaves of the text; of others, whose texts may hold anything, the kind."""
    import tensorflow as tf

    linked: BaseException | None = error
    while linked is not None:
        if isinstance(linked, (tf.errors.OpError, UnicodeDecodeError)):
            return reason(text_of(linked))
        if isinstance(linked, OSError) and linked.strerror:
            return linked.strerror
        linked = linked.__cause__ or linked.__context__
    return f"{type(error).__name__} was raised"
