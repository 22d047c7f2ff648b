"""What the Evaluator computes, and what of it TFMA judges by itself. Nothing here reads data or models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from components.deploy_gate.metric_names import metric_config
from components.scores import PRINCIPAL

if TYPE_CHECKING:
    import tensorflow_model_analysis as tfma

SIGNATURE = "serve_examples"
"""The signature that the Evaluator calls; it takes serialized tf.Examples."""

ALWAYS = "ExampleCount"
"""The metric that is reported whatever the config says."""


def eval_config(settings: Mapping[str, Any], *, label_key: str, prediction_key: str) -> tfma.EvalConfig:
    """Returns the EvalConfig by which the Evaluator measures a model, and the served one beside it.

    It holds every metric and every slice that the gate looks at, and the bounds over all examples. Everything else is for
    DeployGate to judge: TFMA drops a bound on a change where there is no served model, refuses a change from exactly 0, and
    judges slices however small. Thresholds name the overall slice, for one that names no slice holds for every slice.

    Args:
      settings: the gate's settings, as `GateConfig.settings` gives them.
      label_key: the feature that holds the label.
      prediction_key: the output of the signature `serve_examples` that the metrics take as prediction.
    """
    import tensorflow_model_analysis as tfma

    by_feature = [tfma.SlicingSpec(feature_keys=cut["features"]) for cut in settings["slices"]]
    return tfma.EvalConfig(
        model_specs=[tfma.ModelSpec(signature_name=SIGNATURE, label_key=label_key, prediction_key=prediction_key)],
        slicing_specs=[tfma.SlicingSpec(), *by_feature],
        metrics_specs=[tfma.MetricsSpec(metrics=[_metric(name, settings) for name in metric_names(settings)])],
    )


def metric_names(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the class names of all metrics that the Evaluator computes, each once: those with bounds first."""
    bounded = [*settings["thresholds"], *settings["change"]]
    in_slices = [name for cut in settings["slices"] for name in (*cut["thresholds"], *cut["change"])]
    reported = [*settings["metrics"], PRINCIPAL[settings["kind"]], ALWAYS]
    return tuple(dict.fromkeys([*bounded, *in_slices, *reported]))


def without_thresholds(config: tfma.EvalConfig) -> tfma.EvalConfig:
    """Returns a copy that computes the same metrics and judges nothing; an Evaluator then emits no blessing."""
    import tensorflow_model_analysis as tfma

    report_only = tfma.EvalConfig()
    report_only.CopyFrom(config)
    for spec in report_only.metrics_specs:
        for metric in spec.metrics:
            del metric.per_slice_thresholds[:]
    return report_only


def _metric(name: str, settings: Mapping[str, Any]) -> tfma.MetricConfig:
    """An Evaluator without any threshold emits no blessing, so there is one that holds wherever there are examples."""
    import tensorflow_model_analysis as tfma

    judged = {ALWAYS: {"min": 1, "max": None}, **settings["thresholds"]}
    config = metric_config(name, settings["parameters"].get(name))
    if name in judged:
        threshold = tfma.MetricThreshold(value_threshold=_value_threshold(judged[name]))
        config.per_slice_thresholds.add(slicing_specs=[tfma.SlicingSpec()], threshold=threshold)
    return config


def _value_threshold(bounds: Mapping[str, float | None]) -> tfma.GenericValueThreshold:
    import tensorflow_model_analysis as tfma

    threshold = tfma.GenericValueThreshold()
    if bounds["min"] is not None:
        threshold.lower_bound.value = bounds["min"]
    if bounds["max"] is not None:
        threshold.upper_bound.value = bounds["max"]
    return threshold
