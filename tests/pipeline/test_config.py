"""The config: what it accepts, what it refuses and with which words."""

import copy
import dataclasses
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import pipeline
from errors import ConfigError
from pipeline.config import (
    SplitConfig,
    TrainConfig,
    as_dict,
    digest,
    from_dict,
    load,
    resolved,
)
from pipeline.gate_config import Bounds, GateConfig
from pipeline.strict_yaml import parse

SMALLEST = {
    "name": "digits",
    "model": "examples.digits.digits_model",
    "data": {"format": "digits"},
    "split": {"strategy": "iid", "clients": 10},
    "train": {"rounds": 5, "clients_per_round": 3},
    "gate": {"thresholds": {"SparseCategoricalAccuracy": {"min": 0.9}}},
}

FULLEST = {
    **SMALLEST,
    "seed": 7,
    "data": {
        "format": "csv",
        "path": "/data/penguins",
        "splits": {"train": "train/*.csv", "eval": "eval/*.csv"},
        "schema": "/data/schema.pbtxt",
    },
    "split": {"strategy": "dirichlet", "clients": 20, "alpha": 0.1, "min_examples": 2, "label": "species"},
    "baseline": {"epochs": 2, "batch_size": 16, "learning_rate": 0.00001},
    "train": {"rounds": 5, "clients_per_round": 20, "client_learning_rate": 1},
    "gate": {
        "thresholds": {"SparseCategoricalAccuracy": {"min": 0.9}, "MeanSquaredError": {"min": 0, "max": 1}},
        "change": {"SparseCategoricalAccuracy": {"min": -0.01}},
        "metrics": ["AUC"],
        "slices": ["species", ["island", "sex"]],
    },
}


def changed(key: str, value: object, tree: dict = SMALLEST) -> dict:
    """The tree with one dotted key set."""
    result = copy.deepcopy(tree)
    *sections, last = key.split(".")
    place = result
    for section in sections:
        place = place.setdefault(section, {})
    place[last] = value
    return result


def write(folder: Path, text: str | bytes | dict) -> Path:
    """A config file with the text, or with the tree as YAML."""
    file = folder / "config.yaml"
    source = yaml.safe_dump(text) if isinstance(text, dict) else text
    file.write_bytes(source if isinstance(source, bytes) else source.encode())
    return file


def refusal(action, *arguments, **named) -> str:
    """The message with which the action is refused, which must be one line."""
    with pytest.raises(ConfigError) as caught:
        action(*arguments, **named)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_smallest_config_has_the_documented_defaults():
    config = from_dict(SMALLEST)
    assert config.seed == 42
    assert config.data.splits == {"train": 4, "eval": 1}
    assert dataclasses.astuple(config.baseline) == (10, 32, 0.001, None)
    assert config.gate.thresholds == {"SparseCategoricalAccuracy": Bounds(min=0.9)}
    assert (config.gate.change, config.gate.metrics, config.gate.slices) == (None, (), ())


@pytest.mark.parametrize("tree", [SMALLEST, FULLEST])
def test_resolved_text_loads_to_an_equal_config_with_the_same_digest(tmp_path, tree):
    config = from_dict(tree)
    again = load(write(tmp_path, resolved(config)))
    assert again == config
    assert digest(again) == digest(config)
    assert pickle.loads(pickle.dumps(config)) == config


numbers = st.floats(min_value=1e-300, max_value=1e300) | st.integers(1, 10**12)


@settings(max_examples=40, deadline=None)
@given(rate=numbers, bound=numbers, label=st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip))
def test_any_number_and_label_survives_being_printed_and_read(rate, bound, label):
    tree = changed("split", {"strategy": "dirichlet", "clients": 3, "label": label})
    tree = changed("gate.thresholds", {"AUC": {"max": bound}}, changed("train.client_learning_rate", rate, tree))
    config = from_dict(tree)
    assert from_dict(parse(resolved(config), "printed")) == config


@pytest.mark.parametrize("label", ["0\x85", "a\u2028b", "a\u2029", "a\nb", "\ufeffx", "\xe9"])
def test_any_line_break_survives_being_printed_and_read(label):
    config = from_dict(changed("split", {"strategy": "iid", "clients": 10, "label": label}))
    assert from_dict(parse(resolved(config), "printed")) == config


def test_text_that_looks_like_a_number_stays_text(tmp_path):
    config = load(write(tmp_path, changed("name", "1e5")), ["name='1e5'"])
    assert load(write(tmp_path, resolved(config))).name == "1e5"


