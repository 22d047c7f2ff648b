"""What the Evaluator is told, and what TFMA then measures of a real model."""

import numpy as np
import pytest

from pipeline.gate import eval_config, metric_names
from pipeline.gate_config import GateConfig

pytestmark = pytest.mark.slow  # TFMA's import alone takes over 10 s

ACCURACY = "SparseCategoricalAccuracy"


def gate(minimum: float, **others) -> GateConfig:
    return GateConfig(thresholds={ACCURACY: {"min": minimum}}, **others)


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """A TFRecord of 20 examples: group a, 15 whose label is x, and group b, 5 whose label is not."""
    import tensorflow as tf

    file = str(tmp_path_factory.mktemp("examples") / "data.tfrecord")
    with tf.io.TFRecordWriter(file) as writer:
        for index in range(20):
            x, group = index % 2, "a" if index < 15 else "b"
            writer.write(example(x, group, x if group == "a" else 1 - x))
    return file


def example(x: int, group: str, label: int) -> bytes:
    import tensorflow as tf

    feature = {
        "x": tf.train.Feature(float_list=tf.train.FloatList(value=[x])),
        "group": tf.train.Feature(bytes_list=tf.train.BytesList(value=[group.encode()])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def export(folder, sign: float) -> str:
    """A SavedModel that says label = x for sign 1, the opposite for -1, with the signature `serve_examples`."""
    import tensorflow as tf

    inputs = tf.keras.Input((1,), name="x")
    dense = tf.keras.layers.Dense(2, activation="softmax")
    model = tf.keras.Model(inputs, dense(inputs))
    dense.set_weights([np.array([[-4.0 * sign, 4.0 * sign]]), np.array([2.0 * sign, -2.0 * sign])])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve_examples(serialized):
        return {"scores": model(tf.io.parse_example(serialized, {"x": tf.io.FixedLenFeature([1], tf.float32)})["x"])}

    model.save(str(folder), save_format="tf", signatures={"serve_examples": serve_examples})
    return str(folder)


@pytest.fixture(scope="module")
def candidate(tmp_path_factory):
    """Right on group a (15 of 20) and wrong on all of group b: an accuracy of 0.75."""
    return export(tmp_path_factory.mktemp("candidate"), 1.0)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The candidate's opposite: an accuracy of 0.25."""
    return export(tmp_path_factory.mktemp("served"), -1.0)


def evaluate(config, examples, folder, model, baseline=None):
    """Evaluates as TFX's Evaluator does: the config made to fit the models that there are, then TFMA."""
    import tensorflow_model_analysis as tfma

    config = tfma.utils.update_eval_config_with_defaults(config, has_baseline=baseline is not None, rubber_stamp=True)
    tfma.utils.verify_eval_config(config)
    paths = {"": model} if baseline is None else {tfma.CANDIDATE_KEY: model, tfma.BASELINE_KEY: baseline}
    models = [tfma.default_eval_shared_model(path, model_name=name, eval_config=config) for name, path in paths.items()]
    models = models if baseline else models[0]
    return tfma.run_model_analysis(models, eval_config=config, data_location=examples, output_path=str(folder))


def metrics_of(result, slice_key=()):
    values = next(values for key, values in result.slicing_metrics if key == slice_key)
    return {name: value["doubleValue"] for name, value in values[""][""].items() if "doubleValue" in value}


def config_of(gate_config):
    return eval_config(gate_config.settings("classes", 42), label_key="label", prediction_key="scores")


def test_every_slice_is_measured_and_all_examples_together(examples, candidate, tmp_path):
    result = evaluate(config_of(gate(0.7, slices=["group"])), examples, tmp_path, candidate)
    assert metrics_of(result) == {"sparse_categorical_accuracy": 0.75, "example_count": 20.0}
    assert metrics_of(result, (("group", "b"),)) == {"sparse_categorical_accuracy": 0.0, "example_count": 5.0}


def test_metrics_of_changes_and_slices_are_measured_of_both_models(examples, candidate, served, tmp_path):
    slices = [{"features": "group", "thresholds": {"AUC": {"min": 0.9}}, "change": {"MeanSquaredError": {"max": -1}}}]
    limits = gate(0.5, change={ACCURACY: {"min": 0.9}}, slices=slices)
    results = evaluate(config_of(limits), examples, tmp_path, candidate, served)
    named = {"sparse_categorical_accuracy", "auc", "mean_squared_error", "example_count"}
    for result in results.get_results():
        assert {slice_key for slice_key, _ in result.slicing_metrics} == {(), (("group", "a"),), (("group", "b"),)}
        assert all(named <= set(values[""][""]) for _, values in result.slicing_metrics)


SLICE = {"features": "group", "thresholds": {"AUC": {"min": 0.9}}, "change": {ACCURACY: {"max": 0.1}}}


@pytest.mark.parametrize("limits", [GateConfig(), gate(0.9), gate(0.9, change={ACCURACY: {"min": 0}}, slices=[SLICE])])
def test_no_limit_is_told_to_tfma(limits):
    import tensorflow_model_analysis as tfma

    config = tfma.utils.update_eval_config_with_defaults(config_of(limits), has_baseline=True, rubber_stamp=True)
    assert not tfma.metrics.metric_thresholds_from_metrics_specs(config.metrics_specs, eval_config=config)
    assert "threshold" not in str(config_of(limits))


def test_changed_limit_measures_nothing_anew():
    reported = config_of(GateConfig(metrics=["AUC"]))
    assert config_of(gate(0.9, metrics=["AUC"])) == config_of(gate(0.5, metrics=["AUC"])) == reported
    assert config_of(GateConfig(thresholds={"AUC": {"min": 0.9}}, change={"AUC": {"min": 0.1}})) == reported
    assert config_of(GateConfig()) != reported


def test_config_survives_the_json_that_tfx_stores_it_as():
    import tensorflow_model_analysis as tfma
    from google.protobuf import json_format

    config = config_of(gate(0.9, change={ACCURACY: {"min": -0.01}}, slices=["group", ["group", "x"]]))
    assert json_format.Parse(json_format.MessageToJson(config), tfma.EvalConfig()) == config
    assert [list(spec.feature_keys) for spec in config.slicing_specs] == [[], ["group"], ["group", "x"]]


def test_every_metric_is_computed_once_the_principal_one_and_the_count_always():
    settings = gate(0.9, change={"AUC": {"min": 0}}, metrics=["MeanSquaredError", ACCURACY]).settings("classes", 42)
    assert metric_names(settings) == (ACCURACY, "AUC", "MeanSquaredError", "ExampleCount")
    regression = GateConfig(change={}, metrics=["ExampleCount"]).settings("regression", 42)
    assert metric_names(regression) == ("ExampleCount", "MeanSquaredError")


def test_parameters_reach_the_metric(examples, candidate, tmp_path):
    limits = gate(0.5, metrics=["MeanSquaredError"], parameters={"MeanSquaredError": {"name": "brier"}})
    result = evaluate(config_of(limits), examples, tmp_path, candidate)
    assert "brier" in metrics_of(result)
