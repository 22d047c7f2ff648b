"""What the evaluations of a run measured, from TFMA's own files."""

from __future__ import annotations

import pandas as pd
import pytest
import tensorflow_model_analysis as tfma

from pipeline import gate as gates
from pipeline.gate_config import Bounds, GateConfig
from pipeline.metrics import metrics_of


@pytest.mark.slow
def test_metrics_are_the_overall_ones_by_tfmas_names(tmp_path):
    gate = GateConfig(thresholds={"MeanAbsoluteError": Bounds(max=1)}, slices=("species",))
    config = gates.eval_config(gate.settings("regression", 0), label_key="label", prediction_key="prediction")
    examples = pd.DataFrame({"label": [0.0, 2.0], "prediction": [1.0, 2.0], "species": ["a", "b"]})
    tfma.analyze_raw_data(examples, config, output_path=str(tmp_path))
    assert metrics_of(str(tmp_path), tfma.CANDIDATE_KEY) == {
        "mean_absolute_error": 0.5,
        "mean_squared_error": 0.5,
        "example_count": 2.0,
    }
    assert metrics_of(str(tmp_path), tfma.BASELINE_KEY) is None


@pytest.mark.slow
def test_evaluation_that_was_not_made_has_no_metrics(tmp_path):
    (tmp_path / "not_evaluated.json").write_text("{}")
    assert metrics_of(str(tmp_path), tfma.CANDIDATE_KEY) is None