def test_digest_changes_with_a_value_and_not_with_the_order_of_keys():
    config = from_dict(FULLEST)
    assert digest(from_dict(dict(reversed(FULLEST.items())))) == digest(config)
    assert digest(from_dict(changed("seed", 8, FULLEST))) != digest(config)


def test_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        from_dict(SMALLEST).train.rounds = 6


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("train.rounds", "five", "train.rounds: expected a whole number of at least 1, got 'five'"),
        ("train.rounds", True, "train.rounds: expected a whole number of at least 1, got true"),
        ("train.rounds", 0, "train.rounds: expected a whole number of at least 1, got 0"),
        ("train.rounds", 5.0, "train.rounds: expected a whole number of at least 1, got 5.0"),
        ("train.rounds", None, "train.rounds: required by mode 'federated'"),
        ("train.client_learning_rate", 0, "train.client_learning_rate: expected a finite number above 0, got 0"),
        ("train.server_learning_rate", float("nan"), "train.server_learning_rate: expected a finite number above 0, got nan"),
        ("baseline.learning_rate", float("inf"), "baseline.learning_rate: expected a finite number above 0, got inf"),
        ("baseline.learning_rate", 10**400, "baseline.learning_rate: expected a finite number above 0, got 1000"),
        ("train.algorithm", "fedavgn", "train.algorithm: expected one of fedavg, fedavgm, fedadam, fedyogi, fedadagrad, "),
        ("baseline.stop_at", 1.5, "baseline.stop_at: expected a finite number above 0 and of at most 1, got 1.5"),
        ("seed", 2**31, "seed: expected a whole number from 0 to 2147483647, got 2147483648"),
        ("seed", -1, "seed: expected a whole number from 0 to 2147483647, got -1"),
        ("name", "My Model", "name: expected 1 to 63 of a-z, 0-9 and -, not - at first, got 'My Model'"),
        ("name", "a\n", "name: expected 1 to 63"),
        ("name", "logs", "name: expected another name than that of the folder of logs, got 'logs'"),
        ("name", 5, "name: expected 1 to 63 of a-z, 0-9 and -, not - at first (in quotes, if"),
        ("model", "examples/digits/digits_model.py", "model: expected the dotted import path of a model module"),
        ("model", "digits_model.py", "model: expected the dotted import path of a model module"),
        ("model", "examples.class.model", "model: expected the dotted import path of a model module"),
        (
            "data.format",
            "cvs",
            "data.format: expected one of csv, tfrecord, parquet, idx, digits, got 'cvs'; did you mean 'csv'?",
        ),
        ("data.format", "csv", "data.path: required by format 'csv'"),
        ("data.path", "/data", "data.path: not used by format 'digits'"),
        ("data.path", " ", "data.path: expected text that is not empty, got ' '"),
        ("data.splits", {"train": 4}, "data.splits: expected both train and eval, got {'train': 4}"),
        ("data.splits", [4, 1], "data.splits: expected a mapping with keys out of train, eval, got [4, 1]"),
        ("data.splits", {"train": 4, "evl": 1}, "unknown key 'data.splits.evl'; did you mean 'eval'?"),
        ("data.splits", {"train": 4, "eval": 0}, "data.splits.eval: expected a whole number of at least 1, got 0"),
        ("data.splits", {"train": 4, "eval": "e*"}, "data.splits: expected two whole numbers (shares) or two file patterns"),
        ("data.splits", {"train": "/t*", "eval": "e*"}, "data.splits.train: expected a file pattern relative to data.path"),
        (
            "data.splits",
            {"train": "t*", "eval": "a/../../e*"},
            "data.splits.eval: expected a file pattern relative to data.path",
        ),
        ("data.splits", {"train": "t*", "eval": "t*"}, "data.splits: train and eval are the same files"),
        ("data.splits", {"train": "t*", "eval": "e*"}, "data.splits: format 'digits' has no files to match"),
        ("train.clients_per_round", 11, "train.clients_per_round: expected at most split.clients (10), got 11"),
        ("train", 5, "train: expected a mapping with keys out of mode, algorithm, executor, rounds, clients_per_round,"),
        ("gate", {"better_than_constant": False}, "gate.thresholds: no threshold"),
        ("gate.thresholds", None, "gate.thresholds: expected a mapping of metric names to bounds"),
        ("gate.thresholds", {"AUC": {}}, "gate.thresholds.AUC: no threshold; give min, max or both"),
        ("gate.thresholds", {"AUC": 0.9}, "gate.thresholds.AUC: expected a mapping with keys out of min, max, got 0.9"),
        (
            "gate.thresholds",
            {"AUC": {"mim": 0.9}},
            "unknown key 'gate.thresholds.AUC.mim'; did you mean 'min'? known: min, max",
        ),
        ("gate.thresholds", {"AUC": {"min": "x"}}, "gate.thresholds.AUC.min: expected a finite number, got 'x'"),
        ("gate.thresholds", {"AUC": {"min": 1, "max": 0}}, "gate.thresholds.AUC: expected min to be at most max"),
        ("gate.thresholds", {5: {"min": 1}}, "gate.thresholds: expected the name of a metric class"),
        ("gate.metrics", "AUC", "gate.metrics: expected a list of metric names, got 'AUC'"),
        ("gate.metrics", ["AUC", "AUC"], "gate.metrics: expected each item once, got ['AUC', 'AUC']"),
        ("gate.slices", ["a", ["a"]], "gate.slices: expected each item once"),
    ],
)
def test_wrong_value_is_refused_with_its_key_and_what_is_allowed(key, value, message):
    assert refusal(from_dict, changed(key, value)).startswith(message)


