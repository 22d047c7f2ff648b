"""The Evaluator's verdict in words, from ValidationResults and metrics in TFMA's own protocol buffers and files."""

from __future__ import annotations

import math

import pandas as pd
import pytest
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import validation_result_pb2

from pipeline import gate as gates
from pipeline.config import Bounds, GateConfig
from pipeline.decision import decide, metrics_of

ACCURACY, LOSS = "sparse_categorical_accuracy", "sparse_categorical_crossentropy"
GATE = GateConfig(
    thresholds={"SparseCategoricalAccuracy": Bounds(min=0.95), "SparseCategoricalCrossentropy": Bounds(min=0, max=0.5)},
    change={"SparseCategoricalAccuracy": Bounds(min=-0.01), "SparseCategoricalCrossentropy": Bounds(max=0.05)},
)


def failed(name: str, value: float | None, *, change: bool = False, message: str = "", where: tuple[str, bytes] | None = None):
    """A ValidationResult with one failure, as TFMA's validator makes it."""
    result = validation_result_pb2.ValidationResult()
    per_slice = result.metric_validations_per_slice.add()
    if where:
        per_slice.slice_key.single_slice_keys.add(column=where[0], bytes_value=where[1])
    failure = per_slice.failures.add(message=message)
    failure.metric_key.name, failure.metric_key.is_diff = name, change
    if value is not None:
        failure.metric_value.double_value.value = value
    return result


def reasons(validation, served: dict[str, float] | None = None) -> tuple[str, ...]:
    decision = decide(GATE, False, validation, {ACCURACY: 0.5}, served)
    assert not decision.blessed
    return decision.reasons


@pytest.mark.parametrize(
    ("validation", "reason"),
    [
        (failed(ACCURACY, 0.9123), "SparseCategoricalAccuracy is 0.9123; required at least 0.95"),
        (failed(LOSS, 0.75), "SparseCategoricalCrossentropy is 0.7500; required at least 0 and at most 0.5"),
        (failed(LOSS, math.nan), "SparseCategoricalCrossentropy is nan; required at least 0 and at most 0.5"),
        (
            failed(ACCURACY, -0.02, change=True),
            "the change of SparseCategoricalAccuracy is -0.0200; required at least -0.01",
        ),
        (failed(LOSS, 0.1, change=True), "the change of SparseCategoricalCrossentropy is +0.1000; required at most +0.05"),
        (
            failed(ACCURACY, None, message="Metric not found."),
            "SparseCategoricalAccuracy is not known (Metric not found); required at least 0.95",
        ),
        (
            failed(ACCURACY, 0.5, where=("species", b"Gentoo")),
            "SparseCategoricalAccuracy where species is Gentoo is 0.5000; required at least 0.95",
        ),
    ],
    ids=["below min", "above max", "nan", "fell too far", "rose too far", "not found", "slice"],
)
def test_refusal_names_the_metric_what_was_seen_and_what_was_required(validation, reason):
    assert reasons(validation, {ACCURACY: 0.93, LOSS: 0.4}) == (reason,)


def test_every_failure_is_a_reason():
    both = failed(ACCURACY, 0.9)
    both.metric_validations_per_slice.extend(failed(LOSS, 0.6).metric_validations_per_slice)
    assert [reason.split()[0] for reason in reasons(both)] == ["SparseCategoricalAccuracy", "SparseCategoricalCrossentropy"]


def test_change_from_exactly_zero_is_explained():
    (reason,) = reasons(failed(ACCURACY, 0.96, change=True), {ACCURACY: 0.0})
    assert reason.endswith("is +0.9600; required at least -0.01, and TFMA accepts no change from exactly 0")


def test_nothing_to_judge_on_is_a_reason():
    nothing = validation_result_pb2.ValidationResult()
    nothing.missing_slices.add()
    assert reasons(nothing) == ("there were no examples to judge the model on; check the eval split",)


def test_refusal_without_a_reason_says_so():
    (reason,) = reasons(validation_result_pb2.ValidationResult())
    assert reason.startswith("the Evaluator gave neither a blessing nor a reason")


def test_blessing_tells_every_check_that_was_passed():
    passed = validation_result_pb2.ValidationResult(validation_ok=True)
    decision = decide(GATE, True, passed, {ACCURACY: 0.96, LOSS: 0.1}, {ACCURACY: 0.95, LOSS: 0.2})
    assert decision.blessed
    assert decision.reasons == (
        "SparseCategoricalAccuracy is 0.9600; required at least 0.95",
        "SparseCategoricalCrossentropy is 0.1000; required at least 0 and at most 0.5",
        "the change of SparseCategoricalAccuracy is +0.0100; required at least -0.01",
        "the change of SparseCategoricalCrossentropy is -0.1000; required at most +0.05",
    )


def test_blessing_without_another_served_model_says_that_no_change_was_checked():
    passed = validation_result_pb2.ValidationResult(validation_ok=True)
    decision = decide(GATE, True, passed, {ACCURACY: 0.96, LOSS: 0.1}, None)
    assert decision.reasons[2:] == (
        "the change of SparseCategoricalAccuracy was not checked: no other model is served to compare with",
        "the change of SparseCategoricalCrossentropy was not checked: no other model is served to compare with",
    )


@pytest.mark.slow
def test_metrics_are_the_overall_ones_by_tfmas_names(tmp_path):
    gate = GateConfig(thresholds={"MeanAbsoluteError": Bounds(max=1)}, slices=(("species",),))
    config = gates.eval_config(gate, label_key="label", prediction_key="prediction")
    examples = pd.DataFrame({"label": [0.0, 2.0], "prediction": [1.0, 2.0], "species": ["a", "b"]})
    tfma.analyze_raw_data(examples, config, output_path=str(tmp_path))
    assert metrics_of(str(tmp_path), tfma.CANDIDATE_KEY) == {"mean_absolute_error": 0.5, "example_count": 2.0}
    assert metrics_of(str(tmp_path), tfma.BASELINE_KEY) is None
