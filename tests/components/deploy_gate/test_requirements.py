"""What a config would require, in words, before anything is trained."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest

from components.deploy_gate.requirements import requirements
from errors import ConfigError

ACCURACY = "SparseCategoricalAccuracy"


@pytest.fixture
def settings(bench):
    return bench.settings


def ids(settings, judges=()):
    return [requirement.id for requirement in requirements(settings, judges)]


def test_smallest_gate_still_looks_at_integrity_serving_and_the_evaluators_analysis(settings):
    settings |= {"thresholds": {ACCURACY: {"min": 0.9}}, "change": {}, "better_than_constant": False, "baseline": None}
    assert ids(settings) == [
        f"evaluation/value/{ACCURACY}",
        "evaluation/made",
        "first-deploy",
        "serving/loadable",
        "serving/ops",
        "serving/weights",
        "serving/server",
        "serving/predictions",
        "serving/answers",
        "run/nodes",
        "model/bytes",
        "approvals/file",
        "evidence/ServingCheck",
        "evidence/Evaluator",
    ]


def full(settings):
    settings = copy.deepcopy(settings)
    settings["slices"] = [
        {
            "features": ["b", "a"],
            "thresholds": {"AUC": {"min": 0.5}},
            "change": {"AUC": {"min": -0.1, "relative": True}},
            "min_examples": 5,
        }
    ]
    settings["clients"] |= {
        "quantiles": {"0.1": {"min": 0.7}},
        "worst_decile": {"min": 0.6, "max": 0.95},
        "dispersion": {"max": 0.2},
        "worsened": {"by": 0.05, "max_share": 0.1},
    }
    settings["privacy"] = {"max_epsilon": 8.0, "max_delta": 1e-5}
    settings["participation"] = {
        "min_clients_per_round": 5,
        "min_rounds": 10,
        "max_excluded_updates": 0,
        "max_weight_share": 0.25,
    }
    settings["serving"] |= {"max_p50_ms": 10.0, "max_p99_ms": 50.0, "max_memory_mb": 512.0, "max_size_mb": 100.0}
    return settings


def test_every_setting_becomes_a_requirement_in_plain_words(settings):
    words = {each.id: each.required for each in requirements(full(settings), ["InfraValidator"])}
    expected = {
        "serving/answers": "differ by at most 0.0001",
        "serving/p99": "at most 50 ms",
        "serving/memory": "at most 512 MB",
        "slice/b+a/value/AUC": "at least 0.5",
        "slice/b+a/change/AUC": "at least -0.1 of the served model's value",
        f"constant/{ACCURACY}": "better, with 95 % confidence",
        f"baseline/{ACCURACY}": "worse by at most 0.02, with 95 % confidence",
        "clients/quantile/0.1": "at least 0.7",
        "clients/worst-decile": "at least 0.6 and at most 0.95",
        "clients/dispersion": "at most 0.2",
        "clients/worsened": "at most 10 % of clients",
        "privacy/epsilon": "at most 8",
        "privacy/delta": "at most 1e-05",
        "participation/clients-per-round": "at least 5",
        "participation/rounds": "at least 10",
        "participation/excluded-updates": "at most 0",
        "participation/weight-share": "at most 0.25",
        "infra/blessed": "blessed",
        f"evaluation/change/{ACCURACY}": "at least -0.01",
    }
    assert expected.items() <= words.items()


def test_what_says_that_a_finding_or_a_model_is_broken_can_never_be_forced(settings):
    never = {each.id for each in requirements(full(settings)) if not each.forceable}
    assert never == {
        "evaluation/made",
        "run/nodes",
        "model/bytes",
        "approvals/file",
        "evidence/ServingCheck",
        "evidence/Evaluator",
        "evidence/PairedEvaluator",
        "evidence/FederatedEvaluator",
        "serving/loadable",
        "serving/ops",
        "serving/weights",
        "serving/predictions",
        "predictions/finite",
        "clients/finite",
    }


def test_judge_is_needed_by_what_it_decides_even_if_nobody_names_it(settings):
    assert "evidence/PairedEvaluator" in ids(settings)
    assert "evidence/FederatedEvaluator" not in ids(settings)
    settings["clients"]["dispersion"] = {"max": 0.1}
    assert "evidence/FederatedEvaluator" in ids(settings)


def misspelled(settings):
    settings["clientz"] = settings.pop("clients")


def left_out(settings):
    del settings["privacy"]


def misspelled_inside(settings):
    settings["serving"]["max_p99"] = 3


def boundless(settings):
    settings["thresholds"][ACCURACY] = {"min": None, "max": None}


def endless(settings):
    settings["thresholds"][ACCURACY] = {"min": float("-inf")}


def misspelled_bound(settings):
    settings["thresholds"][ACCURACY] = {"minimum": 0.9}


def misspelled_bound_of_clients(settings):
    settings["clients"]["quantiles"] = {"0.1": {"low": 0.9}}


def same_slice_twice(settings):
    settings["slices"] = [{"features": ["a"], "thresholds": {"AUC": {"min": 0.5}}}] * 2


@pytest.mark.parametrize(
    "mistake",
    [
        misspelled,
        left_out,
        misspelled_inside,
        boundless,
        endless,
        misspelled_bound,
        misspelled_bound_of_clients,
        same_slice_twice,
    ],
)
def test_setting_that_would_be_a_requirement_left_out_is_refused(settings, mistake):
    mistake(settings) if mistake is not misspelled else settings.update(clientz=None)
    with pytest.raises(ConfigError) as refused:
        requirements(settings)
    assert "\n" not in str(refused.value)


def test_unknown_judge_is_refused(settings):
    with pytest.raises(ConfigError, match="unknown judges Jury"):
        requirements(settings, ["Jury"])


def test_list_can_be_read_without_tfx_and_tensorflow():
    code = (
        "import sys, components.deploy_gate.requirements, components.deploy_gate.approvals;"
        "print([name for name in ('tfx', 'tensorflow', 'apache_beam', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
