"""Single clients against their limits; nothing of fewer clients than may be judged."""

from __future__ import annotations

import numpy as np
import pytest

ACCURACY, ERROR = "SparseCategoricalAccuracy", "MeanSquaredError"
EVEN = np.linspace(0.1, 1.0, 20)  # the worst tenth: 0.1 and 0.1474


@pytest.fixture
def limited(bench):
    bench.settings["clients"] |= {
        "quantiles": {"0.5": {"min": 0.5}},
        "worst_decile": {"min": 0.1},
        "dispersion": {"max": 0.3},
        "worsened": {"by": 0.05, "max_share": 0.1},
    }
    bench.clients["candidate"][ACCURACY] = EVEN.copy()
    bench.clients["served"][ACCURACY] = EVEN.copy()
    return bench


LIMITED = ("clients/quantile/0.5", "clients/worst-decile", "clients/dispersion", "clients/worsened")
EXACT = {"quantile": float(np.quantile(EVEN, 0.5)), "worst_decile": float(EVEN[:2].mean()), "dispersion": float(EVEN.std())}


@pytest.mark.parametrize("name", LIMITED)
def test_clients_within_their_limits_pass(limited, name):
    assert limited.verdict(name) == "passed"


def test_limit_itself_passes_although_it_is_no_binary_fraction(limited):
    limited.settings["clients"] |= {
        "quantiles": {"0.1": {"min": 0.7}},
        "worst_decile": {"min": 0.7},
        "dispersion": {"max": 0.0},
        "worsened": {"by": 0.1, "max_share": 0.0},
    }
    limited.clients = {"candidate": {ACCURACY: np.full(30, 0.7)}, "served": {ACCURACY: np.full(30, 0.8)}}
    limited.client_examples = np.full(30, 10)
    checks = [limited.check(name) for name in ("clients/quantile/0.1", *LIMITED[1:])]
    assert [check.verdict for check in checks] == ["passed"] * 4
    assert [check.observed.split(" ")[0] for check in checks] == ["0.7", "0.7", "0", "0"]


@pytest.mark.parametrize(("beyond", "verdict"), [(0.0, "passed"), (1e-9, "failed")])
def test_limit_itself_passes_and_beyond_it_fails(limited, beyond, verdict):
    limited.settings["clients"] |= {
        "quantiles": {"0.5": {"min": EXACT["quantile"] + beyond}},
        "worst_decile": {"min": EXACT["worst_decile"] + beyond},
        "dispersion": {"max": EXACT["dispersion"] - beyond},
        "worsened": None,
    }
    assert {limited.verdict(name) for name in LIMITED[:3]} == {verdict}


@pytest.mark.parametrize(("loss", "clients", "verdict"), [(0.0501, 2, "passed"), (0.0501, 3, "failed"), (0.0499, 9, "passed")])
def test_share_of_clients_that_got_worse_is_limited(limited, loss, clients, verdict):
    limited.clients["candidate"][ACCURACY][:clients] -= loss
    assert limited.verdict("clients/worsened") == verdict


def test_better_model_on_average_that_fails_a_tenth_of_the_clients_is_refused(limited):
    limited.clients["candidate"][ACCURACY] = np.minimum(1, EVEN + 0.1)
    limited.clients["candidate"][ACCURACY][-3:] = 0.2
    assert limited.verdict("clients/worsened") == "failed"


def test_higher_is_worse_where_the_metric_is_an_error(limited):
    limited.settings["clients"] |= {"metric": ERROR, "worst_decile": {"max": 0.98}, "quantiles": {}}
    limited.clients = {model: {ERROR: EVEN.copy()} for model in ("candidate", "served")}
    assert limited.check("clients/worst-decile").observed == "0.9763 over 20 clients"
    assert limited.verdict("clients/worsened") == "passed"
    limited.clients["candidate"][ERROR][:3] += 0.06
    limited.write()
    assert limited.verdict("clients/worsened") == "failed"


def test_few_clients_are_not_judged_one_by_one(limited):
    limited.client_examples = np.full(9, 50)
    for name in (*LIMITED, "clients/finite"):
        check = limited.check(name)
        assert check.verdict == "skipped"
        assert check.observed == "9 clients, fewer than the 10 of which single ones may be judged"


@pytest.mark.parametrize("small", [1, 10, 11])
def test_small_clients_are_left_out_and_count_for_no_cohort(limited, small):
    limited.settings["clients"]["min_examples"] = 20
    limited.client_examples[:small] = 19
    limited.clients["candidate"][ACCURACY][:small] = 0.0
    observed = limited.check("clients/worst-decile")
    assert observed.verdict == ("skipped" if small == 11 else "passed")
    assert (f"over {20 - small} clients" in observed.observed) is (small < 11)


