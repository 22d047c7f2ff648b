"""The Evaluator node on real artifacts: what it analyses, what it does not, and what its evaluation says it is about."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from tfx.types import standard_artifacts

from components import evidence
from components.artifacts import PairedScores, ServingReport
from errors import DataError, IntegrityError
from pipeline.metrics import metrics_of

pytestmark = pytest.mark.slow  # TFMA's import alone takes over 10 s


SECRET = "Ann-4711"


def written(folder: Path, region: bytes) -> Any:
    """Twenty examples whose label is x; the last one is of that region."""
    (folder / "Split-eval").mkdir(parents=True)
    with tf.io.TFRecordWriter(str(folder / "Split-eval" / "data.gz"), "GZIP") as writer:
        for index in range(20):
            texts = {"name": SECRET.encode(), "region": region if index == 19 else b"north"}
            features = {
                "x": tf.train.Feature(float_list=tf.train.FloatList(value=[index % 2])),
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[index % 2])),
                **{key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text])) for key, text in texts.items()},
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    artifact = standard_artifacts.Examples()
    artifact.uri, artifact.id, artifact.split_names = str(folder), 1, '["eval"]'
    return artifact


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return written(tmp_path_factory.mktemp("data") / "examples", b"south")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A Model that says label = x."""
    return saved(tmp_path_factory.mktemp("model"), 7, {"x": tf.io.FixedLenFeature([1], tf.float32)})


