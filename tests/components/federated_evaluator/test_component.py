"""The node in a pipeline."""

from __future__ import annotations

import json

import pytest
from tfx import types
from tfx.types import standard_artifacts

from components.artifacts import FederatedExamples
from components.federated_evaluator.component import FederatedEvaluator
from errors import ConfigError

WIRED = {
    "federated_examples": types.Channel(type=FederatedExamples),
    "model": types.Channel(type=standard_artifacts.Model),
    "module": "module",
    "module_digest": "0",
    "kind": "regression",
    "min_clients": 10,
}


def test_all_metrics_of_the_kind_are_measured_unless_told_otherwise() -> None:
    node = FederatedEvaluator(**WIRED)
    assert json.loads(node.exec_properties["metrics"]) == ["MeanAbsoluteError", "MeanSquaredError", "RootMeanSquaredError"]
    assert set(node.outputs) == {"client_metrics"}
    assert "served" not in node.inputs
    assert "served" in FederatedEvaluator(**WIRED, served=types.Channel(type=standard_artifacts.Model)).inputs


@pytest.mark.parametrize("wrong", [{"kind": "ranking"}, {"metrics": ["AUC"]}, {"min_clients": 0}, {"batch_size": 0}])
def test_what_cannot_be_measured_is_refused_at_once(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        FederatedEvaluator(**{**WIRED, **wrong})
