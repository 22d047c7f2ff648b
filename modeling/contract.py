"""The model module's protocol: load it, check it, say what is wrong in one line.

A model module is one importable file of plain functions, used by both trainers, the evaluators and serving:

    FEATURES      dict of feature name -> tf.io.FixedLenFeature, the label included
    LABEL_KEY     name of the label in FEATURES
    preprocess    (raw: dict of name -> [batch, ...] tensor, without the label) -> x; pure TensorFlow ops, no state:
                  tensors, variables and tables made outside of it are out of reach where clients are
    build_model   () -> tf.keras.Model: fresh, built, uncompiled, without BatchNormalization; layers of Keras that draw at
                  random, such as Dropout, are seeded, while tf.random called by itself is not
    build_loss    () -> tf.keras.losses.Loss
    build_metrics () -> list of tf.keras.metrics.Metric
    run_fn        (fn_args) -> None: `centralised.train(fn_args, __name__)`
    postprocess   optional, (outputs of the model) -> dict of name -> [batch, ...] tensor, what the served model answers
    CLASS_LABELS  optional, the classes' names in the order of the scores; postprocess then returns `scores` [batch, classes]
    sample        optional, () -> dict of name -> one made-up raw value (the label included), where a string feature holds
                  encoded data (an image, say), for which no valid value can be guessed
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from errors import ConfigError
from lineage.digests import code_digest

_FUNCTIONS = {"preprocess": 1, "build_model": 0, "build_loss": 0, "build_metrics": 0, "run_fn": 1}
_OPTIONAL_FUNCTIONS = {"postprocess": 1, "sample": 0}
# Lines of TensorFlow's errors that say nothing of what is wrong, and what it puts around the line that does.
_HEADING = re.compile(
    r"\s*(Graph execution error:|Detected at node|<stack traces unavailable>|in user code:|\d+ root error\(s\) found)"
)
_PLACE = re.compile(r'\s*File "')
_AROUND = re.compile(r"^\s*\{\{function_node [^}]*\}\}|\[Op:\w+\]( name: \S*)?\s*$")


@dataclass(frozen=True)
class ModelModule:
    """A loaded model module; the fields are the module's attributes, optional ones None."""

    name: str
    path: Path
    features: Mapping[str, Any]
    label_key: str
    preprocess: Callable[[dict[str, Any]], Any]
    build_model: Callable[[], Any]
    build_loss: Callable[[], Any]
    build_metrics: Callable[[], list[Any]]
    postprocess: Callable[[Any], dict[str, Any]] | None
    class_labels: tuple[str, ...] | None
    sample: Callable[[], dict[str, Any]] | None

    @property
    def digest(self) -> str:
        """Digest of the module's source: a parameter of every node that uses it, so that no cached result survives an edit."""
        return code_digest(self.path)

    @property
    def prediction_key(self) -> str:
        """The served output that is judged: `scores` [batch, classes] of a classifier, `predictions` [batch, ...] otherwise."""
        return "scores" if self.class_labels else "predictions"

    @property
    def inputs(self) -> dict[str, Any]:
        """FEATURES without the label: what the served model is asked with."""
        return {key: spec for key, spec in self.features.items() if key != self.label_key}

    def outputs(self, model_outputs: Any) -> dict[str, Any]:
        """What the served model answers, from what the Keras model returns."""
        return self.postprocess(model_outputs) if self.postprocess else {"predictions": model_outputs}


def load(name: str) -> ModelModule:
    """Imports the model module `name` and checks everything that needs no data and no model.

    Raises:
      ConfigError: one line naming the attribute that is missing or wrong.
    """
    module = _import(name)
    for function, arguments in _FUNCTIONS.items():
        _check_function(module, function, arguments, required=True)
    for function, arguments in _OPTIONAL_FUNCTIONS.items():
        _check_function(module, function, arguments, required=False)
    features = _features(module)
    labels = getattr(module, "CLASS_LABELS", None)
    if labels is not None and (isinstance(labels, str) or not isinstance(labels, Sequence) or len(labels) == 0):
        raise ConfigError(f"{name}: CLASS_LABELS is {labels!r}; expected a list of the classes' names.")
    if labels is not None and getattr(module, "postprocess", None) is None:
        raise ConfigError(
            f"{name}: CLASS_LABELS needs a postprocess(outputs) that returns {{'scores': [batch, classes]}}; add it."
        )
    return ModelModule(
        name=name,
        path=Path(str(module.__file__)),
        features=features,
        label_key=_label_key(module, features),
        preprocess=module.preprocess,
        build_model=module.build_model,
        build_loss=module.build_loss,
        build_metrics=module.build_metrics,
        postprocess=getattr(module, "postprocess", None),
        class_labels=tuple(str(label) for label in labels) if labels is not None else None,
        sample=getattr(module, "sample", None),
    )


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigError(
                f"model: no module '{name}' ('{error.name}' was not found); give an import path that starts in the project's or"
                " the working directory, such as examples.digits.digits_model."
            ) from error
        raise ConfigError(f"model: '{name}' needs the module '{error.name}', which is not installed.") from error
    except SyntaxError as error:
        raise ConfigError(f"model: {error.filename}, line {error.lineno}: {error.msg}.") from error
    except (Exception, SystemExit) as error:  # a script without a guard may call sys.exit()
        raise ConfigError(f"model: importing '{name}' failed with {type(error).__name__}: {one_line(error)}") from error


