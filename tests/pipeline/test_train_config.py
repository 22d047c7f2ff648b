"""The train part of the config: what each mode and algorithm uses, and what does not go together."""

import json

import pytest
import yaml

from errors import ConfigError
from pipeline.config import PipelineConfig, digest, from_dict, load, resolved
from pipeline.strict_yaml import parse
from pipeline.train_config import ALGORITHMS, TrainConfig

SPLIT = {"strategy": "iid", "clients": 10}
HELD_OUT = {**SPLIT, "holdout": 0.2}
PRIVATE = {"weighting": "uniform", "privacy": {"clip": 1, "delta": 0.01, "noise_multiplier": 1}}


def tree(split: dict | None = SPLIT, **train) -> dict:
    """A config with these keys of train; where something is federated, rounds and clients_per_round are 5 unless given."""
    federated = train.get("mode") != "centralised"
    given = {**({"rounds": 5, "clients_per_round": 5} if federated else {}), **train}
    return {
        "name": "digits",
        "model": "examples.digits.digits_model",
        "data": {"format": "digits"},
        **({"split": split} if split else {}),
        "train": given,
        "gate": {"thresholds": {"SparseCategoricalAccuracy": {"min": 0.9}}},
    }


def config_of(split: dict | None = SPLIT, **train) -> PipelineConfig:
    return from_dict(tree(split, **train))


def refusal(split: dict | None = SPLIT, **train) -> str:
    with pytest.raises(ConfigError) as raised:
        config_of(split, **train)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def private(**changes) -> dict:
    """Settings of train with differential privacy, whose section has these keys changed."""
    return {**PRIVATE, "privacy": {**PRIVATE["privacy"], **changes}}


def test_smallest_federated_training_has_the_documented_defaults():
    settings = config_of().train.settings("digits")
    assert {key: value for key, value in settings.items() if value is not None} == {
        "mode": "federated",
        "algorithm": "fedavg",
        "executor": "local",
        "rounds": 5,
        "clients_per_round": 5,
        "weighting": "examples",
        "local_epochs": 1,
        "batch_size": 20,
        "shuffle": True,
        "client_learning_rate": 0.1,
        "server_learning_rate": 1.0,
        "client_schedule": CONSTANT,
        "server_schedule": CONSTANT,
        "participation": {
            "sampling": "fixed",
            "drop_out": 0.0,
            "stragglers": 0.0,
            "straggler_work": "partial",
            "quorum": 1,
            "retries": 3,
        },
        "aggregation": {
            "rule": "mean",
            "byzantine": None,
            "clip": None,
            "clip_quantile": None,
            "zeroing": False,
            "compression": "none",
        },
        "evaluation": {"every": 0, "metric": None, "patience": None, "min_delta": None},
        "export": "last",
        "checkpoint": {"every": 10, "keep": 2},
    }


CONSTANT = {"kind": "constant", "warmup_rounds": 0, "decay_rounds": None, "decay_rate": None, "floor": None}


@pytest.mark.parametrize(
    ("given", "filled_in"),
    [
        ({"algorithm": "fedavgm"}, {"momentum": 0.9}),
        ({"algorithm": "mime_lite"}, {"momentum": 0.9}),
        ({"algorithm": "fedadam"}, {"beta_1": 0.9, "beta_2": 0.99, "adaptivity": 0.001}),
        ({"algorithm": "fedyogi"}, {"beta_1": 0.9, "beta_2": 0.99, "adaptivity": 0.001, "initial_accumulator": 0.0}),
        ({"algorithm": "fedadagrad"}, {"adaptivity": 0.001, "initial_accumulator": 0.0}),
        ({"export": "average"}, {"average_decay": 0.99}),
        ({"aggregation": {"clip": "adaptive"}}, {"aggregation.clip_quantile": 0.8}),
        (private(clip="adaptive", noise_multiplier=0.1), {"privacy.clip_quantile": 0.5}),
        (private(), {"privacy.mechanism": "gaussian", "privacy.noise": "secret", "privacy.population": "digits"}),
        (private(population="penguins"), {"privacy.population": "penguins"}),
        ({"client_schedule": {"kind": "cosine", "decay_rounds": 9}}, {"client_schedule.floor": 0.0}),
        ({"algorithm": "fedsgd"}, {"local_epochs": 1, "shuffle": False, "client_learning_rate": 1.0, "momentum": None}),
    ],
)
def test_what_is_used_and_not_given_has_its_default(given, filled_in):
    settings = config_of(**given).train.settings("digits")
    for key, value in filled_in.items():
        section, _, name = key.rpartition(".")
        assert (settings[section] if section else settings)[name] == value


