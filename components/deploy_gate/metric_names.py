"""By which names TFMA reports a metric that a config names by its class. Takes TFMA's 10 s to import with the first call."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modeling.export import EXAMPLES_SIGNATURE

if TYPE_CHECKING:
    import tensorflow_model_analysis as tfma


def metric_config(name: str, parameters: Mapping[str, Any] | None = None) -> tfma.MetricConfig:
    """Returns TFMA's config of a metric.

    Args:
      name: class of tfma.metrics or tf.keras.metrics.
      parameters: arguments of its constructor, plain values.
    """
    import tensorflow_model_analysis as tfma

    return tfma.MetricConfig(class_name=name, config=json.dumps(dict(parameters), sort_keys=True) if parameters else "")


def value_names(name: str, parameters: Mapping[str, Any] | None = None) -> set[str]:
    """Returns the keys under which TFMA reports the single values of a metric that a bound can hold for.

    Most metrics have one. One that reports a matrix, a plot or text has none, and one with several sub keys (classes, top k)
    reports each of them under the same name.

    Raises:
      Exception: whatever the metric's constructor raises if these parameters do not suit it.
    """
    import tensorflow_model_analysis as tfma
    from tensorflow_model_analysis.metrics import metric_specs

    metric = metric_config(name, parameters)
    threshold = tfma.MetricThreshold(value_threshold=tfma.GenericValueThreshold(lower_bound={"value": 0.0}))
    metric.per_slice_thresholds.add(slicing_specs=[tfma.SlicingSpec()], threshold=threshold)
    config = tfma.EvalConfig(
        model_specs=[tfma.ModelSpec(signature_name=EXAMPLES_SIGNATURE, label_key="label", prediction_key="prediction")],
        slicing_specs=[tfma.SlicingSpec()],
        metrics_specs=[tfma.MetricsSpec(metrics=[metric])],
    )
    config = tfma.utils.update_eval_config_with_defaults(config)
    checked = tfma.metrics.metric_thresholds_from_metrics_specs(config.metrics_specs, eval_config=config)
    computed = metric_specs.to_computations(config.metrics_specs, config)
    values = {key.name for computation in computed for key in computation.keys if type(key) is tfma.metrics.MetricKey}
    return values & {key.name for key in checked}
