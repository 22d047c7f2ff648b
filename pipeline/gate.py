"""The gate of a config, turned into what the Evaluator checks. Nothing here reads data or models."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from errors import ConfigError
from pipeline.config import Bounds, GateConfig
from pipeline.strict_yaml import guess

if TYPE_CHECKING:
    import tensorflow_model_analysis as tfma

SIGNATURE = "serve_examples"
"""The signature that the Evaluator calls; it takes serialized tf.Examples."""

ALWAYS = "ExampleCount"
"""The metric that is reported whatever the config says."""


def eval_config(gate: GateConfig, *, label_key: str, prediction_key: str) -> "tfma.EvalConfig":
    """Returns the EvalConfig that judges a model by `gate`, with and without a served model to compare with.

    There is one unnamed model spec: the Evaluator copies it for the baseline when one is resolved, and drops the bounds on
    changes when none is. Thresholds name the overall slice, for one that names no slice holds for every slice.

    Args:
      gate: Thresholds, metrics and slices.
      label_key: The feature that holds the label.
      prediction_key: The output of the signature `serve_examples` that the metrics take as prediction.
    """
    import tensorflow_model_analysis as tfma

    overall = tfma.SlicingSpec()
    return tfma.EvalConfig(
        model_specs=[tfma.ModelSpec(signature_name=SIGNATURE, label_key=label_key, prediction_key=prediction_key)],
        slicing_specs=[overall, *(tfma.SlicingSpec(feature_keys=features) for features in gate.slices)],
        metrics_specs=[tfma.MetricsSpec(metrics=[_metric_config(name, gate) for name in metric_names(gate)])],
    )


def metric_names(gate: GateConfig) -> tuple[str, ...]:
    """Returns the class names of all metrics that are computed, each once: those with thresholds first."""
    return tuple(dict.fromkeys([*gate.thresholds, *gate.change, *gate.metrics, ALWAYS]))


def _metric_config(name: str, gate: GateConfig) -> "tfma.MetricConfig":
    import tensorflow_model_analysis as tfma

    threshold = tfma.MetricThreshold()
    if name in gate.thresholds:
        threshold.value_threshold.CopyFrom(_value_threshold(gate.thresholds[name]))
    if name in gate.change:
        threshold.change_threshold.CopyFrom(_change_threshold(gate.change[name]))
    config = tfma.MetricConfig(class_name=name)
    if name in gate.thresholds or name in gate.change:
        config.per_slice_thresholds.add(slicing_specs=[tfma.SlicingSpec()], threshold=threshold)
    return config


def _value_threshold(bounds: Bounds) -> "tfma.GenericValueThreshold":
    import tensorflow_model_analysis as tfma

    threshold = tfma.GenericValueThreshold()
    if bounds.min is not None:
        threshold.lower_bound.value = bounds.min
    if bounds.max is not None:
        threshold.upper_bound.value = bounds.max
    return threshold


def _change_threshold(bounds: Bounds) -> "tfma.GenericChangeThreshold":
    """TFMA's direction says which end the bound is: a change of at least `min`, or of at most `max`."""
    import tensorflow_model_analysis as tfma

    direction = tfma.MetricDirection.LOWER_IS_BETTER if bounds.min is None else tfma.MetricDirection.HIGHER_IS_BETTER
    threshold = tfma.GenericChangeThreshold(direction=direction)
    threshold.absolute.value = bounds.max if bounds.min is None else bounds.min
    return threshold


def lint(gate: GateConfig, feature_names: Collection[str], label_key: str) -> None:
    """Refuses, before anything is trained, a gate that the Evaluator could not work with.

    Loads TFMA, which takes 10 to 20 s in a fresh process.

    Args:
      gate: Thresholds, metrics and slices.
      feature_names: The features of the examples, the label's included.
      label_key: The feature that holds the label.

    Raises:
      ConfigError: the label or a slice's feature is not among the features, TFMA does not know a metric or cannot make it
        without parameters, or a metric with a threshold has no single value.
    """
    _lint_feature("LABEL_KEY", label_key, feature_names)
    for features in gate.slices:
        for feature in features:
            _lint_feature("gate.slices", feature, feature_names)
    for section, names in (("thresholds", gate.thresholds), ("change", gate.change), ("metrics", gate.metrics)):
        for name in names:
            _lint_metric(f"gate.{section}", name, needs_value=section != "metrics")


def _lint_feature(key: str, feature: str, known: Collection[str]) -> None:
    if feature not in known:
        hint = guess(feature, known) or ";"
        raise ConfigError(f"{key}: no feature {feature!r}{hint} known: {', '.join(sorted(known))}")


def _lint_metric(key: str, name: str, needs_value: bool) -> None:
    known = _known_metrics()
    if name not in known:
        hint = guess(name, known) or "; expected a metric class of tfma.metrics or tf.keras.metrics"
        raise ConfigError(f"{key}: unknown metric {name!r}{hint}")
    try:
        values = value_names(name)
    except Exception as error:  # whatever the metric's own constructor raises when it lacks a parameter
        reason = (str(error).splitlines() or [type(error).__name__])[-1]
        raise ConfigError(f"{key}: metric {name!r} cannot be made without parameters ({reason}); choose another") from error
    if needs_value and not values:
        raise ConfigError(f"{key}: metric {name!r} has no single value to compare; list it under gate.metrics")


def _known_metrics() -> set[str]:
    import tensorflow as tf
    from tensorflow_model_analysis.metrics import metric_types

    keras = tf.keras.metrics
    keras_names = (n for n in dir(keras) if isinstance(getattr(keras, n), type) and issubclass(getattr(keras, n), keras.Metric))
    return {*metric_types.registered_metrics(), *keras_names} - {"Metric", "MeanMetricWrapper"}


def value_names(name: str) -> set[str]:
    """Returns the keys under which TFMA would report single values for a metric and check thresholds on it."""
    import tensorflow_model_analysis as tfma
    from tensorflow_model_analysis.metrics import metric_specs

    gate = GateConfig(thresholds={name: Bounds(min=0.0)})
    config = tfma.utils.update_eval_config_with_defaults(eval_config(gate, label_key="label", prediction_key="scores"))
    checked = tfma.metrics.metric_thresholds_from_metrics_specs(config.metrics_specs, eval_config=config)
    computed = metric_specs.to_computations(config.metrics_specs, config)
    values = {key.name for computation in computed for key in computation.keys if type(key) is tfma.metrics.MetricKey}
    return values & {key.name for key in checked}


def without_thresholds(config: "tfma.EvalConfig") -> "tfma.EvalConfig":
    """Returns a copy that computes the same metrics and judges nothing; an Evaluator then emits no blessing."""
    import tensorflow_model_analysis as tfma

    report_only = tfma.EvalConfig()
    report_only.CopyFrom(config)
    for spec in report_only.metrics_specs:
        for metric in spec.metrics:
            del metric.per_slice_thresholds[:]
    return report_only
