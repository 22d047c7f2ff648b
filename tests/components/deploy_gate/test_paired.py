"""Scores example by example: finite, better than a constant, not inferior to the baseline."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from components import evidence

ACCURACY, ERROR = "SparseCategoricalAccuracy", "MeanSquaredError"
CONSTANT, BASELINE, FINITE = f"constant/{ACCURACY}", f"baseline/{ACCURACY}", "predictions/finite"


def hits(share, examples=1000):
    return np.arange(examples) < round(share * examples)


@pytest.mark.parametrize(
    ("constant", "verdict"), [(0.2, "passed"), (0.95, "failed"), (0.96, "failed"), (None, "failed"), (float("nan"), "failed")]
)
def test_model_must_be_better_than_a_constant(bench, constant, verdict):
    bench.paired["constant"] = {ACCURACY: constant}
    assert bench.verdict(CONSTANT) == verdict


def test_model_that_is_better_than_a_constant_by_chance_is_not(bench):
    bench.scores = {"candidate": {ACCURACY: hits(46 / 369, 369)}}
    bench.paired["constant"] = {ACCURACY: 45 / 369}
    check = bench.check(CONSTANT)
    assert check.verdict == "failed"
    assert check.observed.startswith("0.1247, with 95 % confidence at least 0.09") and check.observed.endswith("reaches 0.122")


def test_advantage_over_a_constant_that_a_few_examples_do_not_show_is_shown_by_many(bench):
    verdicts = []
    for examples in (100, 10_000):
        bench.scores = {"candidate": {ACCURACY: hits(0.52, examples)}}
        bench.paired["constant"] = {ACCURACY: 0.5}
        bench.write()
        verdicts.append(bench.verdict(CONSTANT))
    assert verdicts == ["failed", "passed"]


def test_confidence_in_being_better_than_a_constant_is_what_it_says(bench):
    # By the normal distribution 0.5 + 1.645 * sqrt(0.25 / 1000) = 0.526 is where 95 % are reached.
    bench.paired["constant"] = {ACCURACY: 0.5}
    verdicts = []
    for share in (0.522, 0.530):
        bench.scores = {"candidate": {ACCURACY: hits(share)}}
        bench.write()
        verdicts.append(bench.verdict(CONSTANT))
    assert verdicts == ["failed", "passed"]


def test_comparison_with_a_constant_is_the_same_every_time(bench):
    first = bench.check(CONSTANT).observed
    bench.settings["baseline"] |= {"confidence": 0.5, "resamples": 100}
    assert bench.check(CONSTANT).observed == first


def test_constant_answer_in_other_bits_is_no_better_than_a_constant(bench):
    bench.settings |= {"kind": "regression", "baseline": None}
    bench.scores = {"candidate": {ERROR: np.full(100, 4.0 - 1e-9)}}
    bench.paired["constant"] = {ERROR: 4.0}
    assert bench.verdict(f"constant/{ERROR}") == "failed"


@pytest.mark.parametrize(("reached", "verdict"), [(3.9, "passed"), (4.1, "failed")])
def test_lower_error_is_the_better_one(bench, reached, verdict):
    bench.settings |= {"kind": "regression", "baseline": None}
    bench.scores = {"candidate": {ERROR: np.full(100, reached)}}
    bench.paired["constant"] = {ERROR: 4.0}
    check = bench.check(f"constant/{ERROR}")
    assert check.verdict == verdict
    assert check.observed == f"{reached}, with 95 % confidence at most {reached}; a constant reaches 4"


@pytest.mark.parametrize(("ours", "verdict"), [(0.95, "passed"), (0.945, "passed"), (0.90, "failed"), (0.99, "passed")])
def test_model_may_be_a_little_worse_than_the_baseline(bench, ours, verdict):
    bench.scores["candidate"] = {ACCURACY: hits(ours)}
    bench.scores["baseline"] = {ACCURACY: hits(0.95)}
    assert bench.verdict(BASELINE) == verdict


def test_larger_margin_never_turns_a_pass_into_a_failure(bench):
    bench.scores = {"candidate": {ACCURACY: hits(0.92)}, "baseline": {ACCURACY: np.roll(hits(0.93), 30)}}
    verdicts = []
    for margin in (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1):
        bench.settings["baseline"]["margin"] = margin
        verdicts.append(bench.verdict(BASELINE))
    assert verdicts == sorted(verdicts) and set(verdicts) == {"failed", "passed"}


def test_equal_model_passes_without_any_margin(bench):
    bench.settings["baseline"]["margin"] = 0.0
    assert bench.check(BASELINE).observed == "0.95 against 0.95 on 1,000 examples; no worse (95 % bound)"
    assert bench.verdict(BASELINE) == "passed"


def test_difference_within_the_margin_is_not_enough_on_few_examples(bench):
    bench.scores = {"candidate": {ACCURACY: hits(0.92, 100)}, "baseline": {ACCURACY: hits(0.93, 100)}}
    assert bench.verdict(BASELINE) == "failed"
    bench.scores = {"candidate": {ACCURACY: hits(0.92, 10_000)}, "baseline": {ACCURACY: hits(0.93, 10_000)}}
    bench.write()
    assert bench.verdict(BASELINE) == "passed"


@pytest.mark.parametrize(("by", "verdict"), [(0.02, "passed"), (0.0201, "failed")])
def test_worse_by_the_margin_on_every_example_passes_and_by_more_fails(bench, by, verdict):
    bench.settings["baseline"]["metric"] = ERROR
    theirs = np.linspace(1, 3, 200)
    bench.scores = {"candidate": {ERROR: theirs + by}, "baseline": {ERROR: theirs}}
    assert bench.verdict(f"baseline/{ERROR}") == verdict


@pytest.mark.parametrize(("by", "verdict"), [(1.05, "passed"), (1.051, "failed")])
def test_relative_margin_is_a_share_of_the_baselines_value(bench, by, verdict):
    bench.settings["baseline"] |= {"metric": ERROR, "margin": 0.05, "relative": True}
    theirs = np.full(200, 2.0)
    bench.scores = {"candidate": {ERROR: theirs * by}, "baseline": {ERROR: theirs}}
    assert bench.verdict(f"baseline/{ERROR}") == verdict


def test_share_of_a_baseline_without_error_is_unknown_unless_the_model_has_none_either(bench):
    bench.settings["baseline"] |= {"metric": ERROR, "relative": True}
    bench.scores = {"candidate": {ERROR: np.full(50, 1e-6)}, "baseline": {ERROR: np.zeros(50)}}
    check = bench.check(f"baseline/{ERROR}")
    assert check.verdict == "failed"
    assert check.observed.endswith("; worse by a share that is not known, for the baseline's may be 0 (95 % bound)")
    bench.scores["candidate"] = {ERROR: np.zeros(50)}
    bench.write()
    assert bench.verdict(f"baseline/{ERROR}") == "passed"


def test_model_that_is_better_than_a_baseline_that_is_always_wrong_is_no_worse(bench):
    bench.settings["baseline"]["relative"] = True
    bench.scores = {"candidate": {ACCURACY: hits(1.0, 100)}, "baseline": {ACCURACY: hits(0.0, 100)}}
    check = bench.check(BASELINE)
    assert (check.verdict, check.observed) == ("passed", "1 against 0 on 100 examples; no worse (95 % bound)")


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e4, 1e8])
@pytest.mark.parametrize(("by", "verdict"), [(1.05, "passed"), (1.0500001, "failed"), (1.1, "failed"), (8.0, "failed")])
def test_relative_margin_is_the_same_in_every_unit(bench, scale, by, verdict):
    bench.settings["baseline"] |= {"metric": ERROR, "margin": 0.05, "relative": True}
    theirs = (scale * np.random.default_rng(0).normal(size=1000)) ** 2
    bench.scores = {"candidate": {ERROR: by * theirs}, "baseline": {ERROR: theirs}}
    assert bench.verdict(f"baseline/{ERROR}") == verdict


@pytest.mark.parametrize("scale", [1.0, 1e4, 1e8])
@pytest.mark.parametrize(("by", "verdict"), [(0.02, "passed"), (0.0200001, "failed")])
def test_absolute_margin_is_in_the_metrics_own_unit(bench, scale, by, verdict):
    bench.settings["baseline"] |= {"metric": ERROR, "margin": 0.02 * scale}
    theirs = scale * np.linspace(1, 3, 200)
    bench.scores = {"candidate": {ERROR: theirs + by * scale}, "baseline": {ERROR: theirs}}
    assert bench.verdict(f"baseline/{ERROR}") == verdict


@pytest.mark.parametrize("model", ["candidate", "baseline"])
def test_prediction_that_is_no_number_fails_the_comparison(bench, model):
    bench.scores[model] = {ACCURACY: np.where(np.arange(1000) == 5, np.nan, 1.0)}
    assert bench.verdict(BASELINE) == "failed"
    assert bench.verdict(FINITE) == ("failed" if model == "candidate" else "passed")
    assert bench.verdict(CONSTANT) == ("failed" if model == "candidate" else "passed")


@pytest.mark.parametrize("content", [{"evaluated": False}, {"evaluated": "yes"}, {"format": 9}])
def test_model_that_was_not_evaluated_fails_every_comparison(bench, content):
    bench.paired |= content
    verdicts = {name: bench.verdict(name) for name in (FINITE, CONSTANT, BASELINE)}
    assert set(verdicts.values()) == {"failed"}


def test_missing_baseline_is_no_baseline_to_be_as_good_as(bench):
    del bench.scores["baseline"]
    assert "no baseline:SparseCategoricalAccuracy was recorded" in bench.check(BASELINE).observed


def rewritten(bench, change):
    finding = bench.write()["paired_scores"][0]
    path = Path(finding.uri, "summary.json")
    summary = json.loads(path.read_text())
    change(summary)
    path.write_text(json.dumps(summary))
    evidence.record(finding, bench.model, bench.served)


def test_summary_and_table_must_tell_of_the_same_examples(bench):
    rewritten(bench, lambda summary: summary.update(examples=999))
    assert bench.verdict(BASELINE) == "failed"


@pytest.mark.parametrize("non_finite", [{}, {"candidate": None}, {"candidate": 1}, None])
def test_predictions_count_as_finite_only_if_all_of_them_are(bench, non_finite):
    rewritten(bench, lambda summary: summary.update(non_finite=non_finite))
    assert bench.verdict(FINITE) == "failed"


def test_no_examples_at_all_is_no_proof(bench):
    rewritten(bench, lambda summary: summary.update(examples=0))
    assert bench.verdict(FINITE) == "failed"


def test_damaged_table_fails_the_comparison(bench):
    finding = bench.write()["paired_scores"][0]
    Path(finding.uri, "scores.parquet").write_bytes(b"PAR1 no more")
    evidence.record(finding, bench.model, bench.served)
    assert "cannot be read" in bench.check(BASELINE).observed


def test_metric_that_nobody_knows_fails_its_check_alone(bench):
    bench.settings["baseline"]["metric"] = "Charm"
    bench.scores = {model: {**of, "Charm": of[ACCURACY]} for model, of in bench.scores.items()}
    failed = [name for name, check in bench.checks().items() if check.verdict == "failed"]
    assert failed == ["baseline/Charm"]


def test_comparison_in_words(bench):
    bench.scores["candidate"] = {ACCURACY: hits(0.94)}
    bench.scores["baseline"] = {ACCURACY: hits(0.95)}
    observed = bench.check(BASELINE).observed
    assert re.fullmatch(r"0\.94 against 0\.95 on 1,000 examples; worse by up to 0\.01\d* \(95 % bound\)", observed)
    observed = bench.check(CONSTANT).observed
    assert re.fullmatch(r"0\.94, with 95 % confidence at least 0\.92\d*; a constant reaches 0\.2", observed)


@pytest.mark.parametrize("model", ["candidate", "baseline"])
def test_model_that_could_not_answer_fails_and_says_why(bench, model):
    bench.scores[model] = {ACCURACY: np.full(1000, np.nan)}
    bench.paired |= {"non_finite": {"candidate": 0, "baseline": 0, model: 1000}, "problems": {model: "it needs a feature age"}}
    finite, baseline = bench.check(FINITE), bench.check(BASELINE)
    assert baseline.verdict == "failed" and "it needs a feature age" in baseline.observed
    assert finite.verdict == ("failed" if model == "candidate" else "passed")
    assert (finite.observed == "1,000 of 1,000: it needs a feature age") is (model == "candidate")


def test_problem_without_an_answer_that_is_no_number_is_one(bench):
    bench.paired["problems"] = {"candidate": "it needs a feature age"}
    assert bench.verdict(FINITE) == "failed"
