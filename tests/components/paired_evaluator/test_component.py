"""The node in a pipeline."""

from __future__ import annotations

import json

import pytest
from tfx import types
from tfx.types import standard_artifacts

from components.paired_evaluator.component import PairedEvaluator
from errors import ConfigError

MODEL = types.Channel(type=standard_artifacts.Model)
WIRED = {
    "examples": types.Channel(type=standard_artifacts.Examples),
    "model": MODEL,
    "module": "module",
    "module_digest": "0",
    "kind": "classes",
}


def test_all_metrics_of_the_kind_are_measured_unless_told_otherwise() -> None:
    node = PairedEvaluator(**WIRED, served=MODEL, baseline=MODEL)
    metrics = ["SparseCategoricalAccuracy", "SparseCategoricalCrossentropy"]
    assert json.loads(node.exec_properties["metrics"]) == metrics
    assert json.loads(PairedEvaluator(**WIRED, metrics=metrics[1:]).exec_properties["metrics"]) == metrics[1:]
    assert set(node.inputs) == {"examples", "model", "served", "baseline"}


@pytest.mark.parametrize("wrong", [{"kind": "ranking"}, {"metrics": ["AUC"]}, {"batch_size": 0}])
def test_what_cannot_be_measured_is_refused_at_once(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        PairedEvaluator(**{**WIRED, **wrong})
