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


def test_infinite_metric_of_one_client_is_not_averaged_away(limited):
    limited.settings["clients"]["quantiles"] = {"0.5": {"min": 0.1}}
    limited.clients["candidate"][ACCURACY][3] = np.inf
    assert limited.verdict("clients/quantile/0.5") == "failed"


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