def test_direct_construction_is_checked_like_a_file():
    assert refusal(TrainConfig, rounds=0, clients_per_round=1).startswith("train.rounds: expected")
    assert refusal(GateConfig, better_than_constant=False).startswith("gate.thresholds: no threshold")


@pytest.mark.parametrize("key", ["name", "model", "data", "train", "data.format"])
def test_missing_key_is_named(key):
    tree = copy.deepcopy(SMALLEST)
    *sections, last = key.split(".")
    place = tree
    for section in sections:
        place = place[section]
    del place[last]
    assert refusal(from_dict, tree) == f"missing key {key!r}; it has no default"


def test_unknown_key_comes_with_a_guess_and_the_known_ones():
    message = refusal(from_dict, changed("train.round", 5))
    assert message.startswith("unknown key 'train.round'; did you mean 'rounds'? known: mode, algorithm, executor, rounds,")
    assert refusal(from_dict, changed("batchSize", 5)).startswith("unknown key 'batchSize'; known: name, model, data,")


def test_section_without_any_key_left_has_its_defaults(tmp_path):
    file = write(tmp_path, resolved(from_dict(SMALLEST)).split("baseline:")[0] + "baseline:\n  # epochs: 3\n")
    assert load(file).baseline.epochs == 10


def test_exponent_without_a_dot_is_a_number(tmp_path):
    file = write(tmp_path, resolved(from_dict(SMALLEST)).replace("learning_rate: 0.001", "learning_rate: 1e-3"))
    assert load(file).baseline.learning_rate == 0.001
    assert load(file, ["baseline.learning_rate=2E+1"]).baseline.learning_rate == 20.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", " is empty; expected a mapping"),
        ("# nothing\n", " is empty; expected a mapping"),
        ("- a\n- b\n", ": expected a mapping of keys to values, got ['a', 'b']"),
        ("name: a\nseed: 1\nname: b\n", ", line 3: duplicate key 'name'"),
        ("name: a\ntrain:\n  rounds: 5\n  rounds: 6\n", ", line 4: duplicate key 'rounds'"),
        ("name: a\nmodel: [b\n", ", line 3: expected ',' or ']'"),
        ("name: a\n\tseed: 1\n", ", line 2: found character '\\t'"),
        ("name: !!python/object:os.system a\n", ", line 1: could not determine a constructor"),
        ("name: a\n---\nname: b\n", ", line 2: but found another document"),
        ("name: 2024-02-31\n", ": not valid YAML: day is out of range"),
        ("name: a\x00b\n", ": not valid YAML: unacceptable character"),
        pytest.param(
            "name: " + "[" * 3000,
            ": nested too deeply; expected keys and values a few levels deep",
            id="nested",
            marks=pytest.mark.slow,
        ),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", ": expected YAML in UTF-8, got bytes that are not text"),
    ],
)
def test_file_that_is_no_config_is_refused_in_one_line(tmp_path, text, message):
    file = write(tmp_path, text)
    assert refusal(load, file).startswith(f"{file}{message}")


def test_file_that_is_not_there_or_a_directory_is_refused_in_one_line(tmp_path):
    assert refusal(load, tmp_path / "none.yaml") == f"no config file at {tmp_path / 'none.yaml'}; expected a YAML file"
    assert refusal(load, tmp_path).startswith(f"{tmp_path} is a directory; expected the config file itself")


