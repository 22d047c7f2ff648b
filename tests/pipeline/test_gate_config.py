"""The gate part of the config: what it accepts, what it is by default, what it refuses and with which words."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from components.deploy_gate.requirements import requirements
from errors import ConfigError
from pipeline.config import PipelineConfig, as_dict, digest, from_dict, resolved
from pipeline.gate_config import Bounds, ChangeBounds, GateConfig
from pipeline.strict_yaml import parse

ACCURACY = "SparseCategoricalAccuracy"
PRIVATE = {
    "rounds": 5,
    "clients_per_round": 5,
    "weighting": "uniform",
    "participation": {"sampling": "poisson"},
    "privacy": {"clip": 1.0, "noise_multiplier": 1.0, "delta": 0.001},
}
FULLEST = {
    "thresholds": {ACCURACY: {"min": 0.9}, "AUC": {"min": 0.8, "max": 1}},
    "better_than_constant": False,
    "change": {ACCURACY: {"min": -0.01, "max": 0.5}, "MeanSquaredError": {"max": 0.1, "relative": True}},
    "first_deploy": "allow",
    "slices": ["a", ["b", "c"], {"features": "c", "thresholds": {ACCURACY: {"min": 0.5}}, "min_examples": 30}],
    "metrics": ["Recall"],
    "parameters": {"AUC": {"num_thresholds": 1000, "curve": "PR", "multi_label": True}, "Recall": {"thresholds": [0.5, 0.9]}},
    "clients": {
        "metric": "SparseCategoricalCrossentropy",
        "min_clients": 8,
        "min_examples": 5,
        "quantiles": {0.1: {"max": 2}, "0.50": {"min": 0, "max": 1}, 0: {"max": 9}},
        "worst_decile": {"max": 3},
        "dispersion": {"max": 0.5},
        "worsened": {"by": 0.02, "max_share": 0.1},
    },
    "baseline": {"metric": ACCURACY, "margin": 0.05, "relative": True, "confidence": 0.9, "resamples": 2000},
    "privacy": {"max_epsilon": 8, "max_delta": 0.01},
    "participation": {
        "min_clients_per_round": 3,
        "min_rounds": 5,
        "max_excluded_updates": 0,
        "max_weight_share": 0.5,
    },
    "serving": {
        "samples": 8,
        "requests": 20,
        "tolerance": 0,
        "max_p50_ms": 10,
        "max_p99_ms": 50.5,
        "max_memory_mb": 500,
        "max_size_mb": 20,
        "allowed_ops": ["ReadFile", "Addons>Op"],
    },
    "approvals": "approvals.yaml",
}


def config_of(gate: Any, **others: Any) -> PipelineConfig:
    base = {
        "name": "gated",
        "model": "examples.digits.digits_model",
        "data": {"format": "digits"},
        "split": {"strategy": "iid", "clients": 10, "holdout": 0.2},
        "train": {"rounds": 5, "clients_per_round": 5},
    }
    return from_dict({**base, **others, "gate": gate})


def refusal(gate: Any, **others: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        config_of(gate, **others)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_config_without_a_gate_is_one_with_all_its_defaults() -> None:
    base = as_dict(config_of({}))
    del base["gate"]
    assert from_dict(base) == config_of({}) == config_of(None)
    assert config_of({}, **NOTHING_HELD_OUT).gate == GateConfig()


def test_where_clients_are_evaluated_there_is_always_a_smallest_cohort() -> None:
    few = {"split": {"strategy": "iid", "clients": 5, "holdout": 0.2}}
    config = config_of({}, **few)
    assert config.gate.settings("classes", 42)["clients"]["min_clients"] == 10
    assert from_dict(parse(resolved(config), "printed")) == config
    assert config_of({}, **few, **CENTRALISED).gate.clients is None


@pytest.mark.parametrize("gate", [{}, FULLEST])
def test_printed_gate_reads_back_equal_with_the_same_digest(gate) -> None:
    config = config_of(gate, train=PRIVATE)
    again = from_dict(parse(resolved(config), "printed"))
    assert again == config
    assert digest(again) == digest(config)
    assert pickle.loads(pickle.dumps(config)) == config


def test_every_key_has_its_say_in_the_digest() -> None:
    digests = {
        digest(config_of({key: value}, train=PRIVATE)) for key, value in FULLEST.items() if key != "better_than_constant"
    }
    assert len(digests) == len(FULLEST) - 1


def test_settings_are_json_with_the_defaults_of_the_kind() -> None:
    for kind, principal, change in (
        ("classes", ACCURACY, {"min": -0.01, "max": None, "relative": False}),
        ("binary", "BinaryAccuracy", {"min": -0.01, "max": None, "relative": False}),
        ("regression", "MeanSquaredError", {"min": None, "max": 0.05, "relative": True}),
    ):
        settings = GateConfig().settings(kind, 7)
        assert settings == json.loads(json.dumps(settings))
        assert (settings["kind"], settings["seed"], settings["first_deploy"]) == (kind, 7, "refuse")
        assert settings["change"] == {principal: change}
        assert settings["better_than_constant"] is True
        assert [settings[key] for key in ("thresholds", "clients", "baseline", "privacy")] == [{}, None, None, None]


def test_settings_of_sections_that_are_given_empty_have_their_defaults() -> None:
    gate = config_of({"clients": {}, "baseline": {}, "change": {}}).gate
    assert gate.settings("classes", 1)["change"] == {}
    assert gate.settings("binary", 1)["clients"] == {
        "metric": "BinaryAccuracy",
        "min_clients": 10,
        "min_examples": 1,
        "quantiles": {},
        "worst_decile": None,
        "dispersion": None,
        "worsened": None,
    }
    common = {"confidence": 0.95, "resamples": 10000}
    assert gate.settings("classes", 1)["baseline"] == {"metric": ACCURACY, "margin": 0.02, "relative": False, **common}
    assert gate.settings("regression", 1)["baseline"] == {
        "metric": "MeanSquaredError",
        "margin": 0.05,
        "relative": True,
        **common,
    }


def test_settings_hold_what_the_config_says() -> None:
    settings = config_of(FULLEST, train=PRIVATE).gate.settings("classes", 42)
    assert settings["slices"] == [
        {"features": ["a"], "thresholds": {}, "change": {}, "min_examples": 1},
        {"features": ["b", "c"], "thresholds": {}, "change": {}, "min_examples": 1},
        {"features": ["c"], "thresholds": {ACCURACY: {"min": 0.5, "max": None}}, "change": {}, "min_examples": 30},
    ]
    assert settings["clients"]["quantiles"] == {
        "0.1": {"min": None, "max": 2.0},
        "0.5": {"min": 0.0, "max": 1.0},
        "0": {"min": None, "max": 9.0},
    }
    assert (settings["clients"]["dispersion"], settings["clients"]["worsened"]) == (
        {"max": 0.5},
        {"by": 0.02, "max_share": 0.1},
    )
    assert settings["serving"] == {**FULLEST["serving"], "tolerance": 0.0}
    assert settings["participation"] == FULLEST["participation"]
    assert settings["parameters"] == FULLEST["parameters"]


@pytest.mark.parametrize("gate", [{}, FULLEST])
def test_settings_are_what_the_deploy_gate_takes(gate) -> None:
    assert requirements(config_of(gate, train=PRIVATE).gate.settings("classes", 42))


def test_bounds_may_be_given_as_objects() -> None:
    gate = GateConfig(thresholds={"AUC": Bounds(min=0.9)}, change={"AUC": ChangeBounds(min=-0.1, relative=True)})
    assert gate == GateConfig(thresholds={"AUC": {"min": 0.9}}, change={"AUC": {"min": -0.1, "relative": True}})


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (
            {"thresholds": {"AUC": {"min": 0.5, "relative": True}}},
            "unknown key 'gate.thresholds.AUC.relative'; known: min, max",
        ),
        ({"change": {"AUC": {"relative": True}}}, "gate.change.AUC: no threshold; give min, max or both"),
        ({"change": {"AUC": {"min": 0, "relative": 1}}}, "gate.change.AUC.relative: expected true or false, got 1"),
        ({"change": {"AUC": {"min": float("nan")}}}, "gate.change.AUC.min: expected a finite number, got nan"),
        ({"first_deploy": "alow"}, "gate.first_deploy: expected one of refuse, allow, got 'alow'; did you mean 'allow'?"),
        ({"better_than_constant": 1}, "gate.better_than_constant: expected true or false, got 1"),
        ({"slices": "species"}, "gate.slices: expected a list whose items are a feature, a list of features, or a mapping"),
        ({"slices": [[]]}, "gate.slices: expected at least one feature"),
        ({"slices": [5]}, "gate.slices: expected a list whose items are a feature"),
        ({"slices": [["a", "b"], {"features": ["b", "a"]}]}, "gate.slices: expected the features of each item once"),
        ({"slices": [{"thresholds": {}}]}, "missing key 'gate.slices.features'; it has no default"),
        ({"slices": [{"features": "a", "threshold": {}}]}, "unknown key 'gate.slices.threshold'; did you mean 'thresholds'?"),
        ({"slices": [{"features": "a", "min_examples": 0}]}, "gate.slices.min_examples: expected a whole number of at least 1"),
        ({"parameters": {"AUC": 5}}, "gate.parameters.AUC: expected a mapping of parameters to values"),
        (
            {"parameters": {"AUC": {"x": None}}},
            "gate.parameters.AUC.x: expected a number, text, true, false or a list of these",
        ),
        ({"parameters": {"AUC": {"x": float("inf")}}}, "gate.parameters.AUC.x: expected a number, text, true, false or a list"),
        ({"clients": {"quantile": {}}}, "unknown key 'gate.clients.quantile'; did you mean 'quantiles'?"),
        ({"clients": {"quantiles": {10: {"min": 1}}}}, "gate.clients.quantiles: expected quantiles from 0 to 1"),
        ({"clients": {"quantiles": {"x": {"min": 1}}}}, "gate.clients.quantiles: expected quantiles from 0 to 1"),
        ({"clients": {"quantiles": {float("nan"): {"min": 1}}}}, "gate.clients.quantiles: expected quantiles from 0 to 1"),
        (
            {"clients": {"quantiles": {0.1: {"min": 1}, ".1": {"min": 1}}}},
            "gate.clients.quantiles: expected each quantile once",
        ),
        ({"clients": {"quantiles": {0.1: 0.5}}}, "gate.clients.quantiles.0.1: expected a mapping with keys out of min, max"),
        ({"clients": {"dispersion": {"min": 1}}}, "unknown key 'gate.clients.dispersion.min'; known: max"),
        ({"clients": {"dispersion": {"max": -1}}}, "gate.clients.dispersion.max: expected a finite number of at least 0"),
        ({"clients": {"dispersion": {}}}, "gate.clients.dispersion: no threshold; give max"),
        ({"clients": {"worsened": {"by": 0.1}}}, "missing key 'gate.clients.worsened.max_share'; it has no default"),
        (
            {"clients": {"worsened": {"by": -0.1, "max_share": 0}}},
            "gate.clients.worsened.by: expected a finite number of at least",
        ),
        ({"clients": {"worsened": {"by": 0, "max_share": 10}}}, "gate.clients.worsened.max_share: expected a finite number of"),
        ({"clients": {"min_clients": 0}}, "gate.clients.min_clients: expected a whole number of at least 1, got 0"),
        ({"baseline": {"margin": -0.1}}, "gate.baseline.margin: expected a finite number of at least 0, got -0.1"),
        ({"baseline": {"relative": True}}, "gate.baseline.relative: used only with margin; got true"),
        ({"baseline": {"confidence": 95}}, "gate.baseline.confidence: expected a finite number above 0.5 and below 1, got 95"),
        (
            {"baseline": {"confidence": 0.5}},
            "gate.baseline.confidence: expected a finite number above 0.5 and below 1, got 0.5",
        ),
        ({"baseline": {"resamples": 10}}, "gate.baseline.resamples: expected a whole number of at least 100, got 10"),
        ({"privacy": {}}, "missing key 'gate.privacy.max_epsilon'; it has no default"),
        ({"privacy": {"max_epsilon": 0}}, "gate.privacy.max_epsilon: expected a finite number above 0, got 0"),
        ({"participation": {"max_weight_share": 1.5}}, "gate.participation.max_weight_share: expected a finite number above 0"),
        (
            {"participation": {"max_excluded_updates": -1}},
            "gate.participation.max_excluded_updates: expected a whole number of",
        ),
        ({"serving": {"max_p99_ms": 0}}, "gate.serving.max_p99_ms: expected a finite number above 0, got 0"),
        ({"serving": {"allowed_ops": "PyFunc"}}, "gate.serving.allowed_ops: expected a list of names of TensorFlow ops"),
        ({"approvals": ""}, "gate.approvals: expected text that is not empty, got ''"),
    ],
)
def test_wrong_value_is_refused_with_its_key_and_what_is_allowed(gate, message) -> None:
    assert refusal(gate).startswith(message)


NOTHING_HELD_OUT = {"split": {"strategy": "iid", "clients": 20}}
TWO_HELD_OUT = {"split": {"strategy": "iid", "clients": 20, "holdout_clients": 2}}
BY_KEY = {"split": {"strategy": "by_key", "key": "island"}}
WORSENED = {"worsened": {"by": 0.1, "max_share": 0.1}}
CENTRALISED = {"train": {"mode": "centralised"}}


@pytest.mark.parametrize(
    ("gate", "others", "message"),
    [
        ({"clients": {}}, NOTHING_HELD_OUT, "gate.clients: nothing is held out to judge clients by; set split.holdout or"),
        (
            {"clients": {"min_clients": 11, "worst_decile": {"min": 0.5}}},
            {},
            "gate.clients.min_clients: expected at most split.clients (10), or no client is ever judged, got 11",
        ),
        (
            {"clients": WORSENED},
            TWO_HELD_OUT,
            "gate.clients.min_clients: expected at most split.holdout_clients (2), or no client is",
        ),
        (
            {"slices": ["sex", ["sex", "island"]]},
            BY_KEY,
            "gate.slices: expected features that do not name the client, got 'isl",
        ),
        ({"clients": {}}, CENTRALISED, "gate.clients: does not go with train.mode 'centralised'"),
        ({"baseline": {}}, CENTRALISED, "gate.baseline: does not go with train.mode 'centralised'"),
        ({"privacy": {"max_epsilon": 1}}, CENTRALISED, "gate.privacy: does not go with train.mode 'centralised'"),
        ({"participation": {"min_rounds": 1}}, CENTRALISED, "gate.participation: does not go with train.mode 'centralised'"),
        ({"privacy": {"max_epsilon": 1}}, {}, "gate.privacy: needs train.privacy, without which the training has no epsilon"),
        (
            {"privacy": {"max_epsilon": 1, "max_delta": 1e-4}},
            {"train": PRIVATE},
            "gate.privacy.max_delta: expected at least train.privacy.delta (0.001), got 0.0001",
        ),
        (
            {"privacy": {"max_epsilon": 50}},
            {"train": {**PRIVATE, "privacy": {"clip": 1.0, "target_epsilon": 60, "delta": 0.001}}},
            "gate.privacy.max_epsilon: expected at least train.privacy.target_epsilon (60), got 50",
        ),
        ({"participation": {"min_rounds": 6}}, {}, "gate.participation.min_rounds: expected at most train.rounds (5), got 6"),
        (
            {"participation": {"min_clients_per_round": 6}},
            {},
            "gate.participation.min_clients_per_round: expected at most train.clients_per_round (5), got 6",
        ),
        (
            {"participation": {"min_clients_per_round": 11}},
            {"train": {"rounds": 5, "participation": {"sampling": "full"}}},
            "gate.participation.min_clients_per_round: expected at most split.clients (10), got 11",
        ),
    ],
)
def test_what_could_never_be_known_or_met_is_refused_before_anything_trains(gate, others, message) -> None:
    assert refusal(gate, **others).startswith(message)


def test_centralised_config_with_a_gate_prints_and_reads_back() -> None:
    config = config_of({"thresholds": {ACCURACY: {"min": 0.9}}}, **CENTRALISED)
    assert from_dict(parse(resolved(config), "printed")) == config
