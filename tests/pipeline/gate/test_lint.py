"""What the lint of a gate refuses, on real modules and with TFMA's own metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from errors import ConfigError
from modeling import contract
from pipeline.config import from_dict
from pipeline.gate import kind, lint
from pipeline.gate.lint import lint_quickly

MODULE = """
import tensorflow as tf

FEATURES = {name: tf.io.FixedLenFeature([], tf.float32) for name in ("x", "z", "label")}
LABEL_KEY = "label"


def preprocess(raw):
    return tf.stack([raw["x"], raw["z"]], axis=-1)


def build_model():
    return tf.keras.Sequential([tf.keras.layers.Input([2]), tf.keras.layers.Dense(1{activation})])


def build_loss():
    return tf.keras.losses.{loss}


def build_metrics():
    return []


def run_fn(fn_args):
    pass
"""
ACCURACY = "SparseCategoricalAccuracy"


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, contract.ModelModule]:
    """A module of each kind, and one that would serve logits."""
    folder = tmp_path_factory.mktemp("modules")
    losses = {"binary": "BinaryCrossentropy()", "regression": "MeanSquaredError()"}
    losses["logits"] = "BinaryCrossentropy(from_logits=True)"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        made = {"classes": contract.load("examples.digits.digits_model")}
        for name, loss in losses.items():
            activation = ', "sigmoid"' if name == "binary" else ""
            source = MODULE.replace("{loss}", loss).replace("{activation}", activation)
            Path(folder, f"gated_{name}_model.py").write_text(source, encoding="utf-8")
            made[name] = contract.load(f"gated_{name}_model")
    return made


def config_of(gate: dict[str, Any], **others: Any) -> Any:
    base = {
        "name": "gated",
        "model": "examples.digits.digits_model",
        "data": {"format": "digits"},
        "split": {"strategy": "iid", "clients": 10, "holdout": 0.2},
        "train": {"rounds": 5, "clients_per_round": 3},
    }
    return from_dict({**base, **others, "gate": gate})


def refusal(call: Any, *arguments: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_kind_is_told_by_labels_and_loss(modules) -> None:
    assert [kind(modules[name]) for name in ("classes", "binary", "regression")] == ["classes", "binary", "regression"]


def test_binary_model_that_would_serve_logits_is_refused(modules) -> None:
    message = refusal(kind, modules["logits"])
    assert message.startswith("gated_logits_model: the loss takes logits, so the model would serve logits; add a postprocess")


def test_features_of_slices_must_be_the_modules_or_the_curated_schemas(modules, tmp_path) -> None:
    sliced = {"slices": ["x", ["z", "island"]]}
    message = refusal(lint_quickly, config_of(sliced), modules["regression"])
    assert message == (
        "gate.slices: no feature 'island'; known: label, x, z; of others, data.schema must say that they are there"
    )
    schema = tmp_path / "schema.pbtxt"
    schema.write_text('feature { name: "island" type: BYTES }\n', encoding="utf-8")
    data = {"format": "digits", "schema": str(schema)}
    assert lint_quickly(config_of(sliced, data=data), modules["regression"])["slices"][1]["features"] == ["z", "island"]
    message = refusal(lint_quickly, config_of({"slices": ["iland"]}, data=data), modules["regression"])
    assert message == "gate.slices: no feature 'iland'; did you mean 'island'? known: island, label, x, z"


@pytest.mark.parametrize(
    ("name", "gate", "message"),
    [
        (
            "classes",
            {"clients": {"metric": "AUC"}},
            "gate.clients.metric: expected one of SparseCategoricalAccuracy, Sp",
        ),
        ("binary", {"baseline": {"metric": "AUC"}}, "gate.baseline.metric: expected one of BinaryAccuracy, BinaryCrossen"),
        ("classes", {"baseline": {"metric": "SparseCategoricalAcuracy"}}, "gate.baseline.metric: expected"),
        (
            "classes",
            {"parameters": {"AUC": {"num_thresholds": 9}}},
            "gate.parameters: 'AUC' is not a metric of this gate; known:",
        ),
    ],
)
def test_what_the_gate_itself_cannot_work_with_is_refused_without_tfma(modules, name, gate, message) -> None:
    assert refusal(lint_quickly, config_of(gate), modules[name]).startswith(message)


def test_metrics_of_clients_beyond_single_examples_are_accepted(modules) -> None:
    assert lint_quickly(config_of({"clients": {"metric": "AUC"}}), modules["binary"])["clients"]["metric"] == "AUC"
    assert lint_quickly(config_of({"clients": {"metric": "RootMeanSquaredError"}}), modules["regression"])


def test_a_file_of_approvals_that_cannot_be_used_is_refused(modules, tmp_path) -> None:
    file = tmp_path / "approvals.yaml"
    file.write_text("approvals: 5\n", encoding="utf-8")
    assert str(file) in refusal(lint_quickly, config_of({"approvals": str(file)}), modules["classes"])


def test_check_that_this_gate_does_not_make_is_refused_in_an_approval_unless_it_has_expired(modules, tmp_path) -> None:
    file = tmp_path / "approvals.yaml"
    entry = "{action: force, model: 3f9a0c51d2e4, by: Ada, reason: a study, expires: '%s-01-01T00:00:00Z', checks: [%s]}"
    gate = {"approvals": str(file), "serving": {"max_p99_ms": 50}}

    def approve(year: int, checks: str) -> None:
        file.write_text(f"approvals:\n  - {entry % (year, checks)}\n", encoding="utf-8")

    approve(9000, "serving/p99, serving/p9")
    assert refusal(lint_quickly, config_of(gate), modules["classes"]) == (
        f"{file}: approvals[0]: checks: this gate makes no check 'serving/p9'; did you mean 'serving/p99'?"
    )
    approve(9000, "first-deploy, qqq")
    message = refusal(lint_quickly, config_of(gate), modules["classes"])
    assert message.endswith("no check 'qqq'; the ids are in what `python -m pipeline.gate explain --json` prints")
    for year, checks in ((9000, "serving/p99, first-deploy, infra/blessed"), (2020, "serving/p9")):
        approve(year, checks)
        assert lint_quickly(config_of(gate), modules["classes"])


def test_operations_that_tensorflow_does_not_have_cannot_be_allowed(modules) -> None:
    message = refusal(lint_quickly, config_of({"serving": {"allowed_ops": ["ReadFil"]}}), modules["regression"])
    assert message == "gate.serving.allowed_ops: TensorFlow has no operation 'ReadFil'; did you mean 'ReadFile'?"
    message = refusal(lint_quickly, config_of({"serving": {"allowed_ops": ["__file__"]}}), modules["regression"])
    assert message.startswith("gate.serving.allowed_ops: TensorFlow has no operation '__file__'")
    assert lint_quickly(config_of({"serving": {"allowed_ops": ["PyFunc", "Lambda"]}}), modules["regression"])


@pytest.mark.slow  # TFMA's import
@pytest.mark.parametrize(
    ("name", "gate"),
    [
        ("classes", {}),
        (
            "classes",
            {
                "thresholds": {ACCURACY: {"min": 0.9}, "SparseTopKCategoricalAccuracy": {"min": 0.9}},
                "metrics": ["AUC", "MultiClassConfusionMatrixPlot", "Precision", "MeanSquaredError"],
                "parameters": {"SparseTopKCategoricalAccuracy": {"k": 3}, "Precision": {"class_id": 1}},
                "slices": [{"features": "label", "thresholds": {"Recall": {"min": 0.5}}}],
            },
        ),
        ("binary", {"thresholds": {"AUC": {"min": 0.8}, "BinaryAccuracy": {"min": 0.8}}, "metrics": ["CalibrationPlot"]}),
        (
            "regression",
            {"thresholds": {"RootMeanSquaredError": {"max": 3}, "R2Score": {"min": 0.5}}, "metrics": ["Calibration"]},
        ),
    ],
)
def test_gate_that_every_judge_can_work_with_passes(modules, name, gate) -> None:
    lint(config_of(gate), modules[name])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "gate", "message"),
    [
        (
            "classes",
            {"metrics": [f"{ACCURACY}s"]},
            "gate.metrics: unknown metric 'SparseCategoricalAccuracys'; did you mean 'Sp",
        ),
        (
            "classes",
            {"thresholds": {"sparse_categorical_accuracy": {"min": 0.9}}},
            "gate.thresholds: unknown metric 'sparse_categorical_accuracy'; did you mean 'SparseCategoricalAccuracy'?",
        ),
        (
            "classes",
            {"change": {"Zzz": {"min": 0}}},
            "gate.change: unknown metric 'Zzz'; expected a metric class of tfma.metrics or",
        ),
        (
            "classes",
            {"slices": [{"features": "label", "change": {"Zzz": {"min": 0}}}]},
            "gate.slices.change: unknown metric 'Zzz'",
        ),
        ("classes", {"metrics": ["MeanIoU"]}, "gate.metrics: metric 'MeanIoU' cannot be made without parameters"),
        (
            "classes",
            {"metrics": ["AUC"], "parameters": {"AUC": {"curvee": "PR"}}},
            "gate.metrics: metric 'AUC' cannot be made with parameters {'curvee': 'PR'} (",
        ),
        (
            "classes",
            {"thresholds": {"CalibrationPlot": {"min": 0}}},
            "gate.thresholds: metric 'CalibrationPlot' has no single value to compare; list it under gate.metrics",
        ),
        (
            "regression",
            {"thresholds": {"AUC": {"min": 0.8}}},
            "gate.thresholds: metric 'AUC' does not fit a model of the kind regression (label must be within [0, 1]); choose",
        ),
        (
            "regression",
            {"thresholds": {ACCURACY: {"min": 0.8}}},
            "gate.thresholds: metric 'SparseCategoricalAccuracy' does not fit a model of the kind regression (it is for",
        ),
        (
            "regression",
            {"metrics": ["BinaryCrossentropy"]},
            "gate.metrics: metric 'BinaryCrossentropy' does not fit a model of",
        ),
        ("binary", {"metrics": ["CategoricalCrossEntropy"]}, "gate.metrics: metric 'CategoricalCrossEntropy' does not fit a"),
        *(
            (
                "classes",
                {"metrics": [name]},
                f"gate.metrics: metric {name!r} does not fit a model of the kind classes (it is for {meant_for}); choose"
                f" another, such as {instead}",
            )
            for name, meant_for, instead in (
                ("BinaryAccuracy", "one probability in each answer", "SparseCategoricalAccuracy"),
                ("BinaryCrossentropy", "one probability in each answer", "SparseCategoricalCrossentropy"),
                ("CategoricalCrossEntropy", "labels in one-hot form", "SparseCategoricalCrossentropy"),
                ("TopKCategoricalAccuracy", "labels in one-hot form", "SparseTopKCategoricalAccuracy"),
                ("RootMeanSquaredError", "labels that are numbers, not classes", "SparseCategoricalAccuracy"),
            )
        ),
        (
            "classes",
            {"metrics": ["Accuracy"]},
            "gate.metrics: metric 'Accuracy' does not fit a model of the kind classes (Shapes",
        ),
        (
            "classes",
            {"metrics": ["MeanAttributions"]},
            "gate.metrics: metric 'MeanAttributions' does not fit a model of the kind",
        ),
    ],
)
def test_what_would_fail_after_training_is_refused_in_one_line(modules, name, gate, message) -> None:
    assert refusal(lint, config_of(gate), modules[name]).startswith(message)


@pytest.mark.slow
def test_metric_that_would_change_the_predictions_of_the_others_is_found(modules) -> None:
    from components.deploy_gate.metric_names import metric_config
    from pipeline.gate import trial

    made_up = trial.examples(modules["binary"], "binary")
    assert (
        trial.refusal(metric_config("CategoricalCrossEntropy"), made_up)
        == "it changes the predictions, which all metrics share"
    )
    assert trial.refusal(metric_config("BinaryCrossEntropy"), made_up) is None
