"""Whole trainings on the linear model: learning, records, participation, what is exported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from components.federated_trainer import isolation
from errors import TrainingError


@pytest.fixture(scope="module")
def uri(write_clients, records) -> str:
    """Six clients of 10 to 35 examples, in several blocks each, and something held out."""
    clients = {f"client-{i}": records(10 + 5 * i, i) for i in range(6)}
    return write_clients("six", clients, 300, {f"client-{i}": records(20, 50 + i) for i in range(3)})


@pytest.fixture(scope="module")
def first(make_job, train, uri) -> Any:
    return train(make_job("first", uri, rounds=6, clients_per_round=3, local_epochs=2))


def test_federated_averaging_learns_the_function_behind_the_data(first) -> None:
    kernel, bias = first.weights
    np.testing.assert_allclose(kernel[:, 0], [1, 2, 3], atol=0.05)
    np.testing.assert_allclose(bias, [0.5], atol=0.05)
    assert first.facts["train_loss"] < 0.01


def test_every_round_is_on_record(first) -> None:
    assert [int(row["round"]) for row in first.rows] == [result.number for result in first.told] == [1, 2, 3, 4, 5, 6]
    assert {(row["sampled"], row["clients"], row["excluded"], row["attempts"]) for row in first.rows} == {("3", "3", "0", "1")}
    assert all(45 <= int(row["examples"]) <= 90 and int(row["examples"]) % 5 == 0 for row in first.rows)
    assert float(first.rows[-1]["loss"]) == pytest.approx(first.facts["train_loss"])
    events = EventAccumulator(first.job.run_dir, size_guidance={"tensors": 0}).Reload()
    assert [event.step for event in events.Tensors("federated/loss")] == [1, 2, 3, 4, 5, 6]


def test_facts_tell_how_the_model_came_about(first) -> None:
    facts = dict(first.facts)
    assert facts.pop("train_loss") > 0
    assert 1 / 3 < facts.pop("largest_weight_share") <= 35 / 60
    assert len(facts.pop("sampling_digest")) == 32
    assert facts == {
        "rounds": 6,
        "clients": 6,
        "clients_per_round": 3,
        "exported": "last",
        "exported_round": 6,
        "attempts": 6,
        "excluded_updates": 0,
        "least_clients": 3,
    }


def test_no_client_is_named_in_the_progress_or_the_results(first) -> None:
    assert "client-" not in json.dumps(first.facts) + Path(first.job.run_dir, "rounds.csv").read_text()


@pytest.mark.slow
def test_another_seed_gives_others(first, make_job, train, uri) -> None:
    other = train(replace(first.job, seed=2, run_dir=f"{first.job.run_dir}-2", model_dir=f"{first.job.model_dir}-2"))
    assert not np.array_equal(first.weights[0], other.weights[0])
    assert first.facts["sampling_digest"] != other.facts["sampling_digest"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "rates", "number"),
    [("client", {"client_learning_rate": 1e30}, 1), ("server", {"server_learning_rate": 1e38}, 2)],
)
def test_weights_that_are_not_finite_stop_the_training_and_name_the_round(name, rates, number, make_job, train, uri) -> None:
    job = make_job(f"diverging-{name}", uri, rounds=3, clients_per_round=2, **rates)
    with pytest.raises(TrainingError, match=f"finite after round {number}; expected finite numbers. Lower train.client_lea"):
        train(job)
    assert not Path(job.model_dir).exists()


# Participation


@pytest.mark.slow
def test_clients_count_by_what_they_have_among_those_that_report(make_job, train, uri) -> None:
    """The mean over those who report is the mean over them alone: with full drop-out of the others nothing is shrunk."""
    sampled = {"sampling": "full", "drop_out": 0.6, "retries": 50}
    trained = train(make_job("dropping", uri, rounds=8, clients_per_round=None, local_epochs=2, participation=sampled))
    assert {result.sampled for result in trained.told} == {trained.facts["clients_per_round"]} == {6}
    assert {result.clients for result in trained.told} > {2}
    assert trained.facts["least_clients"] == min(result.clients for result in trained.told)
    np.testing.assert_allclose(trained.weights[0][:, 0], [1, 2, 3], atol=0.05)


@pytest.mark.slow
def test_full_round_of_one_step_is_the_weighted_mean_of_the_gradients(make_job, train, write_clients, records) -> None:
    """Three clients, one batch each: the step of FedSGD over whoever reports, written out with NumPy."""
    sizes = {"ann": 8, "bob": 4, "cid": 12}
    data = {name: records(size, number) for number, (name, size) in enumerate(sizes.items())}
    uri = write_clients("three", data)
    settings = {"clients_per_round": None, "batch_size": 12, "client_learning_rate": 0.1}
    start = train(make_job("three-0", uri, **{**settings, "client_learning_rate": 1e-12})).weights
    for name, weighting, capped in (("examples", "examples", None), ("uniform", "uniform", None), ("capped", "examples", 6)):
        part = {"sampling": "full"}
        job = make_job(
            f"three-{name}", uri, weighting=weighting, max_examples=capped, shuffle=False, participation=part, **settings
        )
        changes, weights = [], []
        for client in sizes:
            x, y = arrays(data[client][:capped])
            error = x @ start[0][:, 0] + start[1][0] - y
            changes.append(-0.1 * 2 * np.append(x.T @ error, error.sum()) / len(y))
            weights.append(len(y) if weighting == "examples" else 1)
        expected = np.append(start[0], start[1]) + np.average(changes, axis=0, weights=weights)
        kernel, bias = train(job).weights
        np.testing.assert_allclose(np.append(kernel, bias), expected, rtol=1e-5)


def arrays(serialized: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    features = [tf.train.Example.FromString(record).features.feature for record in serialized]
    return np.array([f["x"].float_list.value for f in features]), np.array([f["y"].float_list.value[0] for f in features])


@pytest.mark.slow
def test_slow_clients_do_less_or_come_too_late(make_job, train, uri) -> None:
    slow = {"sampling": "full", "stragglers": 0.5}
    settings = {"rounds": 4, "clients_per_round": None, "local_epochs": 4}
    partial = train(make_job("partial", uri, **settings, participation=slow))
    late = train(make_job("late", uri, **settings, participation={**slow, "straggler_work": "none"}))
    assert {result.clients for result in partial.told} == {6}
    assert sum(result.late for result in partial.told) > 0
    assert all(result.clients + result.late == result.sampled == 6 for result in late.told)
    assert sum(result.late for result in late.told) > 0


def test_poisson_rounds_have_various_sizes_and_one_without_anybody_is_drawn_again(make_job, train, uri) -> None:
    job = make_job("poisson", uri, rounds=12, participation={"sampling": "poisson", "retries": 30})
    told = train(job).told
    assert len({result.sampled for result in told}) > 1
    assert min(result.clients for result in told) >= 1
    assert sum(result.attempts for result in told) > 12


@pytest.mark.slow
def test_same_cohort_has_the_same_digest_under_the_same_seed(make_job, train, uri) -> None:
    job = make_job("digests", uri, rounds=2, clients_per_round=None, participation={"sampling": "full"})
    once, again = train(job), train(job)
    assert [row["cohort"] for row in once.rows] == [row["cohort"] for row in again.rows]
    assert once.rows[0]["cohort"] != once.rows[1]["cohort"]


def test_round_without_a_quorum_is_drawn_again_and_then_the_training_stops_with_one_line(make_job, train, uri, caplog) -> None:
    job = make_job(
        "quorum",
        uri,
        rounds=3,
        clients_per_round=None,
        participation={"sampling": "full", "drop_out": 0.97, "quorum": 6, "retries": 2},
    )
    with pytest.raises(TrainingError) as caught:
        train(job)
    assert "updates that count after 3 attempts; expected at least 6 (train.participation.quorum" in str(caught.value)
    assert str(caught.value).startswith("round 1 has ")
    assert "\n" not in str(caught.value)
    assert [record.getMessage().split(":")[0] for record in caplog.records if "attempt" in record.getMessage()] == [
        f"round 1, attempt {number}" for number in (1, 2, 3)
    ]
    assert len(list(Path(job.state_dir).glob("checkpoints/*/attempt-000003-*"))) == 1


# What is exported, and when it ends


@pytest.fixture(scope="module")
def evaluated(make_job, train, uri) -> Any:
    """Learns so fast that it soon gets worse, evaluated in every second round."""
    settings = {"rounds": 5, "clients_per_round": None, "participation": {"sampling": "full"}, "client_learning_rate": 0.05}
    return train(
        make_job(
            "evaluated",
            uri,
            **settings,
            server_schedule={"kind": "linear", "warmup_rounds": 3, "decay_rounds": 1, "floor": 0.0},
            server_learning_rate=3.0,
            evaluation={"every": 2, "metric": "loss", "min_delta": 0.0},
            export="best",
        )
    )


def test_held_out_metrics_are_in_the_rounds_that_have_them_and_after_the_last(evaluated) -> None:
    held_out = [row["heldout_loss"] for row in evaluated.rows]
    assert [bool(value) for value in held_out] == [False, True, False, True, True]
    assert evaluated.facts["heldout_loss"] == pytest.approx(float(held_out[-1]))
    events = EventAccumulator(evaluated.job.run_dir, size_guidance={"tensors": 0}).Reload()
    assert [event.step for event in events.Tensors("federated/heldout_loss")] == [2, 4, 5]


@pytest.mark.slow
def test_best_round_is_exported(evaluated, make_job, train, uri) -> None:
    best = min((float(row["heldout_loss"]), int(row["round"])) for row in evaluated.rows if row["heldout_loss"])
    assert evaluated.facts["exported_round"] == best[1]
    settings = {key: value for key, value in evaluated.job.settings.items() if key not in ("rounds", "export", "evaluation")}
    upto = train(make_job("upto", uri, **settings, rounds=best[1]))
    assert all(np.array_equal(a, b) for a, b in zip(evaluated.weights, upto.weights, strict=True))


@pytest.mark.slow
def test_average_of_the_weights_is_exported(make_job, train, uri) -> None:
    """With decay d the average is d * average + (1 - d) * weights, from the weights of round 1 on."""
    settings = {"clients_per_round": None, "participation": {"sampling": "full"}, "client_learning_rate": 0.02}
    each = [train(make_job(f"round-{rounds}", uri, rounds=rounds, **settings)).weights for rounds in (1, 2, 3)]
    averaged = train(make_job("averaged", uri, rounds=3, **settings, export="average", average_decay=0.75))
    for one, two, three, got in zip(*each, averaged.weights, strict=True):
        np.testing.assert_allclose(got, 0.75 * (0.75 * one + 0.25 * two) + 0.25 * three, rtol=1e-6)
    assert averaged.facts["exported"] == "average"


def test_training_that_gets_no_better_stops_early(make_job, train, uri) -> None:
    evaluation = {"every": 1, "metric": "loss", "patience": 3, "min_delta": 1e6}
    trained = train(make_job("patient", uri, rounds=50, clients_per_round=3, evaluation=evaluation))
    assert (
        trained.facts["rounds"] == len(trained.rows) == 4
    )  # the first evaluation is the best so far; three more are not better
    assert trained.told[-1].of == 50


# Clients that are not to count


@pytest.fixture(scope="module")
def spoiled(write_clients, records) -> str:
    """Two clients, one with NaN in its data."""
    example = tf.train.Example.FromString(records(1, 9)[0])
    example.features.feature["x"].float_list.value[0] = float("nan")
    return write_clients("spoiled", {"ann": records(12, 1), "bob": [example.SerializeToString()] * 5})


def test_client_with_nan_in_its_data_is_left_out_and_the_others_count(make_job, train, spoiled) -> None:
    trained = train(make_job("spoiled-run", spoiled, clients_per_round=2))
    assert np.isfinite(trained.facts["train_loss"])
    assert np.all(np.isfinite(trained.weights[0]))
    assert trained.facts["excluded_updates"] == 1
    assert [(row["clients"], row["excluded"], row["examples"], row["left_out"]) for row in trained.rows] == [
        ("1", "1", "12", "5")
    ]


@pytest.mark.slow
def test_round_of_nobody_but_clients_with_nan_is_drawn_again(make_job, train, spoiled) -> None:
    trained = train(make_job("redrawn", spoiled, rounds=8, clients_per_round=1, participation={"retries": 20}))
    assert trained.facts["attempts"] > 8
    assert {result.examples for result in trained.told} == {12}


@pytest.mark.slow
def test_process_of_its_own_gives_the_same_bits_and_tells_of_clients_that_are_left_out(
    make_job, train, spoiled, caplog
) -> None:
    here, there = (make_job(f"spoiled-{where}", spoiled, rounds=2, clients_per_round=2) for where in ("here", "there"))
    with caplog.at_level("INFO", logger=isolation.__name__):
        facts = isolation.run(there)
    assert "round 1/2: 1 client (1 more left out, whose weights are not finite), loss" in caplog.text
    trained = train(here)
    assert facts == trained.facts
    found = tf.keras.models.load_model(there.model_dir).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(trained.weights, found, strict=True))
