"""What exported models answer on serialized tf.Examples through the signature `serve_examples`, in Beam workers.

A process loads each model once. Batches are filled up to one size, so that what a model answers on an example does not depend
on how many others happened to be with it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from components import scores
from components.federated_trainer.executors.failures import reason, text_of
from errors import ConfigError, DataError
from modeling import contract
from modeling.contract import ModelModule
from modeling.export import EXAMPLES_SIGNATURE

logger = logging.getLogger(__name__)
CANDIDATE, BASELINE, SERVED = "candidate", "baseline", "served"
_SPOKEN = {CANDIDATE: "the model under test", BASELINE: "the baseline", SERVED: "the served model"}


class Asked(NamedTuple):
    """Who is asked, and how; small, because it travels to every worker.

    key: of one execution, whose models a process keeps until `forget`. models: (name, directory of its SavedModel).
    """

    key: str
    module: str
    kind: str
    models: tuple[tuple[str, str], ...]
    batch_size: int


class Batch(NamedTuple):
    """Labels, and what each model answered: see `components.scores`. problems: model -> why its answers here are all NaN."""

    labels: np.ndarray
    predictions: dict[str, np.ndarray]
    problems: dict[str, str]


class _Unable(Exception):
    """A model cannot answer, for the reason in its text."""


class Answers:
    """Asks the models of `asked`; safe to use from several threads.

    A model that cannot answer as the module says is a finding and no error, whichever it is: it is taken to have answered NaN,
    and `Batch.problems` says why in one line, without a value of an example. Examples that are wrong themselves are an error.
    """

    def __init__(self, asked: Asked) -> None:
        """Loads the models.

        Raises:
          ConfigError: the module is not usable, or is not of the kind.
        """
        self._asked, self._module = asked, contract.load(asked.module)
        _check_kind(asked.kind, self._module)
        self._told: set[str] = set()
        self._problems: dict[str, str] = {}
        self._signatures: dict[str, Any] = {}
        for name, directory in asked.models:
            try:
                self._signatures[name] = _load(name, directory)
            except _Unable as problem:
                self._problems[name] = self._noted(name, problem)

    def ask(self, serialized: Any) -> Batch:
        """Returns labels and answers of a [n] string tensor of serialized tf.Examples, 0 < n <= batch_size.

        Raises:
          DataError: an example has no usable label.
        """
        import tensorflow as tf

        labels = self._labels(serialized)
        width = len(self._module.class_labels) if self._module.class_labels else labels.shape[1]
        filled = tf.concat([serialized, tf.repeat(serialized[-1:], self._asked.batch_size - len(labels))], axis=0)
        problems, predictions = dict(self._problems), {}
        for name, _ in self._asked.models:
            answer = None
            if name not in problems:
                try:
                    answer = self._answer(name, filled, width)
                except _Unable as problem:
                    problems[name] = self._noted(name, problem)
            predictions[name] = np.full([len(labels), width], np.nan, np.float32) if answer is None else answer[: len(labels)]
        return Batch(labels, predictions, problems)

    def _noted(self, name: str, problem: _Unable) -> str:
        """Returns what is wrong with a model; logs it once, for it may be so on every batch."""
        if name not in self._told:
            self._told.add(name)
            logger.warning("Nothing is measured of %s: %s", _SPOKEN[name], problem)
        return str(problem)

    def _labels(self, serialized: Any) -> np.ndarray:
        import tensorflow as tf

        key = self._module.label_key
        try:
            labels = tf.io.parse_example(serialized, {key: self._module.features[key]})[key].numpy()
        except (tf.errors.OpError, UnicodeDecodeError) as error:  # `from None`: their texts quote examples
            raise DataError(
                f"expected the label {key!r} in every evaluation example as FEATURES says: {reason(text_of(error))}; mend the"
                " data."
            ) from None
        return scores.usable_labels(self._asked.kind, labels, len(self._module.class_labels or ()))

    def _answer(self, name: str, serialized: Any, width: int) -> np.ndarray:
        import tensorflow as tf

        key, (_, signature) = self._module.prediction_key, self._signatures[name]
        try:
            outputs = signature(tf.constant(serialized))
        except Exception as error:  # whatever a graph raises; `from None`: its text quotes examples
            raise _Unable(f"{_SPOKEN[name]} failed on the evaluation examples: {_why(error)}.") from None
        if key not in outputs:
            raise _Unable(f"expected an output {key!r} of {_SPOKEN[name]}, got {', '.join(sorted(outputs))}; train it again.")
        answer, count = outputs[key], len(serialized)
        numeric = answer.dtype.is_floating or answer.dtype.is_integer
        shaped = answer.shape == [count, width] if self._module.class_labels else _one_each(answer.shape, count, width)
        if not (numeric and shaped):
            raise _Unable(
                f"expected {key!r} of {_SPOKEN[name]} to be numbers of shape [batch, {width}], got {answer.dtype.name} of shape"
                f" {_told(answer.shape, count)}; see postprocess() and build_model() of {self._module.name}."
            )
        return np.asarray(tf.cast(answer, tf.float32).numpy().reshape([count, width]))


def _load(name: str, directory: str) -> Any:
    import tensorflow as tf

    try:
        model = tf.saved_model.load(directory)
    except Exception as error:  # whatever a directory holds
        raise _Unable(f"{_SPOKEN[name]} cannot be loaded: {reason(text_of(error))}; train it again.") from error
    if EXAMPLES_SIGNATURE not in model.signatures:
        raise _Unable(f"expected a signature {EXAMPLES_SIGNATURE} of {_SPOKEN[name]}, found none; train it again.")
    return model, model.signatures[EXAMPLES_SIGNATURE]  # the signature alone would let go of the variables


def _why(error: Exception) -> str:
    """What a call of a model says is wrong, without values; the mere kind of what `reason` does not know, not TensorFlow's."""
    import tensorflow as tf

    known = isinstance(error, (tf.errors.OpError, UnicodeDecodeError))
    return reason(text_of(error)) if known else f"its call raised {type(error).__name__}"


def _one_each(shape: Any, count: int, width: int) -> bool:
    return len(shape) > 0 and shape[0] == count and int(np.prod(shape[1:])) == width


def _told(shape: Any, count: int) -> str:
    sizes: Sequence[Any] = shape.as_list()
    return f"[{', '.join('batch' if not at and size == count else str(size) for at, size in enumerate(sizes))}]"


def _check_kind(kind: str, module: ModelModule) -> None:
    if (kind == "classes") != bool(module.class_labels):
        has = "CLASS_LABELS" if module.class_labels else "no CLASS_LABELS"
        raise ConfigError(f"{module.name} has {has}, which the kind {kind!r} does not go with; judge it as what it is.")


_OPEN: dict[Asked, Answers] = {}
_LOCK = threading.Lock()


def opened(asked: Asked) -> Answers:
    """Returns this process' answers for `asked`, which loads the models the first time."""
    with _LOCK:
        if asked not in _OPEN:
            _OPEN[asked] = Answers(asked)
        return _OPEN[asked]


def forget(asked: Asked) -> None:
    """Lets go of the models, where a runner worked in this process."""
    with _LOCK:
        _OPEN.pop(asked, None)
