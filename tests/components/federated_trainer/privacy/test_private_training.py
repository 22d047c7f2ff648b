"""Trainings with differential privacy: the ledger before and after, noise, denominators, and what is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.federated_trainer import rounds
from components.federated_trainer.checkpoints import sweep
from components.federated_trainer.privacy import accounting as privacy
from components.federated_trainer.privacy.ledger import Ledger
from components.federated_trainer.rounds import Job
from errors import TrainingError

pytestmark = pytest.mark.slow

DELTA = 0.02
EVERYBODY = {"clients_per_round": None, "participation": {"sampling": "full"}}


@pytest.fixture(scope="module")
def uri(write_clients, records) -> str:
    """Twenty clients, and examples that nobody trains on."""
    return write_clients(
        "twenty", {f"client-{i:02d}": records(8, i) for i in range(20)}, held_out={"client-00": records(9, 99)}
    )


@pytest.fixture
def make_private(make_job, uri) -> Any:
    """A job with differential privacy; sections only as far as given."""

    def make(name: str, seed: int = 1, **settings: Any) -> Job:
        given = {"delta": DELTA, "noise_multiplier": 1.0, **settings.pop("privacy", {})}
        return make_job(name, uri, seed=seed, **{"clients_per_round": 10, "weighting": "uniform", "privacy": given, **settings})

    return make


def ledger(job: Job) -> Ledger:
    return Ledger(str(Path(job.state_dir, "privacy", "people.jsonl")))


def entries(job: Job) -> list[dict[str, Any]]:
    file = Path(job.state_dir, "privacy", "people.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def elsewhere(job: Job, name: str) -> Job:
    """The same training with files of its own, on the same ledger."""
    return replace(job, model_dir=f"{job.model_dir}-{name}", run_dir=f"{job.run_dir}-{name}")


@pytest.fixture(scope="module")
def poisson(make_job, train, uri) -> Any:
    """A training of six rounds; what was on the ledger when each was reported."""
    settings = {"clients_per_round": 10, "participation": {"sampling": "poisson"}}
    privacy = {"delta": DELTA, "noise_multiplier": 1.5, "noise": "seeded"}
    job = make_job("poisson", uri, rounds=6, weighting="uniform", privacy=privacy, **settings)
    seen: list[list[str]] = []
    trained = train(job, lambda result: seen.append([entry["kind"] for entry in entries(job)]))
    return trained, seen


def test_rounds_are_reserved_before_the_first_and_settled_after_the_last(poisson) -> None:
    trained, seen = poisson
    assert seen[0][0] == "reserve"
    assert all("spend" not in kinds for kinds in seen)
    assert entries(trained.job)[0]["release"]["rounds"] == 6
    assert entries(trained.job)[-1]["kind"] == "spend"


def test_rounds_are_what_is_accounted_for(poisson) -> None:
    trained, _ = poisson
    assert trained.facts["attempts"] == entries(trained.job)[-1]["rounds"] == 6
    release = privacy.Release("gaussian", "poisson", 1.5, 10, 20, 6)
    assert trained.facts["epsilon"] == pytest.approx(privacy.guarantee([release], DELTA).epsilon)
    assert trained.told[-1].facts["epsilon_rdp"] == pytest.approx(privacy.guarantee([release], DELTA).rdp)


def test_model_tells_what_it_promises_and_to_whom(poisson) -> None:
    facts = poisson[0].facts
    told = {key: facts[key] for key in ("delta", "privacy_unit", "noise_multiplier", "noise", "privacy_ledger_digest")}
    assert told == {
        "delta": DELTA,
        "privacy_unit": "client level, add/remove one client, delta=0.02",
        "noise_multiplier": 1.5,
        "noise": "seeded",
        "privacy_ledger_digest": ledger(poisson[0].job).head(),
    }
    assert facts["epsilon"] == facts["epsilon_total"] <= facts["epsilon_rdp"]


def test_what_epsilon_does_not_cover_is_said_before_training_and_stands_in_the_records(poisson) -> None:
    trained, _ = poisson
    assert trained.said[0].startswith("this training: epsilon ")
    assert privacy.NOT_COVERED in trained.said[0]
    record = json.loads(Path(trained.job.run_dir, "privacy.json").read_text())
    assert record["not_covered"] == privacy.NOT_COVERED
    assert record["guarantee"] == f"epsilon {trained.facts['epsilon']:.4g} (client level, add/remove one client, delta=0.02)"
    assert record["release"]["rounds"] == trained.facts["attempts"]
    assert any("expect slow learning" in line for line in record["cautions"])


@pytest.mark.slow
def test_round_of_nobody_releases_noise_alone_and_is_not_drawn_again(make_private, train) -> None:
    """To draw it again would tell that nobody was there."""
    settings = {"participation": {"drop_out": 0.9, "retries": 3}, "rounds": 8}
    trained = train(make_private("nobody", privacy={"noise": "seeded"}, **settings))
    empty = [result for result in trained.told if not result.clients]
    assert empty and len(empty) < 8
    assert {result.attempts for result in trained.told} == {1}
    assert trained.facts["attempts"] == len(trained.told) == 8
    assert all(np.isnan(value) for result in empty for value in result.metrics.values())
    assert {result.facts["noise_std"] for result in empty} == {0.1}
    assert [row["loss"] == "nan" for row in trained.rows] == [not result.clients for result in trained.told]
    assert np.isfinite(trained.facts["train_loss"])


@pytest.mark.slow
def test_round_of_nobody_changes_the_weights_by_noise(make_private, train) -> None:
    nobody = {"drop_out": 1 - 1e-12}
    settings = {"participation": nobody, "rounds": 1, "evaluation": {"every": 1, "metric": "loss", "min_delta": 0.0}}
    noisy, still = (
        train(make_private(f"only-noise-{z}", privacy={"noise_multiplier": z, "noise": "seeded"}, **settings))
        for z in (1.0, 0.0)
    )
    assert noisy.told[0].clients == still.told[0].clients == 0
    moved = np.concatenate([(a - b).ravel() for a, b in zip(noisy.weights, still.weights, strict=True)])
    assert 0.02 < np.sqrt(np.mean(moved**2)) < 0.3  # of 1.0 * 1.0 / 10
    assert "train_loss" not in noisy.facts


@pytest.mark.slow
def test_round_of_nobody_but_clients_with_nan_releases_noise_alone(make_private, train, write_clients, records) -> None:
    examples = []
    for serialized in records(4, 1):
        example = tf.train.Example.FromString(serialized)
        example.features.feature["x"].float_list.value[0] = float("nan")
        examples.append(example.SerializeToString())
    broken = write_clients("broken", {f"client-{i:02d}": examples for i in range(20)})
    trained = train(replace(make_private("only-nan", rounds=2, privacy={"noise": "seeded"}), examples_uri=broken))
    assert [(result.clients, result.excluded, result.attempts) for result in trained.told] == [(0, 10, 1)] * 2
    assert np.all(np.isfinite(trained.weights[0]))


def test_ledger_that_cannot_be_written_is_named_in_one_line(make_private, train) -> None:
    job = make_private("no-ledger")
    Path(job.state_dir).mkdir(parents=True)
    Path(job.state_dir, "privacy").write_text("a file where a folder is expected")
    with pytest.raises(TrainingError, match=r"the privacy ledger in .*no-ledger/state/privacy cannot be written or read: File"):
        train(job)


def test_ledger_that_fails_at_the_end_does_not_hide_what_failed_first(make_private, train) -> None:
    job = make_private("both-fail", rounds=3)
    said: list[str] = []

    def fail(_: Any) -> None:
        Path(job.state_dir, "privacy", "people.jsonl").write_text("{}\n")
        raise TrainingError("this came first.")

    with pytest.raises(TrainingError, match="this came first"):
        rounds.train(job, fail, said.append)
    assert said[-1].startswith("the privacy ledger counts the rounds as planned: ")


def test_training_that_was_not_published_does_not_pay_twice(poisson, train) -> None:
    trained, _ = poisson
    before = entries(trained.job)
    again = train(elsewhere(trained.job, "unpublished"))
    assert again.told == []
    assert again.facts == trained.facts
    assert entries(trained.job) == before


@pytest.mark.slow
def test_raised_budget_goes_on_with_the_same_release(make_private, train) -> None:
    job = make_private("raised", rounds=2, checkpoint={"every": 1})
    told: list[Any] = []

    def stop(result: Any) -> None:
        told.append(result)
        raise TrainingError("stopped")

    with pytest.raises(TrainingError, match="stopped"):
        train(job, stop)
    raised = {**job.settings, "privacy": {**job.settings["privacy"], "budget": 1000.0}}
    again = train(replace(job, settings=raised))
    assert [result.number for result in again.told] == [2]
    assert len({entry["release_id"] for entry in entries(job)}) == 1


def test_counts_that_the_guarantee_does_not_cover_are_not_written(poisson) -> None:
    columns = set(poisson[0].rows[0])
    assert {"clip", "noise_std", "epsilon_rdp"} <= columns
    assert not {"clipped", "zeroed"} & columns


@pytest.mark.slow
def test_second_training_on_the_same_clients_adds_up(make_private, train) -> None:
    job = make_private("adding-up", rounds=2)
    first = train(job)
    sweep(job.state_dir)
    second = train(elsewhere(job, "2"))
    release = privacy.Release("gaussian", "fixed", 1.0, 10, 20, 2)
    assert second.facts["epsilon"] == first.facts["epsilon"]
    assert second.facts["epsilon_total"] == pytest.approx(privacy.guarantee([release, release], DELTA).epsilon)
    assert f"with all before it on these clients: epsilon {second.facts['epsilon_total']:.4g}" in second.said[0]


@pytest.mark.slow
def test_secret_noise_is_never_the_same_twice(make_private, train) -> None:
    job = make_private("secret", rounds=1)
    first = train(job)
    sweep(job.state_dir)
    second = train(elsewhere(job, "2"))
    assert not np.array_equal(first.weights[0], second.weights[0])
    assert first.rows[0]["cohort"] != second.rows[0]["cohort"]


@pytest.mark.slow
def test_seeded_noise_is_the_same_again_counts_once_and_is_called_what_it_is(make_private, train) -> None:
    job = make_private("seeded", rounds=1, privacy={"noise": "seeded"})
    first = train(job)
    sweep(job.state_dir)
    second = train(elsewhere(job, "2"))
    assert np.array_equal(first.weights[0], second.weights[0])
    assert second.facts["epsilon_total"] == first.facts["epsilon"]
    assert second.facts["noise"] == "seeded"
    assert privacy.SEEDED_NOISE in second.said
    assert privacy.SEEDED_NOISE in json.loads(Path(second.job.run_dir, "privacy.json").read_text())["cautions"]


@pytest.mark.slow
def test_two_trainings_under_one_seed_do_not_share_their_noise(make_private, train) -> None:
    """With the same noise the difference of the models would be the difference of the sums, without any noise."""
    settings = {"privacy": {"noise": "seeded", "clip": 1e-3, "noise_multiplier": 9.0}, **EVERYBODY}
    job = make_private("one-seed", **settings)
    other = replace(make_private("one-seed-2", client_learning_rate=0.2, **settings), state_dir=job.state_dir)
    first, second = train(job), train(other)
    noise = 9e-3 / 20
    assert np.abs(first.weights[0] - second.weights[0]).max() > noise / 10
    assert len({entry["release_id"] for entry in entries(job)}) == 2


@pytest.mark.slow
def test_denominator_is_fixed_whoever_reports(make_private, train, write_clients, records) -> None:
    """Without noise, and with clients that are all alike: the step is as long as the share of them that reports."""
    alike = write_clients("alike", {f"client-{i:02d}": records(8, 0) for i in range(20)})

    def on_alike(name: str, **settings: Any) -> Job:
        return replace(make_private(name, **settings), examples_uri=alike)

    settings = {"privacy": {"noise_multiplier": 0.0, "clip": 0.1, "noise": "seeded"}, "shuffle": False}
    everybody = train(on_alike("all-report", **settings, **EVERYBODY))
    start = train(on_alike("start", **{**settings, "client_learning_rate": 1e-12}, **EVERYBODY)).weights
    dropping = {"clients_per_round": None, "participation": {"sampling": "full", "drop_out": 0.5}}
    some = train(on_alike("some-report", **settings, **dropping))
    share = some.told[0].clients / 20
    assert 0.2 < share < 0.8
    lengths = [np.linalg.norm(each.weights[0] - start[0]) for each in (some, everybody)]
    assert lengths[0] == pytest.approx(share * lengths[1], rel=1e-3)
    assert some.facts["epsilon"] == float("inf")


@pytest.mark.slow
def test_noise_has_the_size_that_is_accounted_for(make_private, train) -> None:
    """With next to no updates what is left is noise of z * clip / clients per round on each of the weights."""
    settings = {"privacy": {"noise": "seeded", "noise_multiplier": 2.0, "clip": 0.5}, "client_learning_rate": 1e-12}
    start = train(make_private("still", **{**settings, "privacy": {**settings["privacy"], "noise_multiplier": 0.0}})).weights
    trained = train(make_private("noisy", rounds=40, **settings))
    moved = np.concatenate([(got - was).ravel() for got, was in zip(trained.weights, start, strict=True)])
    expected = 2.0 * 0.5 / 10 * np.sqrt(40)
    assert {result.facts["noise_std"] for result in trained.told} == {0.1}
    assert 0.3 * expected < np.sqrt(np.mean(moved**2)) < 2 * expected


def test_budget_that_would_be_exceeded_stops_before_the_first_round(make_private, train) -> None:
    job = make_private("budget", rounds=3, privacy={"budget": 1.0})
    told: list[Any] = []
    with pytest.raises(TrainingError) as caught:
        train(job, told.append)
    assert str(caught.value).startswith("the privacy budget would be exceeded: expected at most epsilon 1 for all releases")
    assert "\n" not in str(caught.value)
    assert told == entries(job) == []
    assert not Path(job.model_dir).exists()


@pytest.mark.slow
def test_budget_counts_what_others_have_spent(make_private, train) -> None:
    job = make_private("shared", rounds=2)
    spent = train(job).facts["epsilon"]
    with pytest.raises(TrainingError, match=rf"\({spent:.4g} before this training"):
        train(replace(make_private("shared-2", seed=2, rounds=2, privacy={"budget": 1.1 * spent}), state_dir=job.state_dir))


@pytest.mark.slow
def test_early_stop_leaves_no_more_on_the_ledger_than_was_done(make_private, train) -> None:
    evaluation = {"every": 1, "metric": "loss", "patience": 1, "min_delta": 1e9}
    trained = train(make_private("early", rounds=30, evaluation=evaluation, **EVERYBODY))
    assert trained.facts["rounds"] == 2
    expected = privacy.guarantee([privacy.Release("gaussian", "full", 1.0, 20, 20, 2)], DELTA)
    assert trained.facts["epsilon_total"] == pytest.approx(expected.epsilon)
    assert ledger(trained.job).total(DELTA).epsilon == pytest.approx(expected.epsilon)


@pytest.mark.slow
def test_training_that_fails_leaves_no_more_on_the_ledger_than_was_done(make_private, train) -> None:
    job = make_private("failing", rounds=30, server_learning_rate=1e39, **EVERYBODY)  # infinite as float32
    with pytest.raises(TrainingError, match="finite after round"):
        train(job)
    assert entries(job)[-1]["kind"] == "spend"
    assert entries(job)[-1]["rounds"] < 10


def test_failure_before_the_first_round_leaves_nothing_on_the_ledger(make_private, train) -> None:
    job = make_private("wrong-metric", evaluation={"every": 1, "metric": "auc", "min_delta": 0.0})
    with pytest.raises(TrainingError, match=r"train\.evaluation\.metric is 'auc'"):
        train(job)
    assert entries(job) == []


@pytest.mark.slow
def test_noise_is_found_for_a_target(make_private, train) -> None:
    privacy_settings = {"noise_multiplier": None, "target_epsilon": 5.0, "budget": 5.0}
    job = make_private("target", rounds=3, privacy=privacy_settings, **EVERYBODY)
    trained = train(job)
    assert 4.9 < trained.facts["epsilon"] <= 5.0
    assert trained.said[0] == "finding the noise for epsilon 5"
    again = train(job)
    assert "finding the noise for epsilon 5" not in again.said
    assert again.facts == trained.facts


@pytest.mark.slow
def test_clients_in_turn_are_trained_with_tree_noise(make_private, train) -> None:
    privacy_settings = {"mechanism": "tree", "noise_multiplier": 2.0, "noise": "seeded"}
    job = make_private("tree", rounds=5, clients_per_round=5, participation={"sampling": "ordered"}, privacy=privacy_settings)
    trained = train(job)
    assert trained.facts["privacy_unit"].startswith("client level, set one client's updates to zero")
    release = privacy.Release("tree", "ordered", 2.0, 5, 20, 5)
    assert trained.facts["epsilon"] == pytest.approx(privacy.guarantee([release], DELTA).epsilon)


@pytest.mark.slow
def test_adaptive_clip_follows_the_norms_with_noise(make_private, train) -> None:
    privacy_settings = {"clip": "adaptive", "clip_quantile": 0.5, "noise_multiplier": 0.5, "noise": "seeded"}
    trained = train(make_private("adaptive", rounds=8, privacy=privacy_settings, **EVERYBODY))
    clips = [result.facts["clip"] for result in trained.told]
    assert clips[0] == pytest.approx(0.1)
    assert clips == sorted(clips)  # the updates' norms are well above
    assert all("unclipped" in result.facts for result in trained.told)
