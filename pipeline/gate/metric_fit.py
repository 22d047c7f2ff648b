"""Whether a metric that a gate names is one, and can judge a model of this kind: TFMA would find out after the training."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from components import scores
from components.deploy_gate.metric_names import metric_config, value_names
from errors import ConfigError
from pipeline.gate import trial
from pipeline.strict_yaml import guess, shown

_CLASS_SCORES = {"scores of classes": "Sparse|.*Categorical|MultiClass|MultiLabel"}
_NOT_FOR = {
    "classes": {
        "one probability in each answer": "Binary",
        "labels in one-hot form": "Categorical|TopKCategorical|OneHot",
        "labels that are numbers, not classes": "(Squared)?Hinge|KLDivergence|LogCosh|Poisson|Root|Cosine|ExactMatch",
    },
    "binary": _CLASS_SCORES,
    "regression": {**_CLASS_SCORES, "probabilities": "Binary"},
}
"""Kind of model -> what a metric is for instead -> names of such, which would give a number without a meaning."""


def check(key: str, name: str, settings: Mapping[str, Any], bounded: bool, made_up: trial.Examples) -> None:
    """Refuses a metric by which a model of this kind cannot be judged.

    Args:
      key: where the config names it.
      name: its class.
      settings: the gate's, of which `kind` and `parameters` are used.
      bounded: whether there is a bound for it, so that it must have a single value.
      made_up: what the model could answer; see `trial.examples`.

    Raises:
      ConfigError: TFMA does not know it, or cannot make it with its parameters, or cannot compute it of such answers; what it
        computes of them means nothing; or it has a bound and no single value.
    """
    if name not in (known := _known()):
        hint = guess(name, known) or "; expected a metric class of tfma.metrics or tf.keras.metrics"
        raise ConfigError(f"{key}: unknown metric {name!r}{hint}")
    parameters = settings["parameters"].get(name)
    values = _values(key, name, parameters)
    if bounded and not values:
        raise ConfigError(f"{key}: metric {name!r} has no single value to compare; list it under gate.metrics")
    kind = settings["kind"]
    misfit = _meaningless(name, kind) or trial.refusal(metric_config(name, parameters), made_up)
    if misfit:
        raise ConfigError(
            f"{key}: metric {name!r} does not fit a model of the kind {kind} ({misfit}); choose another, such as"
            f" {_instead(name, kind)}"
        )


def _known() -> set[str]:
    import tensorflow as tf
    from tensorflow_model_analysis.metrics import metric_types

    keras = tf.keras.metrics
    keras_names = (n for n in dir(keras) if isinstance(getattr(keras, n), type) and issubclass(getattr(keras, n), keras.Metric))
    return {*metric_types.registered_metrics(), *keras_names} - {"Metric", "MeanMetricWrapper"}


def _values(key: str, name: str, parameters: Mapping[str, Any] | None) -> set[str]:
    try:
        return value_names(name, parameters)
    except Exception as error:  # whatever the metric's own constructor raises when it lacks a parameter, or has a wrong one
        how = f"with parameters {shown(parameters)}" if parameters else "without parameters"
        reason = (str(error).splitlines() or [type(error).__name__])[-1]
        remedy = "mend gate.parameters" if parameters else "give them in gate.parameters, or choose another"
        raise ConfigError(f"{key}: metric {name!r} cannot be made {how} ({reason}); {remedy}") from error


def _meaningless(name: str, kind: str) -> str | None:
    found = (meant_for for meant_for, pattern in _NOT_FOR[kind].items() if re.match(pattern, name))
    return next((f"it is for {meant_for}" for meant_for in found), None)


def _instead(name: str, kind: str) -> str:
    """The counterpart for a model of several classes, which takes labels as they are there; else the principal metric."""
    if kind == "classes" and "crossentropy" in name.lower():
        return "SparseCategoricalCrossentropy"
    return "SparseTopKCategoricalAccuracy" if kind == "classes" and name.startswith("TopK") else scores.PRINCIPAL[kind]