def test_override_replaces_adds_and_unsets(tmp_path):
    file = write(tmp_path, FULLEST)
    overrides = [
        "train.rounds=9",
        "train.local_epochs=2",
        "gate.thresholds.SparseCategoricalAccuracy.min=0.99",
        "data.schema=",
        "split={strategy: iid, clients: 30}",
        "gate.metrics=[AUC, Recall]",
        "seed=1",
        "seed=2",
    ]
    config = load(file, overrides)
    assert (config.train.rounds, config.train.local_epochs, config.seed, config.data.schema) == (9, 2, 2, None)
    assert config.gate.thresholds["SparseCategoricalAccuracy"] == Bounds(min=0.99)
    assert config.split == SplitConfig("iid", clients=30)
    assert config.gate.metrics == ("AUC", "Recall")


def test_override_reaches_a_section_that_the_file_leaves_out(tmp_path):
    assert load(write(tmp_path, SMALLEST), ["baseline.epochs=3"]).baseline.epochs == 3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.rounds", "override 'train.rounds': expected key=value, such as train.rounds=5"),
        ("=5", "override '=5': expected key=value"),
        ("train..rounds=5", "override 'train..rounds=5': expected key=value"),
        ("train.rounds=[5", "override 'train.rounds=[5', line 1: expected ',' or ']'"),
        ("train.rounds=five", "train.rounds: expected a whole number of at least 1, got 'five'"),
        ("train.rounds=", "train.rounds: required by mode 'federated'"),
        ("train.round=5", "unknown key 'train.round'; did you mean 'rounds'? known: mode,"),
        ("trian.rounds=5", "unknown key 'trian'; did you mean 'train'? known: name,"),
        ("train.rounds.x=5", "cannot set 'train.rounds.x': expected a mapping at 'train.rounds', got 5"),
    ],
)
def test_wrong_override_is_refused_in_one_line(tmp_path, override, message):
    assert refusal(load, write(tmp_path, SMALLEST), [override]).startswith(message)


def test_relative_paths_start_at_the_file_or_for_an_override_at_the_working_directory(tmp_path, monkeypatch):
    here = tmp_path / "here"
    case = tmp_path / "case"
    for folder in (here, case):
        folder.mkdir()
    monkeypatch.chdir(here)
    tree = changed("data", {"format": "csv", "path": "../data", "schema": "schema.pbtxt"})
    tree["gate"]["approvals"] = "approvals.yaml"
    config = load(Path("..", "case", write(case, tree).name))
    assert (config.data.path, config.data.schema) == (str(tmp_path / "data"), str(case / "schema.pbtxt"))
    assert config.gate.approvals == str(case / "approvals.yaml")
    assert load(case / "config.yaml", ["gate.approvals=a.yaml"]).gate.approvals == str(here / "a.yaml")
    assert load(case / "config.yaml", ["data.path=csv"]).data.path == str(here / "csv")
    assert load(case / "config.yaml", ["data={format: csv, path: csv}"]).data.path == str(here / "csv")
    assert load(case / "config.yaml", ["data.path=gs://bucket/csv"]).data.path == "gs://bucket/csv"


def test_printed_config_means_the_same_from_another_directory(tmp_path):
    (tmp_path / "case").mkdir()
    config = load(write(tmp_path / "case", changed("data", {"format": "csv", "path": "data"})))
    assert load(write(tmp_path, resolved(config))) == config


def test_digest_does_not_depend_on_where_the_checkout_lies(tmp_path):
    digests = []
    for place, path in [("a", "../data"), ("b", "../data"), ("b", str(tmp_path / "data")), ("b", "../other")]:
        (tmp_path / place).mkdir(exist_ok=True)
        tree = changed("data", {"format": "csv", "path": path, "schema": "schema.pbtxt"})
        config = load(write(tmp_path / place, tree))
        digests.append(digest(config))
        assert digest(pickle.loads(pickle.dumps(config))) == digests[-1]
        assert type(as_dict(config)["data"]["path"]) is str
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_as_dict_leaves_out_what_is_not_set():
    assert as_dict(from_dict(SMALLEST))["split"] == {"strategy": "iid", "clients": 10}


def test_importing_config_gate_and_runner_loads_no_heavy_package():  # TensorFlow talks while the log does not listen yet
    code = """
import sys, pipeline.config, pipeline.gate, local_runner
heavy = {"tensorflow", "tensorflow_federated", "tensorflow_model_analysis", "tfx", "apache_beam"}
sys.exit(", ".join(heavy & set(sys.modules)) or None)
"""
    root = Path(pipeline.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