def test_evaluation_that_takes_place_has_a_metric():
    evaluation = config_of(HELD_OUT, evaluation={"every": 2}).train.settings("digits")["evaluation"]
    assert evaluation == {"every": 2, "metric": "loss", "patience": None, "min_delta": 0.0}


FULL = {
    "fedavgm": {"momentum": 0.5, "server_schedule": {"kind": "step", "decay_rounds": 2, "decay_rate": 0.5}},
    "fedprox": {"proximal_strength": 0.1, "mode": "warm_start", "checkpoint": {"every": 3, "keep": 1}},
    "fedsgd": {"participation": {"sampling": "poisson", "drop_out": 0.1, "quorum": 2, "retries": 0}},
    "qfedavg": {"q": 0.2, "export": "best", "evaluation": {"every": 1, "patience": 2, "metric": "accuracy"}},
    "fedavg": {
        **private(mechanism="tree", budget=8, population="us", noise="seeded"),
        "participation": {"sampling": "ordered"},
    },
    "fedadam": {"aggregation": {"rule": "krum", "byzantine": 1, "zeroing": True, "compression": "8bit", "clip": 2}},
    "scaffold": {"executor": "beam", "max_examples": 7, "shuffle": False, "client_schedule": {"warmup_rounds": 2}},
}


@pytest.mark.parametrize("algorithm", [*FULL, "fedyogi", "fedadagrad", "mime_lite"])
def test_training_survives_being_printed_and_read_and_is_plain_to_json(algorithm):
    config = config_of(HELD_OUT, algorithm=algorithm, **FULL.get(algorithm, {}))
    again = from_dict(parse(resolved(config), "printed"))
    assert again == config
    assert digest(again) == digest(config)
    assert digest(config) != digest(config_of(HELD_OUT))
    settings = config.train.settings("digits")
    assert json.loads(json.dumps(settings)) == settings


@pytest.mark.parametrize(
    "schedule", [{"decay_rounds": 5}, {"decay_rounds": 4, "warmup_rounds": 1}, {"decay_rounds": 2, "floor": 0.1}]
)
def test_schedule_that_reaches_nothing_only_after_the_last_round_is_accepted(schedule):
    assert config_of(client_schedule={"kind": "linear", **schedule}, server_schedule={"kind": "cosine", **schedule})


