"""Differential privacy in the config: what would not be one, and targets that no noise reaches."""

import pytest

from components.federated_trainer.privacy import accounting
from errors import ConfigError
from pipeline.config import PipelineConfig, from_dict

SPLIT = {"strategy": "iid", "clients": 10}
PRIVATE = {"weighting": "uniform", "privacy": {"clip": 1, "delta": 0.01, "noise_multiplier": 1}}


def config_of(split: dict = SPLIT, **train) -> PipelineConfig:
    """A config of five rounds with five clients each."""
    return from_dict(
        {
            "name": "digits",
            "model": "examples.digits.digits_model",
            "data": {"format": "digits"},
            "split": split,
            "train": {"rounds": 5, "clients_per_round": 5, **train},
            "gate": {"thresholds": {"SparseCategoricalAccuracy": {"min": 0.9}}},
        }
    )


def refusal(split: dict = SPLIT, **train) -> str:
    with pytest.raises(ConfigError) as raised:
        config_of(split, **train)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def private(**changes) -> dict:
    """Settings of train with differential privacy, whose section has these keys changed."""
    return {**PRIVATE, "privacy": {**PRIVATE["privacy"], **changes}}


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (
            {"privacy": PRIVATE["privacy"]},
            "train.weighting: expected uniform with train.privacy, where each client counts the same",
        ),
        (
            {**private(), "participation": {"quorum": 2}},
            "train.participation.quorum: expected 1 with train.privacy, where every round is released: a repeated one would",
        ),
        ({"privacy": {}}, "missing key 'train.privacy.clip'; it has no default"),
        (private(noise_multiplier=None), "train.privacy: needs exactly one of noise_multiplier and target_epsilon"),
        (private(target_epsilon=2), "train.privacy: needs exactly one of noise_multiplier and target_epsilon"),
        (private(delta=1), "train.privacy.delta: expected a finite number above 0 and below 1, got 1"),
        (private(delta=0.1), "train.privacy.delta: expected below 1 / split.clients (0.1), got 0.1"),
        (private(clip=None), "train.privacy.clip: expected a finite number above 0, or adaptive, got null"),
        (private(clip_quantile=0.5), "train.privacy.clip_quantile: used only with clip adaptive; got 0.5"),
        (
            private(population="../ours"),
            "train.privacy.population: expected up to 100 letters, digits and any of . _ -, a letter or digit first,",
        ),
        (private(noise="none"), "train.privacy.noise: expected one of secret, seeded, got 'none'"),
        (
            private(mechanism="tree", noise_multiplier=None, target_epsilon=2),
            "train.privacy.target_epsilon: not used by mechanism 'tree', only by gaussian",
        ),
        (
            private(mechanism="tree"),
            "train.participation.sampling: expected ordered or full with train.privacy.mechanism 'tree', got 'fixed'",
        ),
        (
            {**private(), "participation": {"sampling": "ordered"}},
            "train.participation.sampling: expected poisson or fixed or full with train.privacy.mechanism 'gaussian', got 'ord",
        ),
        (
            {**private(mechanism="tree"), "participation": {"sampling": "poisson"}},
            "train.participation.sampling: expected ordered or full with train.privacy.mechanism 'tree', got 'poisson'",
        ),
        (
            private(noise_multiplier=None, target_epsilon=3, budget=2),
            "train.privacy.target_epsilon: expected at most train.privacy.budget (2), got 3.0",
        ),
        (private(noise_multiplier=0, budget=2), "train.privacy.noise_multiplier: expected above 0 where there is a budget,"),
        (private(noise_multiplier=5), "the noise is too high for the cohort"),
        (private(noise_multiplier=0.5, clip="adaptive"), "the noise is too high for the cohort"),
        (private(noise_multiplier=None, target_epsilon=0.5), "the noise is too high for the cohort: multiplier 16.7"),
        (
            private(noise_multiplier=None, target_epsilon=100.5),
            "train.privacy.target_epsilon: expected a number above 0 and of at most 100, got 100.5",
        ),
        (
            {**private(), "aggregation": {"rule": "median"}},
            "train.aggregation.rule: does not go with train.privacy, which clips",
        ),
        ({**private(), "aggregation": {"clip": 1}}, "train.aggregation.clip: does not go with train.privacy, which clips and"),
        (
            {**private(), "aggregation": {"compression": "8bit"}},
            "train.aggregation.compression: does not go with train.privacy,",
        ),
        ({**private(), "algorithm": "scaffold"}, "train.privacy: does not go with algorithm 'scaffold'; choose another,"),
        ({**private(), "algorithm": "qfedavg", "q": 1}, "train.privacy: does not go with algorithm 'qfedavg';"),
    ],
)
def test_privacy_that_would_not_be_one_is_refused(train, message):
    assert refusal(**train).startswith(message)


def release() -> accounting.Release:
    return accounting.Release("gaussian", "poisson", 0.0, 5, 10, 5)


@pytest.mark.slow
def test_target_that_only_the_cheap_bound_thinks_out_of_reach_is_not_refused():
    target = 0.42
    by_rdp, found = (accounting.calibrate(release(), target, 0.01, by) for by in ("rdp", "tightest"))
    assert found < 5 <= by_rdp
    poisson = {"participation": {"sampling": "poisson"}, **private(noise_multiplier=None, target_epsilon=target)}
    assert config_of(**poisson).train.privacy.target_epsilon == target


@pytest.mark.slow
def test_largest_target_of_the_config_is_that_of_the_calibration():
    config_of(**private(noise_multiplier=None, target_epsilon=100))
    assert accounting.calibrate(release(), 100, 0.01, "rdp") > 0
    with pytest.raises(ConfigError, match="at most 100"):
        accounting.calibrate(release(), 100.5, 0.01, "rdp")


def test_target_above_the_largest_is_refused_where_the_number_of_clients_is_not_known():
    by_key = {"strategy": "by_key", "key": "hospital"}
    message = refusal(by_key, **private(noise_multiplier=None, target_epsilon=101))
    assert message.startswith("train.privacy.target_epsilon: expected a number above 0 and of at most 100, got 101")
