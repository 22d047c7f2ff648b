"""The Evaluator's metrics against thresholds, on slices and against the served model, from files of TFMA's own messages."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path

import pytest

from components import evidence

ACCURACY, ERROR = "SparseCategoricalAccuracy", "MeanSquaredError"
ACC, MSE, COUNT = "sparse_categorical_accuracy", "mean_squared_error", "example_count"
VALUE, CHANGE = f"evaluation/value/{ACCURACY}", f"evaluation/change/{ACCURACY}"


def put(bench, candidate, served=None, name=ACC):
    models = {"candidate": {name: candidate}, "baseline": {name: served}}
    bench.metrics[()] = {model: values for model, values in models.items() if values[name] is not None}


@pytest.mark.parametrize(
    ("value", "verdict"), [(0.9, "passed"), (0.8999, "failed"), (math.nan, "failed"), (math.inf, "failed")]
)
def test_threshold_is_a_lower_bound(bench, value, verdict):
    put(bench, value, 0.9)
    assert bench.verdict(VALUE) == verdict


@pytest.mark.parametrize(("value", "verdict"), [(0.95, "passed"), (0.951, "failed"), (0.9, "passed"), (0.89, "failed")])
def test_threshold_with_two_ends_is_both(bench, value, verdict):
    bench.settings["thresholds"][ACCURACY] = {"min": 0.9, "max": 0.95}
    put(bench, value, 0.9)
    assert bench.verdict(VALUE) == verdict


@pytest.mark.parametrize(
    ("candidate", "served", "verdict"),
    [
        (0.94, 0.95, "passed"),  # -0.010000000000000009 in binary
        (0.9399, 0.95, "failed"),
        (0.95, 0.95, "passed"),
        (0.99, 0.5, "passed"),
        (0.0, 0.0, "passed"),
        (0.3, 0.0, "passed"),
        (math.nan, 0.95, "failed"),
        (0.95, math.nan, "failed"),
        (0.95, None, "failed"),
        (None, 0.95, "failed"),
    ],
)
def test_change_from_the_served_model(bench, candidate, served, verdict):
    put(bench, candidate, served)
    assert bench.verdict(CHANGE) == verdict


@pytest.mark.parametrize(
    ("candidate", "served", "verdict"),
    [
        (1.05, 1.0, "passed"),
        (1.0501, 1.0, "failed"),
        (0.5, 1.0, "passed"),
        (0.0, 0.0, "passed"),
        (1e-9, 0.0, "failed"),
        (-0.95, -1.0, "passed"),
        (-0.9, -1.0, "failed"),
    ],
)
def test_relative_change_is_a_share_of_the_served_models_size(bench, candidate, served, verdict):
    bench.settings["change"] = {ERROR: {"min": None, "max": 0.05, "relative": True}}
    put(bench, candidate, served, MSE)
    assert bench.verdict(f"evaluation/change/{ERROR}") == verdict


def test_share_of_nothing_is_said_to_be_unknown(bench):
    bench.settings["change"] = {ERROR: {"max": 0.05, "relative": True}}
    put(bench, 0.1, 0.0, MSE)
    assert (
        bench.check(f"evaluation/change/{ERROR}").observed
        == "not known: the served model's MeanSquaredError is 0, a share of it is not"
    )


def slices(bench, values, change=None, min_examples=1, features=("region",)):
    """Metrics of the slices by region: value -> (candidate, served, examples)."""
    bench.settings["slices"] = [
        {
            "features": list(features),
            "thresholds": {ACCURACY: {"min": 0.8}},
            "change": change or {},
            "min_examples": min_examples,
        }
    ]
    for region, (candidate, served, examples) in values.items():
        bench.metrics[(("region", region),)] = {
            "candidate": {ACC: candidate, COUNT: examples},
            "baseline": {ACC: served, COUNT: examples},
        }


def test_better_overall_but_worse_on_a_slice_is_refused(bench):
    put(bench, 0.99, 0.9)
    slices(bench, {"north": (0.999, 0.9, 90), "south": (0.7, 0.9, 10)}, change={ACCURACY: {"min": -0.01}})
    assert bench.verdict(VALUE) == bench.verdict(CHANGE) == "passed"
    value, change = bench.check(f"slice/region/value/{ACCURACY}"), bench.check(f"slice/region/change/{ACCURACY}")
    assert (value.verdict, value.observed) == ("failed", "0.7 where region is south; 2 slices")
    assert (change.verdict, change.observed) == ("failed", "-0.2 where region is south; 2 slices")


def test_slices_that_all_pass_show_the_worst(bench):
    slices(bench, {"north": (0.9, 0.9, 90), "south": (0.85, 0.9, 10)})
    assert bench.check(f"slice/region/value/{ACCURACY}").observed == "0.85 where region is south at worst; 2 slices"


def test_small_slices_are_left_out_and_counted(bench):
    slices(bench, {"north": (0.9, 0.9, 5), "south": (0.1, 0.9, 4)}, min_examples=5)
    check = bench.check(f"slice/region/value/{ACCURACY}")
    assert (check.verdict, check.observed) == (
        "passed",
        "0.9 where region is north; 1 slice, and 1 slice with fewer than 5 examples",
    )
    slices(bench, {"north": (0.1, 0.9, 4)}, min_examples=5)
    bench.write()
    check = bench.check(f"slice/region/value/{ACCURACY}")
    assert (check.verdict, check.observed) == ("skipped", "all there is: 2 slices with fewer than 5 examples")


def test_slice_whose_examples_nobody_counted_is_not_too_small_but_unknown(bench):
    slices(bench, {"north": (0.9, 0.9, 5)}, min_examples=5)
    del bench.metrics[(("region", "north"),)]["candidate"][COUNT]
    assert bench.verdict(f"slice/region/value/{ACCURACY}") == "failed"


def test_feature_without_any_value_fails(bench):
    slices(bench, {"north": (0.9, 0.9, 5)}, features=("planet",))
    assert bench.check(f"slice/planet/value/{ACCURACY}").observed == "not known: no evaluation example has planet"


@pytest.mark.parametrize("broken", [math.nan, -math.inf])
def test_slice_with_a_figure_that_is_none_fails(bench, broken):
    slices(bench, {"north": (0.9, 0.9, 50), "south": (broken, 0.9, 50)})
    assert bench.verdict(f"slice/region/value/{ACCURACY}") == "failed"


def test_several_features_are_one_slice_whatever_their_order(bench):
    bench.settings["slices"] = [{"features": ["region", "age"], "thresholds": {ACCURACY: {"min": 0.8}}}]
    bench.metrics[(("age", "old"), ("region", "north"))] = {"candidate": {ACC: 0.7}}
    bench.metrics[(("region", "north"),)] = {"candidate": {ACC: 0.1}}
    observed = bench.check(f"slice/region+age/value/{ACCURACY}").observed
    assert observed == "0.7 where age is old and region is north; 1 slice"


def test_many_failing_slices_are_counted_not_listed(bench):
    slices(bench, {f"r{number}": (number / 100, 0.9, 5) for number in range(10)})
    observed = bench.check(f"slice/region/value/{ACCURACY}").observed
    assert observed == "0 where region is r0, 0.01 where region is r1, 0.02 where region is r2 and 7 more; 10 slices"


def test_value_of_a_slice_cannot_break_out_of_its_line(bench):
    slices(bench, {"a\n| b\x1b[31m" + "x" * 80: (0.1, 0.9, 5)})
    observed = bench.check(f"slice/region/value/{ACCURACY}").observed
    assert observed.isprintable() and observed.endswith("...; 1 slice")


def test_metrics_of_a_model_that_was_evaluated_alone_are_the_candidates(bench):
    bench.metrics[()] = {"": {ACC: 0.95}}
    assert (bench.verdict(VALUE), bench.verdict(CHANGE)) == ("passed", "failed")


def test_evaluation_that_says_it_was_not_made_gives_its_reason(bench):
    finding = bench.write()["evaluation"][0]
    for file in Path(finding.uri).iterdir():
        file.unlink()
    Path(finding.uri, "not_evaluated.json").write_text('{"reason": "ServingCheck says that it must not be loaded"}')
    evidence.record(finding, bench.model, bench.served)
    assert bench.check(VALUE).observed == "not evaluated: ServingCheck says that it must not be loaded"


def several_values(bench, values):
    """An evaluation whose one metric has a value for each class."""
    import tensorflow as tf
    from tensorflow_model_analysis.proto import metrics_for_slice_pb2

    finding = bench.write()["evaluation"][0]
    message = metrics_for_slice_pb2.MetricsForSlice()
    for class_id, value in enumerate(values):
        item = message.metric_keys_and_values.add()
        item.key.name, item.key.model_name = ACC, "candidate"
        item.key.sub_key.class_id.value = class_id
        if value is not None:
            item.value.double_value.value = value
        else:
            item.value.bytes_value = b"a matrix"
    with tf.io.TFRecordWriter(f"{finding.uri}/metrics.tfrecord") as writer:
        writer.write(message.SerializeToString())
    evidence.record(finding, bench.model, bench.served)


@pytest.mark.parametrize(
    ("values", "verdict", "observed"),
    [
        ((0.95, 0.91), "passed", "0.91 (class 1) at worst"),
        ((0.95, 0.89), "failed", "0.89 (class 1)"),
        ((0.95, math.nan), "failed", "SparseCategoricalAccuracy is nan: not a finite number"),
        ((0.95, None), "failed", "not known: SparseCategoricalAccuracy is not a single number"),
    ],
)
def test_metric_with_several_values_must_hold_with_each(bench, values, verdict, observed):
    several_values(bench, values)
    check = bench.check(VALUE)
    assert (check.verdict, check.observed) == (verdict, observed)


@pytest.mark.parametrize("damage", ["emptied", "cut", "garbage"])
def test_evaluation_that_cannot_be_read_fails(bench, damage):
    finding = bench.write()["evaluation"][0]
    file = Path(finding.uri, "metrics.tfrecord")
    file.unlink() if damage == "emptied" else file.write_bytes(file.read_bytes()[:9] if damage == "cut" else b"x" * 400)
    evidence.record(finding, bench.model, bench.served)
    assert (bench.verdict(VALUE), bench.verdict(CHANGE)) == ("failed", "failed")


def bare(bench):
    os.remove(Path(bench.inputs["evaluation_blessing"][0].uri, "BLESSED"))


def both(bench):
    Path(bench.inputs["evaluation_blessing"][0].uri, "NOT_BLESSED").touch()


def by_hand(bench):
    bench.inputs["evaluation_blessing"][0].set_int_custom_property("blessed", 0)


def of_another(bench):
    bench.inputs["evaluation_blessing"][0].set_int_custom_property("current_model_id", 99)


def missing(bench):
    bench.inputs["evaluation_blessing"] = []


def gone(bench):
    shutil.rmtree(bench.inputs["evaluation_blessing"][0].uri)


@pytest.mark.parametrize("damage", [bare, both, by_hand, of_another, missing, gone])
def test_evaluators_own_blessing_must_be_whole_and_about_this_model(bench, damage):
    bench.write()
    assert bench.verdict("evaluation/blessing") == "passed"
    damage(bench)
    assert bench.verdict("evaluation/blessing") == "failed"


def test_evaluator_that_refuses_what_the_metrics_pass_is_believed(bench):
    bench.blessed = 0
    assert bench.verdict(VALUE) == "passed"
    assert bench.verdict("evaluation/blessing") == "failed"


def test_figure_is_shown_with_enough_digits_to_see_why_it_failed(bench):
    put(bench, 0.8999999, 0.9)
    check = bench.check(VALUE)
    assert (check.observed, check.required) == ("0.8999999", "at least 0.9")