@pytest.mark.parametrize(("undefined", "verdict"), [(10, "passed"), (11, "failed"), (20, "failed")])
def test_metric_must_be_defined_for_enough_clients(limited, undefined, verdict):
    limited.clients["candidate"][ACCURACY][20 - undefined :] = np.nan
    limited.settings["clients"]["quantiles"] = {"0.5": {"min": 0.1}}
    assert limited.verdict("clients/quantile/0.5") == verdict


def test_clients_without_a_value_are_counted_and_told(limited):
    limited.settings["clients"]["quantiles"] = {"0.5": {"min": 0.1}}
    for model in ("candidate", "served"):
        limited.clients[model][ACCURACY][3:5] = np.nan
    assert limited.check("clients/quantile/0.5").observed.endswith(" over 18 of 20 clients, 2 without a value")
    assert limited.check("clients/worsened").observed == "0 of 18 clients, 0 %; 2 of 20 clients without a value"


def test_metric_must_be_defined_for_half_of_the_clients_however_many_there_are(limited):
    limited.settings["clients"]["quantiles"] = {"0.5": {"min": 0.1}}
    limited.clients = {model: {ACCURACY: np.full(100, 0.9)} for model in ("candidate", "served")}
    limited.client_examples = np.full(100, 50)
    limited.clients["served"][ACCURACY][:51] = np.nan
    assert [limited.verdict(name) for name in ("clients/quantile/0.5", "clients/worsened")] == ["passed", "failed"]
    limited.clients["served"][ACCURACY][0] = 0.9
    limited.write()
    assert limited.verdict("clients/worsened") == "passed"


def test_client_that_has_a_value_under_the_served_model_alone_is_not_left_out(limited):
    limited.clients["candidate"][ACCURACY][3] = np.nan
    check = limited.check("clients/worsened")
    assert check.verdict == "failed" and "1 client has a value under the served model alone" in check.observed


@pytest.mark.parametrize(
    ("model", "verdicts"),
    [("candidate", ["failed"] * 4), ("served", ["passed", "passed", "passed", "failed"])],
)
def test_predictions_that_are_no_numbers_fail_every_check_that_they_count_in(limited, model, verdicts):
    limited.client_summary = {
        "non_finite": {"candidate": 0, "served": 0, model: 500},
        "problems": {model: "it needs a feature age"},
    }
    assert [limited.verdict(name) for name in LIMITED] == verdicts
    assert "it needs a feature age" in limited.check("clients/worsened").observed
    finite = limited.check("clients/finite")
    assert finite.observed == ("500 of 1,000: it needs a feature age" if model == "candidate" else "none of 1,000")


def test_served_model_that_fails_on_the_clients_it_is_bad_for_does_not_hide_them(limited):
    limited.clients["candidate"][ACCURACY] = np.r_[np.full(10, 0.9), np.zeros(10)]
    limited.clients["served"][ACCURACY] = np.r_[np.full(10, 0.9), np.full(10, np.nan)]
    limited.client_summary = {"non_finite": {"candidate": 0, "served": 10}}
    assert limited.verdict("clients/worsened") == "failed"


def test_no_evaluation_clients_at_all_are_no_proof(limited):
    limited.client_examples = np.zeros(0)
    checks = [limited.check(name) for name in LIMITED]
    assert {check.verdict for check in checks} == {"failed"}
    assert {check.observed for check in checks} == {"no evaluation clients at all"}
    assert limited.verdict("clients/finite") == "skipped"


@pytest.mark.parametrize("summary", [{"non_finite": {"candidate": 1}}, {"non_finite": {}}, {"non_finite": None}])
def test_predictions_that_are_no_numbers_fail(limited, summary):
    assert limited.verdict("clients/finite") == "passed"
    limited.client_summary = summary
    limited.write()
    assert limited.verdict("clients/finite") == "failed"


@pytest.mark.parametrize("summary", [{"evaluated": False}, {"shown": False}, {"clients": None}, {"format": 0}])
def test_clients_that_were_not_measured_fail_every_check(limited, summary):
    limited.client_summary = summary
    assert {limited.verdict(name) for name in LIMITED} == {"failed"}


def test_served_model_without_figures_fails_the_comparison_alone(limited):
    del limited.clients["served"]
    assert [limited.verdict(name) for name in LIMITED] == ["passed", "passed", "passed", "failed"]


def test_comparison_is_skipped_while_nothing_is_served(limited):
    import shutil

    shutil.rmtree(limited.model_dir)
    limited.served = None
    del limited.clients["served"]
    assert [limited.verdict(name) for name in LIMITED] == ["passed", "passed", "passed", "skipped"]
