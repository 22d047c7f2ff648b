"""Which judges a config's DAG has, and whether they compare with what is served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config import PipelineConfig, load
from pipeline.gate import compares, judges
from pipeline.gate_config import GateConfig
from pipeline.strict_yaml import build

DIGITS = Path(__file__).parents[3] / "examples" / "digits" / "config.yaml"
ALWAYS = ["ServingCheck", "PairedEvaluator", "Evaluator"]


def config_of(*overrides: str) -> PipelineConfig:
    return load(DIGITS, ["split={strategy: iid, clients: 20}", *overrides])


def test_clients_are_judged_where_something_is_held_out() -> None:
    assert judges(config_of()) == ALWAYS
    assert judges(config_of("split.holdout=0.2")) == [*ALWAYS, "FederatedEvaluator"]
    assert judges(config_of("split.holdout_clients=5")) == [*ALWAYS, "FederatedEvaluator"]
    assert judges(config_of("split.holdout=0.2", "train={mode: centralised}")) == ALWAYS


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        ({}, True),
        ({"change": {}}, False),
        ({"change": {}, "slices": [{"features": "a", "thresholds": {"AUC": {"min": 0}}}]}, False),
        ({"change": {}, "slices": [{"features": "a", "change": {"AUC": {"min": 0}}}]}, True),
        ({"change": {}, "clients": {}}, False),
        ({"change": {}, "clients": {"worsened": {"by": 0, "max_share": 0}}}, True),
    ],
)
def test_gate_that_looks_at_what_is_served_is_known_as_such(gate: dict[str, Any], expected: bool) -> None:
    assert compares(build(GateConfig, gate).settings("classes", 42)) is expected