def _check_function(module: ModuleType, function: str, arguments: int, *, required: bool) -> None:
    value = getattr(module, function, None)
    if value is None:
        if required:
            raise ConfigError(f"{module.__name__}: no {function}(); the module contract is in modeling/contract.py.")
        return
    expected = f"{function}({'' if arguments == 0 else 'one argument'})"
    if not callable(value):
        raise ConfigError(f"{module.__name__}: {function} is a {type(value).__name__}; expected a function {expected}.")
    try:
        signature = inspect.signature(value)
    except ValueError:  # some builtins tell nothing about their parameters
        return
    try:
        signature.bind(*[None] * arguments)
    except TypeError:
        raise ConfigError(
            f"{module.__name__}: {function}{signature} cannot be called as {expected}; change its parameters."
        ) from None


def _features(module: ModuleType) -> dict[str, Any]:
    features = getattr(module, "FEATURES", None)
    if not isinstance(features, Mapping) or not features:
        raise ConfigError(
            f"{module.__name__}: FEATURES must be a dict of feature name -> tf.io.FixedLenFeature, got {features!r}."
        )
    return {key: _feature(module, key, spec) for key, spec in features.items()}


def _feature(module: ModuleType, key: Any, spec: Any) -> Any:
    """A FixedLenFeature as tf.io.parse_example and a signature can take it."""
    import tensorflow as tf

    if not isinstance(key, str) or not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", key):
        raise ConfigError(
            f"{module.__name__}: FEATURES has a feature named {key!r}; expected letters, digits and underscores, beginning with"
            " a letter, because TensorFlow's signatures allow no other names: rename it in the data."
        )
    where = f"{module.__name__}: FEATURES['{key}']"
    if not isinstance(spec, tf.io.FixedLenFeature):
        raise ConfigError(f"{where} is a {type(spec).__name__}; expected a tf.io.FixedLenFeature.")
    try:
        shape, dtype = tf.TensorShape([spec.shape] if isinstance(spec.shape, int) else spec.shape), tf.as_dtype(spec.dtype)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {one_line(error)}; expected a shape such as [] and a dtype such as tf.float32.") from error
    if not shape.is_fully_defined():
        raise ConfigError(f"{where} has shape {spec.shape}; expected the number of values along every axis, [] for a scalar.")
    if dtype not in (tf.float32, tf.int64, tf.string):
        raise ConfigError(
            f"{where} is {dtype.name}; tf.Examples hold float32, int64 or string: use one and cast in preprocess."
        )
    return tf.io.FixedLenFeature(shape.as_list(), dtype, spec.default_value)


def _label_key(module: ModuleType, features: Mapping[str, Any]) -> str:
    key = getattr(module, "LABEL_KEY", None)
    if not isinstance(key, str) or key not in features:
        raise ConfigError(f"{module.__name__}: LABEL_KEY is {key!r}; expected one of FEATURES: {', '.join(features)}.")
    if len(features) == 1:
        raise ConfigError(f"{module.__name__}: FEATURES holds only the label '{key}'; add the features the model reads.")
    return str(key)


def one_line(error: BaseException, limit: int = 300) -> str:
    """The first line of an error's text that says what is wrong, cut to `limit` characters.

    TensorFlow's and Keras' begin with headings, the places in the code and the lines that stand there; those are skipped.
    """
    lines = [line for line in str(error).splitlines() if line.strip()]
    telling = [line for before, line in zip(["", *lines], lines, strict=False) if not _is_heading(line, before)]
    chosen = next(iter(telling or lines), type(error).__name__)
    return _AROUND.sub("", chosen).strip()[:limit]


def _is_heading(line: str, before: str) -> bool:
    """Whether a line is one of TensorFlow's headings, a place in the code, or the code that is quoted under a place."""
    under_a_place = bool(_PLACE.match(before)) and _indentation(line) > _indentation(before)
    return bool(_HEADING.match(line) or _PLACE.match(line)) or under_a_place


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())
