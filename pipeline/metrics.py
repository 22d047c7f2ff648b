"""What the evaluations of a run measured."""

from __future__ import annotations

from collections.abc import Mapping

Metrics = Mapping[str, float]


def metrics_of(evaluation_uri: str, model_name: str) -> Metrics | None:
    """Returns the overall metrics of one of the evaluated models by TFMA's names; None if it was not evaluated.

    Args:
      evaluation_uri: a ModelEvaluation artifact's uri.
      model_name: tfma.CANDIDATE_KEY or tfma.BASELINE_KEY. A model that was evaluated alone has no name and is the candidate.
    """
    import tensorflow_model_analysis as tfma

    names = {model_name, ""} if model_name == tfma.CANDIDATE_KEY else {model_name}
    values: dict[str, float] = {}
    for metrics in tfma.load_metrics(evaluation_uri):
        if metrics.slice_key.single_slice_keys:
            continue
        for item in metrics.metric_keys_and_values:
            if item.key.model_name in names and not item.key.is_diff and item.value.HasField("double_value"):
                values[item.key.name] = item.value.double_value.value
    return values or None
