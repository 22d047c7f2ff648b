"""What the Evaluator computes. Nothing here reads data or models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from components.deploy_gate.metric_names import metric_config
from components.scores import PRINCIPAL
from modeling.export import EXAMPLES_SIGNATURE

if TYPE_CHECKING:
    import tensorflow_model_analysis as tfma

ALWAYS = "ExampleCount"
"""The metric that is reported whatever the config says."""


def eval_config(settings: Mapping[str, Any], *, label_key: str, prediction_key: str) -> tfma.EvalConfig:
    """Returns the EvalConfig by which the Evaluator measures a model, and the served one beside it.

    It holds every metric and every slice that the gate looks at and no limit, so that whoever changes one has nothing measured
    anew; for the same reason the order of the metrics does not depend on which of them have limits.

    Args:
      settings: the gate's settings, as `GateConfig.settings` gives them.
      label_key: the feature that holds the label.
      prediction_key: the output of the signature `serve_examples` that the metrics take as prediction.
    """
    import tensorflow_model_analysis as tfma

    metrics = [metric_config(name, settings["parameters"].get(name)) for name in sorted(metric_names(settings))]
    by_feature = [tfma.SlicingSpec(feature_keys=cut["features"]) for cut in settings["slices"]]
    return tfma.EvalConfig(
        model_specs=[tfma.ModelSpec(signature_name=EXAMPLES_SIGNATURE, label_key=label_key, prediction_key=prediction_key)],
        slicing_specs=[tfma.SlicingSpec(), *by_feature],
        metrics_specs=[tfma.MetricsSpec(metrics=metrics)],
    )


def metric_names(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the class names of all metrics that the Evaluator computes, each once: those with bounds first."""
    bounded = [*settings["thresholds"], *settings["change"]]
    in_slices = [name for cut in settings["slices"] for name in (*cut["thresholds"], *cut["change"])]
    reported = [*settings["metrics"], PRINCIPAL[settings["kind"]], ALWAYS]
    return tuple(dict.fromkeys([*bounded, *in_slices, *reported]))
