"""The split part of the config: the parameters of every strategy, as its function declares them."""

import dataclasses

import pytest

from errors import ConfigError
from pipeline.config import PipelineConfig, digest, from_dict, resolved
from pipeline.split_config import SPLIT_PARAMETERS, SplitConfig
from pipeline.strict_yaml import parse


def config_of(split: dict, clients_per_round: int = 1) -> PipelineConfig:
    return from_dict(
        {
            "name": "digits",
            "model": "examples.digits.digits_model",
            "data": {"format": "digits"},
            "split": split,
            "train": {"rounds": 5, "clients_per_round": clients_per_round},
            "gate": {"thresholds": {"SparseCategoricalAccuracy": {"min": 0.9}}},
        }
    )


def refusal(split: dict, clients_per_round: int = 1) -> str:
    with pytest.raises(ConfigError) as raised:
        config_of(split, clients_per_round)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"strategy": "iid"}, "split.clients: required by strategy 'iid'"),
        ({"strategy": "dirichlet"}, "split.clients: required by strategy 'dirichlet'"),
        ({"strategy": "by_key"}, "split.key: required by strategy 'by_key'"),
        (
            {"strategy": "by_key", "key": "island", "clients": 3},
            "split.clients: not used by strategy 'by_key', only by iid, linear, ",
        ),
        (
            {"strategy": "iid", "clients": 3, "alpha": 0.5},
            "split.alpha: not used by strategy 'iid', only by dirichlet, inner_dirichlet; got 0.5",
        ),
        (
            {"strategy": "iid", "clients": 3, "min_examples": 0},
            "split.min_examples: not used by strategy 'iid', only by linear, ",
        ),
        ({"strategy": "dirichlet", "clients": 3, "alpha": 0}, "split.alpha: expected a finite number above 0, or one for"),
        (
            {"strategy": "dirichlet", "clients": 3, "min_examples": -1},
            "split.min_examples: expected a whole number of at least 0",
        ),
        (
            {"strategy": "dirichelt"},
            "split.strategy: expected one of iid, sizes, linear, square, exponential, lognormal, dirichlet, inner_dirichlet, ",
        ),
        ({"clients": 3}, "missing key 'split.strategy'"),
    ],
)
def test_split_refuses_what_its_strategy_lacks_or_does_not_use(split, message):
    assert refusal(split).startswith(message)


def test_split_parameters_are_those_of_the_strategy_with_its_defaults():
    common = {"label": None, "holdout": None, "holdout_clients": None}
    assert SplitConfig("iid", clients=3).parameters() == {"clients": 3, **common}
    assert SplitConfig("by_key", key="island").parameters() == {"key": "island", **common}
    dirichlet = SplitConfig("dirichlet", clients=3, min_examples=0).parameters()
    assert dirichlet == {"clients": 3, "alpha": 0.5, "min_examples": 0, "self_balancing": False, **common}


def test_split_has_a_key_for_every_parameter_of_every_strategy():
    fields = {field.name for field in dataclasses.fields(SplitConfig)} - {"strategy"}
    assert fields == set().union(*SPLIT_PARAMETERS.values())


SPLITS = {
    "sizes": {"sizes": [0.25, 0.75]},
    "lognormal": {"clients": 3, "sigma": 1},
    "dirichlet": {"clients": 3, "alpha": {0: 0.1, 1: 5}, "self_balancing": True, "holdout": 0.2, "holdout_clients": 1},
    "inner_dirichlet": {"sizes": [40, 60], "alpha": [0.1, 5.0]},
    "shards": {"clients": 3},
    "pathological": {"clients": 3, "classes_per_client": 1, "assignment": "deterministic"},
    "distribution": {"matrix": {0: [1, 2], 1: [3, 0.5]}, "min_per_label": 1},
    "power_law": {"clients": 3},
    "continuous": {"clients": 3, "feature": "age", "strictness": 0.7},
    "grouped_by_key": {"key": "user", "group_size": 3, "remainder": "strict", "sort_keys": True},
}


@pytest.mark.parametrize("strategy", SPLITS)
def test_split_of_every_strategy_survives_being_printed_and_read(strategy):
    config = config_of({"strategy": strategy, **SPLITS[strategy]})
    read = from_dict(parse(resolved(config), "printed"))
    assert read == config
    assert digest(read) == digest(config)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"strategy": "iid", "clients": 6, "holdout_clients": 2}, "split.clients less split.holdout_clients (4), got 5"),
        ({"strategy": "sizes", "sizes": [0.5, 0.5]}, "the clients in split.sizes (2), got 5"),
        ({"strategy": "distribution", "matrix": [[1, 2, 3]]}, "the clients in split.matrix (3), got 5"),
        ({"strategy": "distribution", "matrix": {"a": [1, 2]}}, "the clients in split.matrix (2), got 5"),
    ],
)
def test_clients_per_round_are_bounded_by_the_clients_there_are(split, message):
    assert refusal(split, clients_per_round=5) == f"train.clients_per_round: expected at most {message}"


def test_split_needs_one_of_two_parameters_where_either_will_do():
    for split in ({}, {"clients": 3, "sizes": [1, 2]}):
        message = refusal({"strategy": "inner_dirichlet", **split})
        assert message == "split: strategy 'inner_dirichlet' needs exactly one of clients and sizes"


def test_number_of_clients_per_round_is_not_bounded_where_the_data_names_the_clients():
    config = config_of({"strategy": "by_key", "key": "island"}, clients_per_round=1000)
    assert config.train.clients_per_round == 1000
