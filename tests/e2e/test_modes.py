"""Whole runs without a federated training, and with one that begins with the centralised model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

CONFIG = "examples/digits/config.yaml"
CENTRALISED = ("--set", "train={mode: centralised}", "--set", "split=", "--set", "baseline.epochs=8")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def centralised(checkout: Any) -> Any:
    return checkout.run(CONFIG, *CENTRALISED)


def test_centralised_model_is_judged_and_goes_live_without_anything_federated(checkout: Any, centralised: Any) -> None:
    assert centralised.code == 0, centralised
    assert not {"FederatedSplit", "FederatedTrainer", "BaselineEvaluator"} & centralised.states.keys()
    assert centralised.result["metrics"]["federated"] is None
    assert centralised.result["metrics"]["baseline"]["sparse_categorical_accuracy"] >= 0.95
    assert "BLESSED: the centralised model is pushed" in centralised.screen


def test_centralised_model_that_was_altered_is_found_out_by_its_digest(checkout: Any, centralised: Any) -> None:
    (graph,) = Path(checkout.path, "pipeline_root", "digits", "Trainer", "model").glob("*/Format-Serving/saved_model.pb")
    whole = graph.read_bytes()
    graph.write_bytes(whole + b"\n")
    try:
        run = checkout.run(CONFIG, *CENTRALISED)
    finally:
        graph.write_bytes(whole)
    assert run.code == 1, run
    assert run.errors.startswith("error: Trainer failed: Trainer's model at ")
    assert run.errors.rstrip().endswith("run again with --from Trainer")


def test_federated_training_goes_on_from_the_baseline_that_was_stopped(checkout: Any) -> None:
    start = ["--set", "train.mode=warm_start", "--set", "train.rounds=2", "--set", "baseline.stop_at=0.7"]
    run = checkout.run(CONFIG, *start, "--set", "gate.change={}", "--set", "gate.thresholds.SparseCategoricalAccuracy.min=0.6")
    assert run.code == 0, run
    assert "stopped at accuracy 0.7" in run.screen
    metrics = run.result["metrics"]
    assert metrics["baseline"]["sparse_categorical_accuracy"] >= 0.6  # by other examples than those it was stopped by
    assert metrics["federated"]["sparse_categorical_accuracy"] > metrics["baseline"]["sparse_categorical_accuracy"]
    assert "BLESSED: the warm-started federated model is pushed" in run.screen