def test_every_algorithm_is_accepted_with_what_it_requires():
    required = {"fedprox": {"proximal_strength": 0}, "qfedavg": {"q": 1}}
    assert all(config_of(algorithm=name, **required.get(name, {})).train.algorithm == name for name in ALGORITHMS)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"rounds": None}, "train.rounds: required by mode 'federated'"),
        ({"clients_per_round": None}, "train.clients_per_round: required by participation.sampling 'fixed'"),
        ({"momentum": 0.9}, "train.momentum: not used by algorithm 'fedavg', only by fedavgm, mime_lite; got 0.9"),
        (
            {"algorithm": "fedsgd", "local_epochs": 2},
            "train.local_epochs: not used by algorithm 'fedsgd', only by fedavg, fedavgm, fedadam,",
        ),
        ({"algorithm": "fedprox"}, "train.proximal_strength: required by algorithm 'fedprox'"),
        ({"algorithm": "qfedavg"}, "train.q: required by algorithm 'qfedavg'"),
        ({"algorithm": "qfedavg", "q": -1}, "train.q: expected a finite number of at least 0, got -1"),
        ({"algorithm": "fedavgm", "momentum": 1}, "train.momentum: expected a finite number of at least 0 and below 1, got 1"),
        ({"algorithm": "fedadam", "adaptivity": 0}, "train.adaptivity: expected a finite number above 0, got 0"),
        ({"algorithm": "FedAvg"}, "train.algorithm: expected one of fedavg, fedavgm"),
        ({"executor": "ray"}, "train.executor: expected one of local, beam, tff, got 'ray'"),
        (
            {"mode": "warmstart"},
            "train.mode: expected one of federated, centralised, warm_start, got 'warmstart'; did you mean",
        ),
        ({"weighting": "size"}, "train.weighting: expected one of examples, uniform, got 'size'"),
        ({"shuffle": "yes"}, "train.shuffle: expected true or false, got 'yes'"),
        ({"average_decay": 0.9}, "train.average_decay: used only with export average; got 0.9"),
        ({"participation": {"samplng": "full"}}, "unknown key 'train.participation.samplng'; did you mean 'sampling'? known:"),
        ({"participation": 5}, "train.participation: expected a mapping with keys out of sampling, drop_out,"),
        (
            {"participation": {"drop_out": 1}},
            "train.participation.drop_out: expected a finite number of at least 0 and below 1, got 1",
        ),
        ({"participation": {"quorum": 6}}, "train.participation.quorum: expected at most train.clients_per_round (5), got 6"),
        (
            {"participation": {"sampling": "full"}},
            "train.clients_per_round: not used by participation.sampling 'full', which takes every client; got 5",
        ),
        (
            {"participation": {"stragglers": 0.1}},
            "train.participation.straggler_work: partial work is some of the epochs, and there is one;",
        ),
        (
            {"participation": {"stragglers": 1, "straggler_work": "none"}},
            "train.participation.stragglers: expected below 1 with straggler_work 'none', got 1",
        ),
        (
            {"client_schedule": {"kind": "step", "decay_rounds": 3}},
            "train.client_schedule.decay_rate: required by kind 'step'",
        ),
        (
            {"server_schedule": {"kind": "linear", "decay_rounds": 3, "decay_rate": 0.5}},
            "train.server_schedule.decay_rate: not used by kind 'linear', only by exponential, step; got 0.5",
        ),
        (
            {"server_schedule": {"kind": "step", "decay_rounds": 3, "decay_rate": 2}},
            "train.server_schedule.decay_rate: expected a finite number above 0 and of at most 1, got 2",
        ),
        ({"aggregation": {"rule": "krum"}}, "train.aggregation.byzantine: required by rule 'krum'"),
        (
            {"aggregation": {"rule": "median", "byzantine": 1}},
            "train.aggregation.byzantine: used only with rule trimmed_mean, krum, multi_krum; got 1",
        ),
        (
            {"aggregation": {"rule": "krum", "byzantine": 2}},
            "train.aggregation.byzantine: rule 'krum' needs at least 7 clients in a round to stand 2; train.clients_per_round",
        ),
        (
            {"aggregation": {"rule": "trimmed_mean", "byzantine": 3}},
            "train.aggregation.byzantine: rule 'trimmed_mean' needs at least 7 clients in a round to stand 3;",
        ),
        (
            {"aggregation": {"rule": "simulated_secure_mean"}},
            "train.aggregation.clip: required by rule 'simulated_secure_mean', whose numbers have a range",
        ),
        ({"aggregation": {"clip": 0}}, "train.aggregation.clip: expected a finite number above 0, or adaptive, got 0"),
        ({"aggregation": {"clip": 1, "clip_quantile": 0.5}}, "train.aggregation.clip_quantile: used only with clip adaptive;"),
        ({"aggregation": {"compression": 8}}, "train.aggregation.compression: expected one of none, 8bit, got 8"),
        (
            {"algorithm": "qfedavg", "q": 1, "aggregation": {"rule": "median"}},
            "train.aggregation.rule: does not go with algorithm 'qfedavg', which combines updates in a way of its",
        ),
        *(
            (
                {"algorithm": algorithm, "aggregation": {**more, key: value}},
                f"train.aggregation.{key}: does not go with algorithm '{algorithm}', whose clients send more than a change",
            )
            for algorithm, key, value, more in (
                ("scaffold", "compression", "8bit", {}),
                ("scaffold", "clip", 1, {}),
                ("scaffold", "zeroing", True, {}),
                ("mime_lite", "rule", "median", {}),
                ("mime_lite", "rule", "simulated_secure_mean", {"clip": 1}),
            )
        ),
        *(
            (
                {f"{side}_schedule": {"kind": kind, "decay_rounds": 2, "warmup_rounds": 2}},
                f"train.{side}_schedule: expected a learning rate above 0 in all 5 rounds; kind {kind!r} with decay_rounds 2"
                " reaches 0; set floor above 0 or more decay_rounds",
            )
            for side in ("client", "server")
            for kind in ("linear", "cosine")
        ),
        (
            {"client_schedule": {"kind": "step", "decay_rounds": 1, "decay_rate": 1e-10}},
            "train.client_schedule: expected a learning rate above 0 in all 5 rounds; kind 'step' with decay_rounds 1"
            " reaches 0; set more decay_rounds",
        ),
        ({"evaluation": {"patience": 3}}, "train.evaluation.patience: used only with every above 0; got 3"),
        (
            {"evaluation": {"every": 2}},
            "train.evaluation.every: nothing is held out to evaluate on; set split.holdout or holdout_clients",
        ),
        ({"export": "best"}, "train.evaluation.every: expected 1 to train.rounds (5) with export 'best', got 0"),
        (
            {"export": "best", "evaluation": {"every": 6}},
            "train.evaluation.every: expected 1 to train.rounds (5) with export 'best', got 6",
        ),
        (
            {"mode": "warm_start", "evaluation": {"every": 2, "patience": 1}},
            "train.evaluation.every: does not go with mode 'warm_start', whose baseline was fitted to the examples",
        ),
        ({"checkpoint": {"every": 0}}, "train.checkpoint.every: expected a whole number of at least 1, got 0"),
    ],
)
def test_training_that_cannot_be_is_refused_with_its_key(train, message):
    assert refusal(**train).startswith(message)


