"""Refuses, before anything is trained, a gate that no model could be held against."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from components import scores
from components.deploy_gate import approvals
from components.deploy_gate.metric_names import metric_config, value_names
from errors import ConfigError
from modeling.contract import ModelModule
from pipeline.config import PipelineConfig
from pipeline.gate import trial
from pipeline.gate.evaluation import metric_names
from pipeline.gate.kind import kind
from pipeline.strict_yaml import guess, shown

_CLASS_SCORES = {"scores of classes": "Sparse|.*Categorical|MultiClass|MultiLabel"}
_NOT_FOR = {"binary": _CLASS_SCORES, "regression": {**_CLASS_SCORES, "probabilities": "Binary"}}
"""Kind of model -> what a metric is for instead -> names of such, which would give a number without a meaning."""


def lint(config: PipelineConfig, module: ModelModule) -> None:
    """Refuses a gate that the judges could not work with, or DeployGate could not decide by.

    Loads TFMA, which takes 5 to 20 s in a fresh process.

    Args:
      config: the whole config.
      module: its model module, checked.

    Raises:
      ConfigError: what `lint_quickly` refuses; TFMA does not know a metric, cannot make it with its parameters, or cannot
        compute it of what this model answers; or a metric with a bound has no single value.
    """
    settings = lint_quickly(config, module)
    made_up = trial.examples(module, settings["kind"])
    for name, (key, bounded) in _named(settings).items():
        _lint_metric(key, name, settings, bounded, made_up)


def lint_quickly(config: PipelineConfig, module: ModelModule) -> dict[str, Any]:
    """Refuses what can be seen without TFMA, and returns the gate's settings.

    Raises:
      ConfigError: a slice's feature is not known or has no single value, the metric of `gate.clients` or `gate.baseline` is
        not one that these judges measure, parameters are given for a metric that is not computed, or the file of approvals
        cannot be used.
    """
    settings = config.gate.settings(kind(module), config.seed)
    features = [*module.features, *_schema_features(config.data.schema)]
    for cut in settings["slices"]:
        for feature in cut["features"]:
            _lint_feature(feature, features, config.data.schema)
            _lint_shape(feature, module)
    for section, known in (("clients", scores.CLIENT_KINDS), ("baseline", scores.KINDS)):
        if settings[section] is not None:
            _lint_score(f"gate.{section}.metric", settings[section]["metric"], known[settings["kind"]], settings["kind"])
    _lint_parameters(settings["parameters"], metric_names(settings))
    if config.gate.approvals is not None:
        approvals.load(config.gate.approvals)
    return settings


def _schema_features(path: str | None) -> list[str]:
    """The features of a curated schema; what is wrong with its file, the node that publishes it says."""
    if path is None:
        return []
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    try:
        with open(path, encoding="utf-8") as file:
            return [feature.name for feature in text_format.Parse(file.read(), schema_pb2.Schema()).feature]
    except (OSError, UnicodeDecodeError, text_format.ParseError):
        return []


def _lint_feature(feature: str, known: Collection[str], schema: str | None) -> None:
    if feature not in known:
        hint = guess(feature, known) or ";"
        more = "" if schema else "; of others, data.schema must say that they are there"
        raise ConfigError(f"gate.slices: no feature {feature!r}{hint} known: {', '.join(sorted(set(known)))}{more}")


def _lint_shape(feature: str, module: ModelModule) -> None:
    values = math.prod(module.features[feature].shape) if feature in module.features else 1
    if values != 1:
        raise ConfigError(
            f"gate.slices: feature {feature!r} has {values} values in each example; expected one with a single value"
        )


def _lint_score(key: str, name: str, known: Collection[str], kind_of_model: str) -> None:
    if name not in known:
        raise ConfigError(
            f"{key}: expected one of {', '.join(known)} for a model of the kind {kind_of_model}, got"
            f" {name!r}{guess(name, known)}"
        )


def _lint_parameters(parameters: Mapping[str, Any], computed: Collection[str]) -> None:
    for name in parameters:
        if name not in computed:
            hint = guess(name, computed) or ";"
            raise ConfigError(f"gate.parameters: {name!r} is not a metric of this gate{hint} known: {', '.join(computed)}")


def _named(settings: Mapping[str, Any]) -> dict[str, tuple[str, bool]]:
    """Metric -> the key that names it, and whether there is a bound for it, so that it must have a value."""
    found: dict[str, tuple[str, bool]] = {}
    for name, key, bounded in _mentions(settings):
        found.setdefault(name, (key, bounded))
    return found


def _mentions(settings: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    for place, where in ((settings, "gate"), *((cut, "gate.slices") for cut in settings["slices"])):
        for section in ("thresholds", "change"):
            yield from ((name, f"{where}.{section}", True) for name in place[section])
    yield from ((name, "gate.metrics", False) for name in settings["metrics"])


def _lint_metric(key: str, name: str, settings: Mapping[str, Any], bounded: bool, made_up: trial.Examples) -> None:
    known = _known_metrics()
    if name not in known:
        hint = guess(name, known) or "; expected a metric class of tfma.metrics or tf.keras.metrics"
        raise ConfigError(f"{key}: unknown metric {name!r}{hint}")
    parameters = settings["parameters"].get(name)
    try:
        values = value_names(name, parameters)
    except Exception as error:  # whatever the metric's own constructor raises when it lacks a parameter, or has a wrong one
        how = f"with parameters {shown(parameters)}" if parameters else "without parameters"
        reason = (str(error).splitlines() or [type(error).__name__])[-1]
        remedy = "mend gate.parameters" if parameters else "give them in gate.parameters, or choose another"
        raise ConfigError(f"{key}: metric {name!r} cannot be made {how} ({reason}); {remedy}") from error
    if bounded and not values:
        raise ConfigError(f"{key}: metric {name!r} has no single value to compare; list it under gate.metrics")
    misfit = trial.refusal(metric_config(name, parameters), made_up)
    for meant_for, pattern in _NOT_FOR.get(settings["kind"], {}).items():
        misfit = f"it is for {meant_for}" if re.match(pattern, name) else misfit
    if misfit:
        raise ConfigError(
            f"{key}: metric {name!r} does not fit a model of the kind {settings['kind']} ({misfit}); choose another, such as"
            f" {scores.PRINCIPAL[settings['kind']]}"
        )


def _known_metrics() -> set[str]:
    import tensorflow as tf
    from tensorflow_model_analysis.metrics import metric_types

    keras = tf.keras.metrics
    keras_names = (n for n in dir(keras) if isinstance(getattr(keras, n), type) and issubclass(getattr(keras, n), keras.Metric))
    return {*metric_types.registered_metrics(), *keras_names} - {"Metric", "MeanMetricWrapper"}
