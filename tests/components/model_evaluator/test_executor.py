"""The Evaluator node on real artifacts: what it analyses, what it does not, and what its evaluation says it is about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components import evidence
from components.artifacts import PairedScores, ServingReport
from errors import IntegrityError

pytestmark = pytest.mark.slow  # TFMA's import alone takes over 10 s
THRESHOLD = 0.7


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Twenty examples whose label is x."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "Split-eval").mkdir()
    with tf.io.TFRecordWriter(str(folder / "Split-eval" / "data.gz"), "GZIP") as writer:
        for index in range(20):
            features = {
                "x": tf.train.Feature(float_list=tf.train.FloatList(value=[index % 2])),
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[index % 2])),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    artifact = standard_artifacts.Examples()
    artifact.uri, artifact.id, artifact.split_names = str(folder), 1, '["eval"]'
    return artifact


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A Model that says label = x."""
    folder = tmp_path_factory.mktemp("model")
    inputs = tf.keras.Input((1,), name="x")
    dense = tf.keras.layers.Dense(2, activation="softmax")
    network = tf.keras.Model(inputs, dense(inputs))
    dense.set_weights([np.array([[-4.0, 4.0]]), np.array([2.0, -2.0])])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve_examples(serialized: Any) -> dict[str, Any]:
        return {"scores": network(tf.io.parse_example(serialized, {"x": tf.io.FixedLenFeature([1], tf.float32)})["x"])}

    network.save(str(folder / "Format-Serving"), save_format="tf", signatures={"serve_examples": serve_examples})
    artifact = standard_artifacts.Model()
    artifact.uri, artifact.id = str(folder), 7
    return artifact


def found(kind: type, folder: Path, file: str, content: dict[str, Any], model: Any) -> Any:
    """A finding as a judge leaves it."""
    folder.mkdir(parents=True)
    (folder / file).write_text(json.dumps(content))
    finding = kind()
    finding.uri = str(folder)
    evidence.record(finding, model)
    return finding


def evaluated(examples: Any, model: Any, folder: Path, loadable: bool = True, non_finite: int = 0) -> tuple[Any, Any]:
    """The evaluation and the blessing of a run of the node."""
    import tensorflow_model_analysis as tfma
    from google.protobuf import json_format

    from components.model_evaluator.executor import Executor

    bound = tfma.MetricThreshold(value_threshold=tfma.GenericValueThreshold(lower_bound={"value": THRESHOLD}))
    metric = tfma.MetricConfig(class_name="SparseCategoricalAccuracy", threshold=bound)
    config = tfma.EvalConfig(
        model_specs=[tfma.ModelSpec(signature_name="serve_examples", label_key="label", prediction_key="scores")],
        metrics_specs=[tfma.MetricsSpec(metrics=[metric])],
    )
    scores = {"evaluated": loadable, "examples": 20, "non_finite": {"candidate": non_finite}}
    inputs = {
        "examples": [examples],
        "model": [model],
        "serving_report": [found(ServingReport, folder / "report", "serving_report.json", {"loadable": loadable}, model)],
        "paired_scores": [found(PairedScores, folder / "scores", "summary.json", scores, model)],
    }
    evaluation, blessing = standard_artifacts.ModelEvaluation(), standard_artifacts.ModelBlessing()
    evaluation.uri, blessing.uri = str(folder / "evaluation"), str(folder / "blessing")
    Executor().Do(
        inputs, {"evaluation": [evaluation], "blessing": [blessing]}, {"eval_config": json_format.MessageToJson(config)}
    )
    return evaluation, blessing


def test_sound_model_is_analysed_and_the_evaluation_says_whose_it_is(examples: Any, model: Any, tmp_path: Path) -> None:
    evaluation, blessing = evaluated(examples, model, tmp_path)
    assert blessing.get_int_custom_property("blessed") == 1
    assert evidence.problem(evaluation, model) is None
    other = standard_artifacts.Model()
    other.uri, other.id = model.uri, model.id + 1
    assert "about model 7, not about model 8" in str(evidence.problem(evaluation, other))


@pytest.mark.parametrize(
    ("finding", "reason"),
    [({"loadable": False}, "must not be loaded"), ({"non_finite": 3}, "3 of its 20 predictions are not finite")],
)
def test_unfit_model_is_not_analysed_and_not_blessed(
    examples: Any, tmp_path: Path, finding: dict[str, Any], reason: str
) -> None:
    unloadable = standard_artifacts.Model()
    unloadable.uri, unloadable.id = str(tmp_path / "model"), 8
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "not-a-model").touch()
    evaluation, blessing = evaluated(examples, unloadable, tmp_path / "run", **finding)
    assert reason in json.loads(Path(evaluation.uri, "not_evaluated.json").read_text())["reason"]
    assert blessing.get_int_custom_property("blessed") == 0
    assert [path.name for path in Path(blessing.uri).iterdir()] == ["NOT_BLESSED"]
    assert blessing.get_int_custom_property("current_model_id") == 8


def test_edited_finding_stops_the_node(examples: Any, model: Any, tmp_path: Path) -> None:
    from components.model_evaluator.executor import Executor

    report = found(ServingReport, tmp_path / "report", "serving_report.json", {"loadable": False}, model)
    Path(report.uri, "serving_report.json").write_text(json.dumps({"loadable": True}))
    evaluation = standard_artifacts.ModelEvaluation()
    evaluation.uri = str(tmp_path / "evaluation")
    with pytest.raises(IntegrityError, match="--from ServingCheck"):
        Executor().Do({"examples": [examples], "model": [model], "serving_report": [report]}, {"evaluation": [evaluation]}, {})
