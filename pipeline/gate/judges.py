"""Which nodes measure the model under test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.config import PipelineConfig


def judges(config: PipelineConfig) -> list[str]:
    """Returns the ids of the judges in the config's DAG, in the order in which they work.

    FederatedEvaluator is there if the split keeps something for evaluation. What an environment adds (InfraValidator, on
    Kubernetes) is not among them.
    """
    always = ["ServingCheck", "PairedEvaluator", "Evaluator"]
    return [*always, "FederatedEvaluator"] if config.evaluates_clients else always


def compares(settings: Mapping[str, Any]) -> bool:
    """Returns whether the gate holds the model under test against the one that is served.

    Args:
      settings: the gate's settings, as `GateConfig.settings` gives them.
    """
    worsened = settings["clients"] and settings["clients"]["worsened"]
    return bool(settings["change"] or worsened or any(cut["change"] for cut in settings["slices"]))
