"""Models side by side on artifacts and files, on real Beam."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from tfx.types import standard_artifacts

from components import evidence, scores
from components.artifacts import PairedScores
from components.paired_evaluator import executor
from errors import ConfigError, DataError, IntegrityError
from lineage.digests import tree_digest

PROCESSES = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
KERNEL = np.array([[2.0, 0.0, 0.0], [0.0, 1.5, 0.0], [0.0, 0.0, 1.0]])
RANDOM = np.random.default_rng(3)
CLASSES = RANDOM.choice(3, 90, p=[0.5, 0.3, 0.2])
X = np.eye(3)[CLASSES] + RANDOM.normal(scale=0.7, size=[90, 3])


@pytest.fixture
def records(judged_records) -> list[bytes]:
    return judged_records(X, CLASSES)


@pytest.fixture
def evaluate(tmp_path: Path, judged_module) -> Callable[..., Any]:
    """Runs the executor into a new directory of the given name; inputs by keyword."""

    def run(
        out: str, kind: str = "classes", metrics: list[str] | None = None, batch_size: int = 32, beam: Any = (), **inputs: Any
    ) -> PairedScores:
        finding = PairedScores()
        finding.uri = str(tmp_path / out)
        properties = {
            "module": judged_module(kind),
            "module_digest": "0",
            "kind": kind,
            "metrics": json.dumps(scores.chosen(kind, metrics)),
            "batch_size": batch_size,
            "code_version": "1",
        }
        given = {key: value if isinstance(value, list) else [value] for key, value in inputs.items()}
        context = executor.Executor.Context(beam_pipeline_args=list(beam))
        executor.Executor(context).Do(given, {"paired_scores": [finding]}, properties)
        return finding

    return run


def summary(finding: PairedScores) -> dict[str, Any]:
    return json.loads(Path(finding.uri, "summary.json").read_text())


def columns(finding: PairedScores) -> dict[str, np.ndarray]:
    table = pq.read_table(Path(finding.uri, "scores.parquet"))
    return {name: table[name].to_numpy() for name in table.column_names}


@pytest.mark.slow
def test_three_models_are_measured_on_every_example_as_keras_measures_them(
    evaluate, judged_model, judged_examples, records
) -> None:
    import tensorflow as tf

    candidate, constant = judged_model("classes", "good", KERNEL), judged_model("classes", "constant", 0.0, [1, 0, 0])
    broken = judged_model("classes", "nan", np.nan)
    examples = judged_examples("examples", {"a.gz": records[:50], "b.gz": records[50:]})
    finding = evaluate("all", examples=examples, model=candidate, baseline=constant, served=broken)
    told, found = summary(finding), columns(finding)
    assert (told["format"], told["evaluated"], told["examples"]) == (1, True, 90)
    assert told["models"] == ["candidate", "baseline", "served"]
    assert told["non_finite"] == {"candidate": 0, "baseline": 0, "served": 90}
    assert told["means"]["served"] == dict.fromkeys(scores.KINDS["classes"])
    assert set(found) == {f"{model}:{metric}" for model in told["models"] for metric in scores.KINDS["classes"]}
    answers = tf.nn.softmax(X.astype(np.float32) @ KERNEL.astype(np.float32))
    for metric in scores.KINDS["classes"]:
        measure = getattr(tf.keras.metrics, metric)()
        measure.update_state(CLASSES, answers)
        assert told["means"]["candidate"][metric] == pytest.approx(float(measure.result()), rel=1e-5)
        assert found[f"candidate:{metric}"].mean() == pytest.approx(told["means"]["candidate"][metric])
        assert np.isnan(found[f"served:{metric}"]).all()
    majority = (CLASSES == 0).mean()
    assert told["constant"]["SparseCategoricalAccuracy"] == pytest.approx(majority)
    assert told["means"]["baseline"]["SparseCategoricalAccuracy"] == pytest.approx(majority)
    assert told["means"]["candidate"]["SparseCategoricalAccuracy"] > majority
    assert evidence.problem(finding, candidate, broken) is None
    assert sorted(path.name for path in Path(finding.uri).iterdir()) == ["scores.parquet", "summary.json"]


@pytest.mark.slow
def test_same_examples_give_the_same_bytes_whatever_the_files_batches_and_runner(
    evaluate, judged_model, judged_examples, records
) -> None:
    model = judged_model("classes", "good", KERNEL)
    twice = [*records, *records[:20]]
    one = judged_examples("one", {"a.gz": twice[:70], "b.gz": twice[70:]})
    renamed = judged_examples("renamed", {"z.gz": twice[:70], "b.gz": twice[70:], "empty.gz": []})
    first, second = judged_examples("first", {"a.gz": twice[90:][::-1]}), judged_examples("second", {"a.gz": twice[:90]})
    findings = [
        evaluate("one-out", examples=one, model=model),
        evaluate("again-out", examples=one, model=model),
        evaluate("renamed-out", examples=renamed, model=model, served=[]),
        evaluate("other-files-out", examples=[first, second], model=model),
        evaluate("processes-out", examples=one, model=model, beam=PROCESSES),
    ]
    assert summary(findings[0])["examples"] == 110
    assert len({tree_digest(finding.uri) for finding in findings}) == 1


@pytest.mark.parametrize(("kind", "labels"), [("binary", CLASSES % 2), ("regression", X.sum(axis=1))])
@pytest.mark.slow
def test_other_kinds_are_measured_by_their_metrics(
    evaluate, judged_model, judged_examples, judged_records, kind: str, labels: np.ndarray
) -> None:
    model = judged_model(kind, f"of-{kind}", [[1.0], [1.0], [1.0]])
    examples = judged_examples(kind, {"a.gz": judged_records(X, labels)})
    told = summary(evaluate("out", kind, examples=examples, model=model))
    assert told["models"] == ["candidate"]
    assert list(told["means"]["candidate"]) == list(told["constant"]) == sorted(scores.KINDS[kind])
    if kind == "regression":
        assert told["means"]["candidate"]["MeanSquaredError"] < 1e-10
        assert told["constant"]["MeanSquaredError"] == pytest.approx(labels.var(), rel=1e-5)


def test_a_model_that_must_not_be_loaded_is_not(evaluate, judged_examples, records, serving_report, tmp_path) -> None:
    model = standard_artifacts.Model()
    model.uri = str(tmp_path / "model")
    (tmp_path / "model" / "Format-Serving").mkdir(parents=True)
    (tmp_path / "model" / "Format-Serving" / "saved_model.pb").write_bytes(b"no graph at all")
    examples = judged_examples("examples", {"a.gz": records})
    finding = evaluate("out", examples=examples, model=model, serving_report=serving_report(model, loadable=False))
    assert summary(finding) == {"format": 1, "evaluated": False}
    assert [path.name for path in Path(finding.uri).iterdir()] == ["summary.json"]
    assert evidence.problem(finding, model) is None
    told = summary(evaluate("loaded", examples=examples, model=model))
    assert "model under test cannot be loaded" in told["problems"]["candidate"]
    assert told["non_finite"] == {"candidate": 90}


@pytest.mark.slow
def test_a_report_about_another_model_or_an_edited_one_opens_no_door(
    evaluate, judged_model, judged_examples, records, serving_report
) -> None:
    good, constant = judged_model("classes", "good", KERNEL), judged_model("classes", "constant", 0.0, [1, 0, 0])
    examples, report = judged_examples("examples", {"a.gz": records}), serving_report(good, loadable=True)
    assert summary(evaluate("right", examples=examples, model=good, serving_report=report))["evaluated"]
    with pytest.raises(IntegrityError, match="it is about model"):
        evaluate("other", examples=examples, model=constant, serving_report=report)
    Path(report.uri, "serving_report.json").write_text('{"format": 1,  "loadable": true}')
    with pytest.raises(IntegrityError, match="its files are not what was recorded"):
        evaluate("edited", examples=examples, model=good, serving_report=report)


@pytest.mark.slow
def test_a_model_of_another_shape_is_a_finding_whichever_it_is(evaluate, judged_model, judged_examples, records) -> None:
    good, other = judged_model("classes", "good", KERNEL), judged_model("regression", "of-regression", [[1.0], [1.0], [1.0]])
    examples = judged_examples("examples", {"a.gz": records})
    told = summary(evaluate("candidate", examples=examples, model=other, baseline=good))
    assert "expected an output 'scores' of the model under test, got predictions" in told["problems"]["candidate"]
    assert told["non_finite"] == {"candidate": 90, "baseline": 0}
    told = summary(evaluate("others", examples=examples, model=good, baseline=other, served=other))
    assert told["non_finite"] == {"candidate": 0, "baseline": 90, "served": 90}
    assert told["means"]["served"]["SparseCategoricalAccuracy"] is None
    assert {"baseline", "served"} == told["problems"].keys()


@pytest.mark.slow
def test_a_model_that_fails_on_some_examples_is_not_measured_on_any(
    evaluate, judged_model, judged_examples, judged_records, tmp_path, caplog
) -> None:
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def answer(examples: Any) -> dict[str, Any]:
        x = tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([3], tf.float32)})["x"]
        return {"scores": tf.gather(tf.eye(3), tf.cast(x[:, 0], tf.int64))}

    network, picky = tf.Module(), standard_artifacts.Model()
    network.answer, picky.uri, picky.id = answer, str(tmp_path / "picky"), 99
    tf.saved_model.save(network, str(tmp_path / "picky" / "Format-Serving"), signatures={"serve_examples": answer})
    records = judged_records(np.array([[1.0, 0, 0]] * 40 + [[4711.0, 0, 0]]), [1] * 41)
    one, two = ({"a.gz": records}, {"a.gz": records[35:], "b.gz": records[:35]})
    good = judged_model("classes", "good", KERNEL)
    findings = [
        evaluate(f"{name}-out", examples=judged_examples(name, files), model=picky, baseline=picky, served=good, batch_size=8)
        for name, files in (("one", one), ("two", two))
    ]
    told = summary(findings[0])
    assert told["non_finite"] == {"candidate": 41, "baseline": 41, "served": 0}
    assert told["problems"]["candidate"].endswith(
        "failed on the evaluation examples: an index is outside of the valid range of [0, 3)."
    )
    assert "4711" not in json.dumps(told) + caplog.text
    assert len({tree_digest(finding.uri) for finding in findings}) == 1  # whichever batches the others happened to be in


@pytest.mark.slow
@pytest.mark.parametrize("beam", [[], PROCESSES], ids=["here", "processes"])
def test_a_wrong_label_is_one_line_without_the_label(
    evaluate, judged_model, judged_examples, judged_records, beam: list[str]
) -> None:
    examples = judged_examples("examples", {"a.gz": judged_records(X[:2], [1, 4711])})
    with pytest.raises(DataError, match="expected labels whole numbers from 0 to 2") as refused:
        evaluate("out", examples=examples, model=judged_model("classes", "good", KERNEL), beam=beam)
    assert "4711" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_examples_that_are_no_examples_are_told(evaluate, judged_model, judged_examples, records) -> None:
    model = judged_model("classes", "good", KERNEL)
    with pytest.raises(DataError, match="split 'eval', found none"):
        evaluate("empty", examples=judged_examples("empty-in", {"a.gz": []}), model=model)
    with pytest.raises(DataError, match="expected the label 'y' in every evaluation example"):
        evaluate("garbage", examples=judged_examples("garbage-in", {"a.gz": [b"4711"]}), model=model)
    altered = judged_examples("altered-in", {"a.gz": records})
    Path(altered.uri, "Split-eval", "b.gz").write_bytes(b"")
    with pytest.raises(IntegrityError, match="as published"):
        evaluate("altered", examples=altered, model=model)


def test_a_kind_that_is_not_the_modules_is_refused(evaluate, judged_module, judged_model, judged_examples, records) -> None:
    from components.answers import Answers, Asked

    with pytest.raises(ConfigError, match="has CLASS_LABELS"):
        Answers(Asked("key", judged_module("classes"), "regression", (), 8))