@pytest.fixture(scope="module")
def of_the_past(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A Model that needs a column which the examples no longer have."""
    needs = {"x": tf.io.FixedLenFeature([1], tf.float32), "age": tf.io.FixedLenFeature([], tf.float32)}
    return saved(tmp_path_factory.mktemp("past"), 6, needs)


def saved(folder: Path, model_id: int, features: dict[str, Any]) -> Any:
    inputs = tf.keras.Input((1,), name="x")
    dense = tf.keras.layers.Dense(2, activation="softmax")
    network = tf.keras.Model(inputs, dense(inputs))
    dense.set_weights([np.array([[-4.0, 4.0]]), np.array([2.0, -2.0])])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve_examples(serialized: Any) -> dict[str, Any]:
        return {"scores": network(tf.io.parse_example(serialized, features)["x"])}

    network.save(str(folder / "Format-Serving"), save_format="tf", signatures={"serve_examples": serve_examples})
    artifact = standard_artifacts.Model()
    artifact.uri, artifact.id = str(folder), model_id
    return artifact


def found(kind: type, folder: Path, file: str, content: dict[str, Any], model: Any) -> Any:
    """A finding as a judge leaves it."""
    folder.mkdir(parents=True)
    (folder / file).write_text(json.dumps(content))
    finding = kind()
    finding.uri = str(folder)
    evidence.record(finding, model)
    return finding


def eval_config() -> str:
    """By accuracy, overall and by region, with a baseline if there is one."""
    from google.protobuf import json_format

    metric = tfma.MetricConfig(class_name="SparseCategoricalAccuracy")
    keys = {"signature_name": "serve_examples", "label_key": "label", "prediction_key": "scores"}
    config = tfma.EvalConfig(
        model_specs=[tfma.ModelSpec(**keys)],
        metrics_specs=[tfma.MetricsSpec(metrics=[metric])],
        slicing_specs=[tfma.SlicingSpec(), tfma.SlicingSpec(feature_keys=["region"])],
    )
    return str(json_format.MessageToJson(config))


def evaluated(examples: Any, model: Any, folder: Path, loadable: bool = True, served: Any = None, **found_out: Any) -> Any:
    """The evaluation of a run of the node."""
    from components.model_evaluator.executor import Executor

    scores = {"evaluated": loadable, "examples": 20, "non_finite": {"candidate": 0}, "problems": {}, **found_out}
    inputs = {
        "examples": [examples],
        "model": [model],
        "serving_report": [found(ServingReport, folder / "report", "serving_report.json", {"loadable": loadable}, model)],
        "paired_scores": [found(PairedScores, folder / "scores", "summary.json", scores, model)],
    }
    if served is not None:
        inputs["baseline_model"] = [served]
    return done(Executor(), inputs, folder)


def done(executor: Any, inputs: dict[str, Any], folder: Path) -> Any:
    evaluation = standard_artifacts.ModelEvaluation()
    evaluation.uri = str(folder / "evaluation")
    executor.Do(inputs, {"evaluation": [evaluation]}, {"eval_config": eval_config()})
    return evaluation


def test_sound_model_is_analysed_and_the_evaluation_says_whose_it_is(examples: Any, model: Any, tmp_path: Path) -> None:
    evaluation = evaluated(examples, model, tmp_path)
    assert metrics_of(evaluation.uri, tfma.CANDIDATE_KEY) == {"sparse_categorical_accuracy": 1.0}
    assert evidence.problem(evaluation, model) is None
    other = standard_artifacts.Model()
    other.uri, other.id = model.uri, model.id + 1
    assert "about model 7, not about model 8" in str(evidence.problem(evaluation, other))


@pytest.mark.parametrize(
    ("finding", "reason"),
    [
        ({"loadable": False}, "must not be loaded"),
        ({"non_finite": {"candidate": 3}}, "3 of its 20 predictions are not finite"),
        ({"non_finite": {"candidate": 20}, "problems": {"candidate": "it failed"}}, "it failed"),
    ],
)
def test_unfit_model_is_not_analysed(examples: Any, tmp_path: Path, finding: dict[str, Any], reason: str) -> None:
    unloadable = standard_artifacts.Model()
    unloadable.uri, unloadable.id = str(tmp_path / "model"), 8
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "not-a-model").touch()
    evaluation = evaluated(examples, unloadable, tmp_path / "run", **finding)
    assert reason in json.loads(Path(evaluation.uri, "not_evaluated.json").read_text())["reason"]
    assert evidence.problem(evaluation, unloadable) is None


def test_served_model_that_cannot_answer_is_left_out(
    examples: Any, model: Any, of_the_past: Any, tmp_path: Path, caplog: Any
) -> None:
    from components.deploy_gate.evaluation import read

    found_out = {"non_finite": {"candidate": 0, "served": 20}, "problems": {"served": "it failed"}}
    evaluation = evaluated(examples, model, tmp_path, served=of_the_past, **found_out)
    assert evidence.problem(evaluation, model, of_the_past) is None  # it stands beside it, though there was nothing to measure
    assert read(evaluation.uri).slices[()].keys() == {"candidate"}
    assert "The served model is not analysed" in caplog.text


def test_model_that_fails_unforeseen_is_one_line(
    examples: Any, model: Any, of_the_past: Any, tmp_path: Path, caplog: Any
) -> None:
    told = told_of(lambda: evaluated(examples, model, tmp_path, served=of_the_past), caplog)
    assert "could not be analysed: a record lacks the feature 'age' of type float" in told


def told_of(work: Callable[[], Any], caplog: Any) -> str:
    """The one line that comes of a failure, of which nothing anywhere quotes an example."""
    caplog.set_level(logging.INFO)
    with pytest.raises(DataError) as refused:
        work()
    printed = "".join(traceback.format_exception(refused.value))
    assert SECRET not in printed + caplog.text
    assert refused.value.__cause__ is refused.value.__context__ is None
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_text_that_is_none_is_one_line_without_it(model: Any, tmp_path: Path, caplog: Any) -> None:
    examples = written(tmp_path / "examples", b"K\xf6ln' \"" + SECRET.encode())
    told = told_of(lambda: evaluated(examples, model, tmp_path / "run"), caplog)
    assert told.startswith("a feature to slice by holds text that is not UTF-8: 'region';")
    assert "ln'" not in told + caplog.text


def test_baseline_that_cannot_be_analysed_is_only_not_reported(
    examples: Any, of_the_past: Any, tmp_path: Path, caplog: Any
) -> None:
    from components.model_evaluator.reporting import TolerantExecutor

    evaluation = done(TolerantExecutor(), {"examples": [examples], "model": [of_the_past]}, tmp_path)
    assert metrics_of(evaluation.uri, tfma.CANDIDATE_KEY) is None
    assert "lacks the feature 'age'" in json.loads(Path(evaluation.uri, "not_evaluated.json").read_text())["reason"]
    assert SECRET not in caplog.text


def test_edited_finding_stops_the_node(examples: Any, model: Any, tmp_path: Path) -> None:
    from components.model_evaluator.executor import Executor

    report = found(ServingReport, tmp_path / "report", "serving_report.json", {"loadable": False}, model)
    Path(report.uri, "serving_report.json").write_text(json.dumps({"loadable": True}))
    evaluation = standard_artifacts.ModelEvaluation()
    evaluation.uri = str(tmp_path / "evaluation")
    with pytest.raises(IntegrityError, match="--from ServingCheck"):
        Executor().Do({"examples": [examples], "model": [model], "serving_report": [report]}, {"evaluation": [evaluation]}, {})
