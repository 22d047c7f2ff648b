"""Refuses, before anything is trained, a gate that no model could be held against."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from components import scores
from components.deploy_gate import approvals
from components.deploy_gate.requirements import INFRA, requirements
from components.serving_check import allow_list
from errors import ConfigError
from modeling.contract import ModelModule
from pipeline.config import PipelineConfig
from pipeline.gate import metric_fit, trial
from pipeline.gate.evaluation import metric_names
from pipeline.gate.judges import judges
from pipeline.gate.kind import kind
from pipeline.strict_yaml import guess


def lint(config: PipelineConfig, module: ModelModule) -> dict[str, Any]:
    """Refuses a gate that the judges could not work with, or DeployGate could not decide by, and returns its settings.

    Loads TFMA, which takes 5 to 20 s in a fresh process.

    Args:
      config: the whole config.
      module: its model module, checked.

    Raises:
      ConfigError: what `lint_quickly` refuses, or a metric that `metric_fit.check` does.
    """
    settings = lint_quickly(config, module)
    made_up = trial.examples(module, settings["kind"])
    for name, (key, bounded) in _named(settings).items():
        metric_fit.check(key, name, settings, bounded, made_up)
    return settings


def lint_quickly(config: PipelineConfig, module: ModelModule) -> dict[str, Any]:
    """Refuses what can be seen without TFMA, and returns the gate's settings.

    Raises:
      ConfigError: a slice's feature is not known or has no single value, the metric of `gate.clients` or `gate.baseline` is
        not one that these judges measure, parameters are given for a metric that is not computed, TensorFlow has no such
        operation to allow, or the file of approvals cannot be used or names a check that this gate does not make.
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
    _lint_ops(settings["serving"]["allowed_ops"])
    checks = [each.id for each in requirements(settings, [*judges(config), INFRA])]
    if config.gate.approvals is not None:
        _lint_approvals(config.gate.approvals, checks)
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


def _lint_ops(allowed: Collection[str]) -> None:
    """What would be allowed in vain; an operation of TensorFlow has a wrapper in tf.raw_ops, or is on the list already."""
    if not allowed:
        return
    import tensorflow as tf

    known = {name for name in dir(tf.raw_ops) if not name.startswith("_")} | allow_list.read().anywhere | {"Lambda"}
    for name in allowed:
        if name not in known:
            hint = guess(name, known) or "; expected the name of an operation, such as PyFunc, or Lambda"
            raise ConfigError(f"gate.serving.allowed_ops: TensorFlow has no operation {name!r}{hint}")


def _lint_approvals(path: str, known: Collection[str]) -> None:
    """An entry that has expired does nothing, so it may name a check that the gate no longer makes."""
    now = datetime.now(timezone.utc)
    for number, approval in enumerate(approvals.load(path)):
        for name in approval.checks or () if not approval.expired(now) else ():
            if name not in known:
                hint = guess(name, known) or "; the ids are in what `python -m pipeline.gate explain --json` prints"
                raise ConfigError(f"{path}: approvals[{number}]: checks: this gate makes no check {name!r}{hint}")


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
