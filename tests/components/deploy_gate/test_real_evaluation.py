"""What the gate makes of evaluations that TFMA itself wrote: slices, sub keys, parameters, and models that are no good."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components import evidence
from components.deploy_gate.metric_names import metric_config, value_names

pytestmark = pytest.mark.slow  # TFMA's import and first analysis take half a minute

ACCURACY = "SparseCategoricalAccuracy"
METRICS = {ACCURACY: {}, "SparseTopKCategoricalAccuracy": {"k": 2}, "ExampleCount": {}}


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """20 examples: region a, 15 whose label is x, and region b, 5 whose label is not."""
    import tensorflow as tf

    file = str(tmp_path_factory.mktemp("examples") / "data.tfrecord")
    with tf.io.TFRecordWriter(file) as writer:
        for index in range(20):
            x, region = index % 2, "a" if index < 15 else "b"
            feature = {
                "x": tf.train.Feature(float_list=tf.train.FloatList(value=[x])),
                "region": tf.train.Feature(bytes_list=tf.train.BytesList(value=[region.encode()])),
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[x if region == "a" else 1 - x])),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    return file


def export(folder, weight):
    """A SavedModel that says label = x for a positive weight, the opposite for a negative one."""
    import tensorflow as tf

    inputs = tf.keras.Input((1,), name="x")
    dense = tf.keras.layers.Dense(3, activation="softmax")
    model = tf.keras.Model(inputs, dense(inputs))
    dense.set_weights([np.array([[-weight, weight, -9.0]]), np.array([weight / 2, -weight / 2, -9.0])])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve_examples(serialized):
        return {"scores": model(tf.io.parse_example(serialized, {"x": tf.io.FixedLenFeature([1], tf.float32)})["x"])}

    model.save(str(folder), save_format="tf", signatures={"serve_examples": serve_examples})
    return str(folder)


@pytest.fixture(scope="module")
def evaluations(examples, tmp_path_factory):
    """Name -> folder of a real evaluation: of a good model beside a bad one, and of one whose weights are NaN."""
    import tensorflow_model_analysis as tfma

    root = tmp_path_factory.mktemp("evaluations")
    good, bad, broken = (export(root / name, weight) for name, weight in (("good", 8.0), ("bad", -8.0), ("broken", np.nan)))
    asked = [metric_config(name, parameters) for name, parameters in METRICS.items()]
    for name, models in {"beside": {"candidate": good, "baseline": bad}, "broken": {"": broken}}.items():
        config = tfma.EvalConfig(
            model_specs=[tfma.ModelSpec(signature_name="serve_examples", label_key="label", prediction_key="scores")],
            slicing_specs=[tfma.SlicingSpec(), tfma.SlicingSpec(feature_keys=["region"])],
            metrics_specs=[tfma.MetricsSpec(metrics=asked)],
        )
        config = tfma.utils.update_eval_config_with_defaults(config, has_baseline=len(models) > 1, rubber_stamp=True)
        shared = [tfma.default_eval_shared_model(path, model_name=model, eval_config=config) for model, path in models.items()]
        tfma.run_model_analysis(
            shared if len(shared) > 1 else shared[0],
            eval_config=config,
            data_location=examples,
            output_path=str(root / f"of-{name}"),
        )
    return {name: root / f"of-{name}" for name in ("beside", "broken")}


@pytest.fixture
def evaluated(bench, evaluations):
    """Puts a real evaluation in place of the written one."""

    def put(name):
        finding = bench.write()["evaluation"][0]
        for file in Path(finding.uri).iterdir():
            file.unlink()
        for file in evaluations[name].iterdir():
            if file.is_file():
                Path(finding.uri, file.name).write_bytes(file.read_bytes())
        evidence.record(finding, bench.model, bench.served)
        return bench

    return put


def test_thresholds_and_changes_of_a_real_evaluation(evaluated, bench):
    bench.settings["thresholds"] = {ACCURACY: {"min": 0.75}, "ExampleCount": {"min": 20, "max": 20}}
    bench.settings["change"] = {ACCURACY: {"min": 0.5}}
    evaluated("beside")
    names = [f"evaluation/value/{ACCURACY}", "evaluation/value/ExampleCount", f"evaluation/change/{ACCURACY}"]
    seen = [(bench.check(name).verdict, bench.check(name).observed) for name in names]
    assert seen == [("passed", "0.75"), ("passed", "20"), ("passed", "+0.5")]


def test_slices_of_a_real_evaluation(evaluated, bench):
    cut = {"features": ["region"], "thresholds": {ACCURACY: {"min": 0.5}}, "change": {ACCURACY: {"min": -0.1}}}
    bench.settings["slices"] = [{**cut, "min_examples": 1}]
    evaluated("beside")
    value, change = bench.check(f"slice/region/value/{ACCURACY}"), bench.check(f"slice/region/change/{ACCURACY}")
    assert (value.verdict, value.observed) == ("failed", "0 where region is b; 2 slices")
    assert (change.verdict, change.observed) == ("failed", "-1 where region is b; 2 slices")
    bench.settings["slices"] = [{**cut, "min_examples": 6}]
    observed = bench.check(f"slice/region/value/{ACCURACY}").observed
    assert observed == "1 where region is a; 1 slice, and 1 slice with fewer than 6 examples"


def test_metric_with_parameters_is_found_under_the_name_that_tfma_gives_it(evaluated, bench):
    metric = "SparseTopKCategoricalAccuracy"
    bench.settings["thresholds"], bench.settings["parameters"] = {metric: {"min": 0.99}}, {metric: {"k": 2}}
    evaluated("beside")
    assert bench.check(f"evaluation/value/{metric}").observed == "1"


def test_metric_that_was_not_computed_fails(evaluated, bench):
    bench.settings["thresholds"] = {"MeanSquaredError": {"max": 1.0}}
    evaluated("beside")
    assert bench.check("evaluation/value/MeanSquaredError").observed == "not known: the evaluation has no MeanSquaredError"


def test_model_with_nan_weights_fails_by_its_predictions_whatever_tfma_says(evaluated, bench):
    bench.settings["thresholds"] = {ACCURACY: {"min": 0.3}, "ExampleCount": {"min": 1}}
    bench.report["weights"]["non_finite"] = 6
    bench.scores["candidate"] = {ACCURACY: np.full(1000, np.nan)}
    evaluated("broken")
    failed = {name for name, check in bench.checks().items() if check.verdict == "failed"}
    assert {"serving/weights", "predictions/finite", f"evaluation/change/{ACCURACY}"} <= failed


@pytest.mark.parametrize(
    ("metric", "parameters", "names"),
    [
        (ACCURACY, None, {"sparse_categorical_accuracy"}),
        ("AUC", {"num_thresholds": 50, "name": "area"}, {"area"}),
        ("Precision", {"top_k": 2}, {"precision"}),
        ("PrecisionAtRecall", {"recall": 0.5}, {"precision_at_recall"}),
        ("MeanIoU", {"num_classes": 3}, {"mean_io_u"}),
        ("CalibrationPlot", None, set()),
    ],
)
def test_names_under_which_tfma_reports_a_metric(metric, parameters, names):
    assert value_names(metric, parameters) == names


def test_metric_that_lacks_a_parameter_has_no_name():
    with pytest.raises(Exception, match="num_classes"):
        value_names("MeanIoU")
