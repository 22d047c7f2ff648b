"""The Evaluator's metrics against thresholds, on slices and against the served model, from files of TFMA's own messages."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from components import evidence

ACCURACY, ERROR = "SparseCategoricalAccuracy", "MeanSquaredError"
ACC, MSE, COUNT = "sparse_categorical_accuracy", "mean_squared_error", "example_count"
VALUE, CHANGE, MADE = f"evaluation/value/{ACCURACY}", f"evaluation/change/{ACCURACY}", "evaluation/made"


def put(bench, candidate, served=None, name=ACC):
    models = {"candidate": {name: candidate, COUNT: 100}, "baseline": {name: served, COUNT: 100}}
    bench.metrics[()] = {model: values for model, values in models.items() if values[name] is not None}


@pytest.mark.parametrize(
    ("value", "verdict"), [(0.9, "passed"), (0.8999, "failed"), (math.nan, "failed"), (math.inf, "failed")]
)
def test_threshold_is_a_lower_bound(bench, value, verdict):
    put(bench, value, 0.9)
    assert bench.verdict(VALUE) == verdict


@pytest.mark.parametrize("limit", [0.9, 1e-8, 1e8, -0.7])
@pytest.mark.parametrize("end", ["min", "max"])
@pytest.mark.parametrize(("steps", "verdict"), [(0, "passed"), (3, "failed")])
def test_limit_itself_passes_in_the_precision_that_metrics_have(bench, limit, end, steps, verdict):
    value = np.float32(limit)
    for _ in range(steps):
        value = np.nextafter(value, np.float32(-np.inf if end == "min" else np.inf))
    bench.settings["thresholds"][ACCURACY] = {end: limit}
    put(bench, float(value), 0.9)
    check = bench.check(VALUE)
    assert check.verdict == verdict
    assert (float(check.observed) == limit) is (verdict == "passed")


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
    counted = sum(models["candidate"][COUNT] for key, models in bench.metrics.items() if key)
    bench.metrics[()]["candidate"][COUNT] = counted or 1000


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


@pytest.mark.parametrize("lost", [math.nan, None])
def test_examples_that_nobody_counted_on_the_whole_leave_it_open_whether_slices_cover_them(bench, lost):
    slices(bench, {"north": (0.9, 0.9, 5)})
    bench.metrics[()]["candidate"].pop(COUNT)
    if lost is not None:
        bench.metrics[()]["candidate"][COUNT] = lost
    assert bench.verdict(f"slice/region/value/{ACCURACY}") == "failed"


def covering(bench, examples, min_examples, values=None):
    """A cut by region whose slices have 9 examples of so many."""
    slices(bench, values or {"north": (0.9, 0.9, 6), "south": (0.85, 0.9, 3)}, min_examples=min_examples)
    bench.metrics[()]["candidate"][COUNT] = examples
    return bench.check(f"slice/region/value/{ACCURACY}")


@pytest.mark.parametrize(
    ("examples", "min_examples", "verdict"),
    [(9, 1, "passed"), (10, 1, "failed"), (11, 3, "passed"), (12, 3, "failed"), (1000, 3, "failed")],
)
def test_examples_that_lack_the_feature_are_a_slice_that_nobody_judged(bench, examples, min_examples, verdict):
    check = covering(bench, examples, min_examples)
    told = f"; 9 of {examples:,} examples have a value of region"
    assert (check.verdict, check.observed.endswith(told)) == (verdict, examples > 9)


def test_slices_that_are_all_small_do_not_hide_that_most_examples_lack_the_feature(bench):
    values = {"north": (0.9, 0.9, 5), "south": (0.9, 0.9, 4)}
    check = covering(bench, 11, 20, values)
    assert (check.verdict, check.observed) == (
        "skipped",
        "all there is: 2 slices with fewer than 20 examples; 9 of 11 examples have a value of region",
    )


def test_most_examples_without_the_feature_fail_although_no_slice_is_large_enough(bench):
    check = covering(bench, 29, 20)
    assert check.verdict == "failed" and check.observed.endswith("; 9 of 29 examples have a value of region")


def test_examples_with_several_values_are_told_of(bench):
    check = covering(bench, 8, 1)
    assert (check.verdict, check.observed) == (
        "passed",
        "0.85 where region is south at worst; 2 slices; some examples have several values of region",
    )


def test_values_that_are_no_text_are_slices_of_their_own(bench):
    slices(bench, {b"K\xf6ln": (0.1, 0.9, 5), b"K\xe4ln": (0.95, 0.9, 5)})
    check = bench.check(f"slice/region/value/{ACCURACY}")
    assert (check.verdict, check.observed) == ("failed", "0.1 where region is K\\xf6ln; 2 slices")


def test_slice_that_is_there_twice_is_not_the_last_of_the_two(bench):
    slices(bench, {b"K\xf6ln": (0.1, 0.9, 5), "K\\xf6ln": (0.95, 0.9, 5)})
    check = bench.check(f"slice/region/value/{ACCURACY}")
    assert (check.verdict, check.observed) == ("failed", "not known: the evaluation has region=K\\xf6ln twice")


def test_feature_without_any_value_fails(bench):
    slices(bench, {"north": (0.9, 0.9, 5)}, features=("planet",))
    assert bench.check(f"slice/planet/value/{ACCURACY}").observed == "not known: no evaluation example has planet"


@pytest.mark.parametrize("broken", [math.nan, -math.inf])
def test_slice_with_a_figure_that_is_none_fails(bench, broken):
    slices(bench, {"north": (0.9, 0.9, 50), "south": (broken, 0.9, 50)})
    assert bench.verdict(f"slice/region/value/{ACCURACY}") == "failed"


def test_several_features_are_one_slice_whatever_their_order(bench):
    bench.settings["slices"] = [{"features": ["region", "age"], "thresholds": {ACCURACY: {"min": 0.8}}}]
    bench.metrics[(("age", "old"), ("region", "north"))] = {"candidate": {ACC: 0.7, COUNT: 1000}}
    bench.metrics[(("region", "north"),)] = {"candidate": {ACC: 0.1, COUNT: 1000}}
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


def unanalysed(bench, content):
    finding = bench.write()["evaluation"][0]
    Path(finding.uri, "metrics.tfrecord").unlink()
    Path(finding.uri, "not_evaluated.json").write_text(content)
    evidence.record(finding, bench.model, bench.served)


def test_analysis_says_on_how_many_examples_it_was_made(bench):
    check = bench.check(MADE)
    assert (check.verdict, check.observed, check.required, check.forceable) == ("passed", "1,000 examples", "made", False)


@pytest.mark.parametrize(
    ("content", "observed"),
    [
        ('{"reason": "it must not\\n be loaded\\u001b"}', "not made: it must not be loaded"),
        ('{"reason": "' + "x" * 900 + '"}', None),
        ("{}", "not made: no reason was recorded"),
        ("no JSON", "not made: no reason was recorded"),
    ],
)
def test_analysis_that_was_not_made_says_why_on_one_short_line(bench, content, observed):
    unanalysed(bench, content)
    check = bench.check(MADE)
    assert check.verdict == "failed"
    assert observed in (check.observed, None)
    assert len(check.observed) <= 300 and check.observed.isprintable()


def test_reason_from_elsewhere_is_no_html_in_the_page(bench):
    unanalysed(bench, json.dumps({"reason": "<script>alert(1)</script>"}))
    decision, _, recorded = bench.decide()
    page = Path(recorded.uri, "decision.html").read_text()
    assert not decision["blessed"]
    assert "<script" not in page and "not made: &lt;script&gt;" in page


@pytest.mark.parametrize("examples", [0, None, math.nan])
def test_analysis_of_no_examples_is_none_even_if_the_metrics_pass(bench, examples):
    counted = bench.metrics[()]["candidate"]
    counted["example_count"] = examples
    if examples is None:
        del counted["example_count"]
    assert (bench.verdict(VALUE), bench.verdict(MADE)) == ("passed", "failed")


def test_analysis_that_is_not_there_was_not_made(bench):
    bench.write()["evaluation"] = []
    assert bench.verdict(MADE) == "failed"


def test_figure_is_shown_with_enough_digits_to_see_why_it_failed(bench):
    put(bench, 0.8999999, 0.9)
    check = bench.check(VALUE)
    assert (check.observed, check.required) == ("0.8999999", "at least 0.9")