@pytest.mark.parametrize(
    ("split", "train", "message"),
    [
        (
            {**SPLIT, "holdout_clients": 6},
            {},
            "train.clients_per_round: expected at most split.clients less split.holdout_clients",
        ),
        (SPLIT, {"participation": {"quorum": 11}}, "train.participation.quorum: expected at most split.clients (10), got 11"),
        (
            SPLIT,
            {"aggregation": {"rule": "krum", "byzantine": 4}},
            "train.aggregation.byzantine: rule 'krum' needs at least 11 clients in a round to stand 4; split.clients is 10",
        ),
    ],
)
def test_clients_there_are_bound_what_a_round_of_all_of_them_can_be(split, train, message):
    if "participation" in train or "aggregation" in train:
        train = {**train, "clients_per_round": None, "participation": {"sampling": "full", **train.get("participation", {})}}
    assert refusal(split, **train).startswith(message)


def test_round_of_every_client_needs_no_number():
    train = config_of(clients_per_round=None, participation={"sampling": "full"}).train
    assert train.settings("digits")["clients_per_round"] is None


def test_evaluation_may_be_on_held_out_clients_as_well():
    assert config_of({**SPLIT, "holdout_clients": 2}, evaluation={"every": 2}).train.evaluation.every == 2
    assert refusal({**SPLIT, "holdout": 0.0}, evaluation={"every": 2}).startswith("train.evaluation.every: nothing is held out")


def test_centralised_training_needs_nothing_but_its_mode_and_no_split():
    config = config_of(None, mode="centralised")
    assert config.train == TrainConfig(mode="centralised")
    assert parse(resolved(config), "printed")["train"] == {"mode": "centralised"}
    assert from_dict(parse(resolved(config), "printed")) == config
    assert config_of(SPLIT, mode="centralised").split is not None


@pytest.mark.parametrize(
    ("key", "value"), [("rounds", 5), ("algorithm", "fedavg"), ("checkpoint", {}), ("privacy", PRIVATE["privacy"])]
)
def test_centralised_training_refuses_every_other_key(key, value):
    message = refusal(mode="centralised", **{key: value})
    assert message.startswith(f"train.{key}: not used by mode 'centralised', only by federated, warm_start; got ")
    assert message.endswith("; --set 'train={mode: centralised}' leaves out all the others")


@pytest.mark.parametrize("mode", ["federated", "warm_start"])
def test_federated_training_needs_a_split(mode):
    assert refusal(None, mode=mode).startswith("missing key 'split'; it has no default")


@pytest.mark.parametrize(
    ("override", "section", "expected"),
    [
        ("train.aggregation.rule=median", "aggregation", {"rule": "median"}),
        ("train.participation.drop_out=0.1", "participation", {"drop_out": 0.1}),
        ("train.server_schedule={kind: cosine, decay_rounds: 5}", "server_schedule", {"kind": "cosine", "decay_rounds": 5}),
    ],
)
def test_override_reaches_a_nested_section_that_the_file_leaves_out(tmp_path, override, section, expected):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tree()))
    found = getattr(load(tmp_path / "config.yaml", [override]).train, section)
    assert {key: getattr(found, key) for key in expected} == expected


def test_privacy_comes_and_goes_by_overrides(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(tree()))
    given = ["clip=1", "delta=0.01", "target_epsilon=4"]
    on = ["train.weighting=uniform", *(f"train.privacy.{pair}" for pair in given)]
    assert load(file, on).train.privacy.target_epsilon == 4.0
    assert load(file, [*on, "train.privacy="]).train.privacy is None


def test_nested_section_without_any_key_left_has_its_defaults():
    train = config_of(participation=None, aggregation=None, evaluation=None, checkpoint=None, privacy=None).train
    assert train == config_of().train
