"""What is found out before the first round, in one line; which training a job is; the weights it begins with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.federated_split import blocks
from components.federated_trainer import before
from errors import ConfigError, FedtfxError, TrainingError
from modeling import contract

LABELLED = {"parameters": {"label": "y"}}


@pytest.fixture(scope="module")
def uri(write_clients, classes) -> str:
    """Four clients with examples of three classes, which the split has counted."""
    return write_clients("counted", {f"client-{i}": classes(12, i) for i in range(4)}, **LABELLED)


@pytest.fixture
def refused(make_job, train) -> Any:
    """Trains, which must fail with one line before any round; returns it."""

    def run(name: str, uri: str, expected: type[FedtfxError], **job: Any) -> str:
        made = make_job(name, uri, **job)
        rounds: list[Any] = []
        with pytest.raises(expected) as caught:
            train(made, rounds.append)
        assert rounds == []
        assert "\n" not in str(caught.value)
        assert "client-" not in str(caught.value)
        assert not Path(made.model_dir).exists()
        return str(caught.value)

    return run


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("return tf.keras.Sequential(", "model = tf.keras.Sequential("),
            "returned a compiled model; drop the .compile() call.",
        ),
        (("tf.keras.layers.Dense(3)", "tf.keras.layers.BatchNormalization(), tf.keras.layers.Dense(3)"), "is a BatchNormal"),
        (("Dense(3)", "Dense(3), tf.keras.layers.Reshape([3, 1])"), "build_loss failed on made-up examples"),
    ],
    ids=["compiled", "batch normalization", "output does not fit"],
)
def test_model_that_cannot_be_trained_is_refused(change, message, refused, uri, class_source) -> None:
    source = class_source.replace(*change)
    if "model = " in source:
        source = source.replace("Dense(3)])", "Dense(3)]); model.compile('sgd', 'mse'); return model")
    assert message in refused("unfit", uri, ConfigError, source=source)


def test_labels_that_the_model_has_no_output_for_are_found_where_the_split_counted_them(refused, uri, class_source) -> None:
    message = refused("range", uri, TrainingError, source=class_source.replace("Dense(3)", "Dense(2)"))
    assert message.startswith("label 2 does not go with the model's outputs of shape [2]: ")
    assert "outside the valid range of [0, 2)" in message


def test_labels_of_another_type_are_found_where_the_split_counted_them(refused, write_clients, records, class_source) -> None:
    uri = write_clients("floats", {"client-0": records(9, 1)}, **LABELLED)
    assert "expected whole numbers, as FEATURES says" in refused("floats-run", uri, TrainingError, source=class_source)


def test_examples_without_a_label_are_found_where_the_split_counted_them(refused, write_clients, classes, class_source) -> None:
    uri = write_clients("lacking", {"client-0": classes(9, 1)}, examples_without_label=2, **LABELLED)
    message = refused("lacking-run", uri, TrainingError, source=class_source)
    assert message.startswith("2 examples have no label 'y'; expected one in each.")


@pytest.mark.parametrize("parameters", [{}, {"label": "other"}, {"label": "y", "key": "y"}])
def test_what_was_counted_of_another_feature_or_names_clients_is_not_taken_for_labels(
    parameters, make_job, write_clients, classes, class_source
) -> None:
    """Class 2 is out of range, which nothing that was counted tells."""
    uri = write_clients(f"uncounted-{len(parameters)}", {"client-0": classes(9, 1)}, **LABELLED)
    file = Path(uri, blocks.PARTITION_FILE)
    file.write_text(json.dumps({**json.loads(file.read_text()), "parameters": parameters}))
    job = make_job("uncounted", uri, source=class_source.replace("Dense(3)", "Dense(2)"))
    before.check(contract.load(job.module), before.Population.open(uri), job)


def test_label_out_of_range_that_nobody_counted_is_one_line_that_names_the_round(
    make_job, train, write_clients, classes, class_source
) -> None:
    uri = write_clients("unnoticed", {"client-0": classes(9, 1)})
    with pytest.raises(TrainingError) as caught:
        train(make_job("unnoticed-run", uri, source=class_source.replace("Dense(3)", "Dense(2)")))
    assert str(caught.value).startswith("round 1: the clients' work failed: ")
    assert "a label is outside of the valid range of [0, 2)" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clients_per_round": 5}, "train.clients_per_round is 5, but there are 4 clients; set it to at most 4."),
        (
            {"clients_per_round": None, "participation": {"sampling": "full", "quorum": 5}},
            "train.participation.quorum is 5, but a round has 4 clients; set it to at most that.",
        ),
        (
            {"clients_per_round": None, "participation": {"sampling": "full"}, "aggregation": {"rule": "krum", "byzantine": 1}},
            "train.aggregation.rule krum needs the updates of 5 clients, but a round has 4; lower train.aggregation.byzantine,",
        ),
        ({"evaluation": {"every": 1, "metric": "loss"}}, "train.evaluation.every: no example was held out; set split.holdout"),
    ],
    ids=["cohort", "quorum", "rule", "evaluation"],
)
def test_more_than_the_clients_can_give_is_refused(settings, message, refused, uri, class_source) -> None:
    assert refused("greedy", uri, TrainingError, source=class_source, **settings).startswith(message)


@pytest.mark.parametrize(
    ("privacy", "message"),
    [
        ({"noise_multiplier": 4.0}, "the noise is too high for the cohort: multiplier 4, expected less than 4"),
        ({"delta": 0.25}, "privacy.delta is 0.25: expected more than 0 and less than 1/4"),
    ],
)
def test_privacy_that_these_clients_rule_out_is_refused_and_not_on_the_ledger(
    privacy, message, refused, uri, class_source
) -> None:
    settings = {"clients_per_round": 4, "weighting": "uniform", "privacy": privacy}
    assert refused("noisy", uri, ConfigError, source=class_source, **settings).startswith(message)


def test_no_clients_at_all_is_one_line(refused, write_clients, classes) -> None:
    uri = write_clients("nobody", {"client-0": classes(1, 1)})
    index = blocks.split_folder(uri) / blocks.INDEX_FILE
    blocks.pq.write_table(blocks.pq.read_table(index)[:0], index)
    (blocks.split_folder(uri) / blocks.shard_name(0, 1)).write_bytes(b"")
    described = {"num_shards": 1, "index_sha256": {"train": blocks.file_digest(index)}}
    Path(uri, blocks.PARTITION_FILE).write_text(json.dumps(described))
    assert refused("nobody-run", uri, TrainingError).startswith("there are no clients with examples; look at FederatedSplit's")


@pytest.mark.slow
def test_training_begins_with_the_weights_it_is_given(make_job, train, write_clients, records) -> None:
    """They become round 0: a round of next to no learning leaves them as they are."""
    uri = write_clients("warm", {f"client-{i}": records(12, i) for i in range(3)})
    first = train(make_job("first", uri, rounds=2, clients_per_round=2))
    again = train(make_job("again", uri, warm_start=first.job.model_dir, client_learning_rate=1e-12))
    for expected, got in zip(first.weights, again.weights, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_model_to_begin_with_that_does_not_fit_is_refused(refused, uri, class_source, tmp_path) -> None:
    model = tf.keras.Sequential([tf.keras.layers.Input([3]), tf.keras.layers.Dense(4)])
    model.save(tmp_path / "other", save_format="tf")
    message = refused("misfit", uri, TrainingError, source=class_source, warm_start=str(tmp_path / "other"))
    assert message.startswith("the model to begin with has weights of shapes [[3, 4], [4]]; build_model() makes [[3, 3], [3]].")
    message = refused("nothing", uri, TrainingError, source=class_source, warm_start=str(tmp_path))
    assert message.startswith(f"the model to begin with at {tmp_path} cannot be read (OSError: ")


def test_job_is_another_training_if_anything_that_decides_the_weights_differs(
    make_job, uri, write_clients, classes, tmp_path
) -> None:
    job = make_job("job", uri, rounds=3)

    def identity(job: Any) -> str:
        return before.identity(job, contract.load(job.module))

    other_data = write_clients("other data", {"client-0": classes(12, 7)})
    (tmp_path / "model").write_text("weights")
    others = [
        replace(job, seed=2),
        replace(job, examples_uri=other_data),
        replace(job, warm_start=str(tmp_path)),
        make_job("job", uri, rounds=4),
        make_job("job", uri, rounds=3, participation={"drop_out": 0.1}),
        make_job("job", uri, rounds=3, source=Path(contract.load(job.module).path).read_text() + "\n# an edit\n"),
    ]
    assert len({identity(job), *map(identity, others)}) == len(others) + 1
    assert identity(job) == identity(make_job("elsewhere", uri, rounds=3))
    for harmless in ({"executor": "beam"}, {"checkpoint": {"every": 1}}, {"participation": {"quorum": 2, "retries": 9}}):
        assert identity(job) == identity(make_job("elsewhere", uri, rounds=3, **harmless))
    private = {"privacy": {"noise_multiplier": 1.0}}
    assert identity(job) != identity(make_job("elsewhere", uri, rounds=3, **private))
    budgets = [
        make_job("elsewhere", uri, rounds=3, privacy={"noise_multiplier": 1.0, "budget": budget}) for budget in (1.0, 2.0)
    ]
    assert identity(budgets[0]) == identity(budgets[1]) == identity(make_job("elsewhere", uri, rounds=3, **private))
