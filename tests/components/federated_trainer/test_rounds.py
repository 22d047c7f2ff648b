"""Whole trainings, each in a process of its own."""

from __future__ import annotations

import csv
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from components.federated_trainer import isolation
from errors import TrainingError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def uri(write_clients, records) -> str:
    """Six clients of 10 to 35 examples, in several blocks each."""
    return write_clients("six", {f"client-{i}": records(10 + 5 * i, i) for i in range(6)}, block_bytes=300)


def weights(job) -> list[np.ndarray]:
    return tf.keras.models.load_model(job.model_dir).get_weights()


@pytest.fixture(scope="module")
def first(make_job, uri):
    job = make_job("first", uri, seed=1, rounds=6, clients_per_round=3, local_epochs=2)
    return job, isolation.run(job)


def test_federated_averaging_learns_the_function_behind_the_data(first) -> None:
    job, facts = first
    kernel, bias = weights(job)
    np.testing.assert_allclose(kernel[:, 0], [1, 2, 3], atol=0.05)
    np.testing.assert_allclose(bias, [0.5], atol=0.05)
    assert (facts["rounds"], facts["clients"]) == (6, 6)
    assert facts["train_loss"] < 0.01


def test_every_round_is_on_record(first) -> None:
    job, facts = first
    with open(Path(job.run_dir, "rounds.csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["round"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    assert {int(row["clients"]) for row in rows} == {3}
    assert all(45 <= int(row["examples"]) <= 90 and int(row["examples"]) % 5 == 0 for row in rows)
    assert float(rows[-1]["loss"]) == pytest.approx(facts["train_loss"])
    events = EventAccumulator(job.run_dir, size_guidance={"tensors": 0}).Reload()
    assert [event.step for event in events.Tensors("federated/loss")] == [1, 2, 3, 4, 5, 6]


def test_another_process_gives_the_same_bits_and_another_seed_others(first, make_job, uri) -> None:
    job, facts = first
    again = make_job("again", uri, seed=1, rounds=6, clients_per_round=3, local_epochs=2)
    other = make_job("other", uri, seed=2, rounds=6, clients_per_round=3, local_epochs=2)
    assert isolation.run(again) == facts
    isolation.run(other)
    assert all(np.array_equal(a, b) for a, b in zip(weights(job), weights(again), strict=True))
    assert not np.array_equal(weights(job)[0], weights(other)[0])


@pytest.mark.parametrize(
    ("name", "rates", "number"),
    [("client", {"client_learning_rate": 1e30}, 1), ("server", {"server_learning_rate": 1e38}, 2)],
)
def test_weights_that_are_not_finite_stop_the_training_and_name_the_round(name, rates, number, make_job, uri) -> None:
    job = make_job(f"diverging-{name}", uri, rounds=3, clients_per_round=2, **rates)
    with pytest.raises(TrainingError, match=f"finite after round {number}; expected finite numbers. Lower train.client_lea"):
        isolation.run(job)
    assert not Path(job.model_dir).exists()


def test_a_client_with_nan_in_its_data_is_left_out_and_the_others_count(
    make_job, write_clients, records, linear_source, caplog
) -> None:
    spoiled = tf.train.Example.FromString(records(1, 9)[0])
    spoiled.features.feature["x"].float_list.value[0] = float("nan")
    uri = write_clients("spoiled", {"ann": records(12, 1), "bob": [spoiled.SerializeToString()] * 5})
    job = make_job("spoiled-run", uri, clients_per_round=2)
    with caplog.at_level(logging.INFO, logger=isolation.__name__):
        assert np.isfinite(isolation.run(job)["train_loss"])
    assert np.all(np.isfinite(weights(job)[0]))
    with open(Path(job.run_dir, "rounds.csv"), newline="") as file:
        assert [(row["examples"], row["left_out"]) for row in csv.DictReader(file)] == [("12", "5")]
    assert "2 clients (5 examples left out, their client's weights are not finite), loss" in caplog.text


def test_more_clients_per_round_than_clients_is_one_line(make_job, uri) -> None:
    with pytest.raises(TrainingError) as caught:
        isolation.run(make_job("greedy", uri, clients_per_round=7))
    assert str(caught.value) == "train.clients_per_round is 7, but there are 6 clients; set it to at most 6."


def test_labels_that_the_model_has_no_output_for_are_one_line_that_names_the_round(make_job, uri, linear_source) -> None:
    classes = linear_source.replace("MeanSquaredError()", "SparseCategoricalCrossentropy(from_logits=True)")
    with pytest.raises(TrainingError) as caught:
        isolation.run(make_job("labels", uri, source=classes.replace("Dense(1)", "Dense(2)")))
    assert str(caught.value).startswith("round 1 failed in TFF's worker: ")
    assert "outside the valid range of [0, 2)" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_client_is_named_in_the_progress_or_the_results(first) -> None:
    job, facts = first
    assert "client-" not in json.dumps(facts) + Path(job.run_dir, "rounds.csv").read_text()
