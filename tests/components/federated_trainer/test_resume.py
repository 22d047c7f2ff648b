"""A training that dies goes on from its last checkpoint and ends in the same bits as one that never stopped."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import tensorflow as tf

from components.federated_trainer import isolation
from components.federated_trainer.checkpoints import sweep
from components.federated_trainer.records import Round
from errors import TrainingError

pytestmark = pytest.mark.slow


class Killed(BaseException):
    """Ends a training in this process as SIGKILL would end it: nothing that catches exceptions gets to see it."""


@pytest.fixture(scope="module")
def uri(write_clients, records) -> str:
    """Six clients of 8 to 18 examples, in several blocks each, half of them with something held out."""
    clients = {f"client-{i}": records(8 + 2 * i, i) for i in range(6)}
    return write_clients("six", clients, 300, {f"client-{i}": records(5, 50 + i) for i in range(3)})


def killed_at(number: int) -> Callable[[Round], None]:
    def report(result: Round) -> None:
        if result.number == number:
            raise Killed

    return report


def kill(train: Any, job: Any, number: int) -> None:
    """Trains until round `number` is done and reported, and then dies."""
    with pytest.raises(Killed):
        train(job, killed_at(number))
    assert not Path(job.model_dir).exists()


def checkpoints(job: Any) -> list[Path]:
    return sorted(Path(job.state_dir).glob("checkpoints/*/attempt-*.npz"))


def assert_alike(one: Any, other: Any) -> None:
    """The same weights to the bit, the same facts, and the same rounds but for the time they took."""
    assert all(np.array_equal(a, b) for a, b in zip(one.weights, other.weights, strict=True))
    facts = [{key: value for key, value in each.facts.items() if key != "privacy_ledger_digest"} for each in (one, other)]
    assert facts[0] == facts[1]
    rows = [[{key: value for key, value in row.items() if key != "seconds"} for row in each.rows] for each in (one, other)]
    assert rows[0] == rows[1]


@pytest.fixture(scope="module")
def whole(make_job, train, uri) -> Any:
    """A training of five rounds that nothing interrupts."""
    return train(make_job("whole", uri, rounds=5, clients_per_round=3, checkpoint={"every": 2}))


@pytest.mark.parametrize("number", [3, *(pytest.param(number, marks=pytest.mark.slow) for number in (1, 2, 5))])
def test_training_killed_after_any_round_ends_in_the_same_bits(number, whole, make_job, train, uri) -> None:
    job = replace(whole.job, **dirs(make_job(f"killed-{number}", uri)))
    kill(train, job, number)
    again = train(job)
    assert_alike(again, whole)
    assert [row["round"] for row in again.rows] == ["1", "2", "3", "4", "5"]
    kept = number // 2 * 2 if number < 5 else 5  # the round it dies in is done, and its checkpoint written
    assert again.said == ([f"goes on after round {kept}, from a checkpoint"] if kept else [])
    assert [result.number for result in again.told] == list(range(kept + 1, 6))


def dirs(job: Any) -> dict[str, str]:
    return {name: getattr(job, name) for name in ("model_dir", "run_dir", "state_dir")}


@pytest.mark.slow
def test_training_killed_when_all_rounds_are_done_only_exports(make_job, train, uri) -> None:
    settings = {"rounds": 2, "clients_per_round": 3, "checkpoint": {"every": 1}}
    plain, killed = make_job("done", uri, **settings), make_job("done-killed", uri, **settings)
    kill(train, killed, 2)
    again = train(killed)
    assert again.told == []
    assert_alike(again, train(plain))


def test_two_checkpoints_are_kept_and_all_are_gone_when_the_model_is_published(make_job, train, uri) -> None:
    job = make_job("kept", uri, rounds=5, clients_per_round=3, checkpoint={"every": 1, "keep": 2})
    kill(train, job, 4)
    assert [path.name[:14] for path in checkpoints(job)] == ["attempt-000003", "attempt-000004"]
    assert checkpoints(job)[0].parent.stat().st_mode & 0o777 == 0o700
    train(job)
    sweep(job.state_dir)
    assert list(Path(job.state_dir, "checkpoints").iterdir()) == []


def test_training_that_ended_and_was_not_published_is_only_exported_again(whole, train) -> None:
    job = replace(whole.job, model_dir=f"{whole.job.model_dir}-again", run_dir=f"{whole.job.run_dir}-again")
    again = train(job)
    assert again.told == []
    assert_alike(again, whole)


def test_training_goes_on_with_settings_that_do_not_change_what_a_round_gives(make_job, train, uri) -> None:
    job = make_job("advice", uri, rounds=2, clients_per_round=3, checkpoint={"every": 1})
    kill(train, job, 1)
    participation = {**job.settings["participation"], "quorum": 2, "retries": 7}
    again = train(
        replace(job, settings={**job.settings, "participation": participation, "checkpoint": {"every": 5, "keep": 1}})
    )
    assert [result.number for result in again.told] == [2]


def test_disk_that_is_full_stops_the_training_with_one_line_that_names_the_folder(make_job, train, uri, monkeypatch) -> None:
    job = make_job("full-disk", uri, rounds=2, clients_per_round=3, checkpoint={"every": 1})

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(TrainingError) as caught:
        patched.setattr(os, "replace", full)
        train(job)
    assert str(caught.value).startswith(f"the checkpoints in {job.state_dir}/checkpoints/")
    assert "cannot be written or read: No space left on device; expected" in str(caught.value)


def test_records_that_cannot_be_written_stop_the_training_with_one_line(make_job, train, uri) -> None:
    job = make_job("no-records", uri, rounds=1, clients_per_round=3)
    Path(job.run_dir).parent.mkdir(exist_ok=True)
    Path(job.run_dir).write_text("a file where a folder is expected")
    with pytest.raises(TrainingError, match=r"the records in .*no-records/run cannot be written or read: File exists"):
        train(job)


@pytest.mark.slow
def test_checkpoint_that_was_cut_short_is_passed_over(make_job, train, uri, caplog) -> None:
    settings = {"rounds": 4, "clients_per_round": 3, "checkpoint": {"every": 1}}
    job = make_job("cut", uri, **settings)
    kill(train, job, 3)
    newest = checkpoints(job)[-1]
    newest.write_bytes(newest.read_bytes()[:-1])
    newest.with_name(".9.tmp").write_bytes(b"half of a checkpoint")
    again = train(job)
    assert again.said == ["goes on after round 2, from a checkpoint"]
    assert "is not what was written; taking the one before" in caplog.text
    assert_alike(again, train(make_job("not-cut", uri, **settings)))


@pytest.mark.slow
def test_training_killed_while_it_writes_a_checkpoint_goes_on_from_the_one_before(make_job, train, uri, monkeypatch) -> None:
    settings = {"rounds": 4, "clients_per_round": 3, "checkpoint": {"every": 1}}
    job = make_job("writing", uri, **settings)
    rename = os.replace

    def die(source: Any, target: Any) -> None:
        if Path(target).name.startswith("attempt-000003"):
            raise Killed
        rename(source, target)

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(os, "replace", die)
        train(job)
    again = train(job)
    assert again.said == ["goes on after round 2, from a checkpoint"]
    assert_alike(again, train(make_job("not-writing", uri, **settings)))


EVERY = {"every": 1, "metric": "loss", "min_delta": 0.0}
SETTINGS = {
    "optimizer and best": {
        "algorithm": "fedadam",
        "beta_1": 0.9,
        "beta_2": 0.99,
        "adaptivity": 1e-3,
        "server_learning_rate": 0.1,
        "export": "best",
        "evaluation": EVERY,
    },
    "clients and attempts": {
        "algorithm": "scaffold",
        "clients_per_round": 4,
        "local_epochs": 3,
        "participation": {"sampling": "poisson", "drop_out": 0.3, "stragglers": 0.5, "quorum": 2, "retries": 20},
    },
    "norms and average": {
        "algorithm": "fedavgm",
        "momentum": 0.9,
        "client_learning_rate": 0.01,
        "aggregation": {"clip": "adaptive", "clip_quantile": 0.5, "zeroing": True},
        "export": "average",
        "average_decay": 0.5,
    },
    "patience": {"client_learning_rate": 1.2, "evaluation": {**EVERY, "patience": 2, "min_delta": 0.5}},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_all_that_a_training_remembers_survives(name, make_job, train, uri) -> None:
    settings = {"rounds": 5, "clients_per_round": 3, "checkpoint": {"every": 1}, **SETTINGS[name]}
    plain, job = (make_job(f"{name}-{which}", uri, **settings) for which in ("whole", "killed"))
    kill(train, job, 2)
    once_more = train(job)
    assert once_more.said == ["goes on after round 2, from a checkpoint"]
    assert_alike(once_more, train(plain))


@pytest.mark.slow
def test_secret_noise_is_the_same_again_when_a_training_goes_on(make_job, train, uri) -> None:
    privacy = {"clip": "adaptive", "clip_quantile": 0.5, "noise_multiplier": 0.2, "delta": 0.1}
    settings = {"rounds": 4, "clients_per_round": 3, "checkpoint": {"every": 2}, "weighting": "uniform", "privacy": privacy}
    plain, job = (make_job(f"private-{which}", uri, **settings) for which in ("whole", "killed"))
    kill(train, job, 3)
    shutil.copytree(Path(job.state_dir, "checkpoints"), Path(plain.state_dir, "checkpoints"))
    for path in checkpoints(plain):
        path.unlink()  # what is left is the key
    again, whole = train(job), train(plain)
    assert again.said[-1] == "goes on after round 2, from a checkpoint"
    assert whole.told[0].number == 1
    assert_alike(again, whole)


def test_another_training_does_not_go_on_from_the_checkpoint(make_job, train, uri) -> None:
    job = make_job("mine", uri, rounds=2, clients_per_round=3, checkpoint={"every": 1})
    kill(train, job, 1)
    other = train(replace(job, seed=2))
    assert [result.number for result in other.told] == [1, 2]
    folder = checkpoints(job)[0].parent.parent
    assert f"checkpoints of 1 other training that did not end are kept for 30 days in {folder}" in other.said
    assert train(job).told[0].number == 2


@pytest.mark.slow
def test_training_that_stops_for_want_of_clients_tries_others_when_it_is_run_again(make_job, train, uri) -> None:
    unreliable = {"sampling": "full", "drop_out": 0.9, "quorum": 3, "retries": 9}
    job = make_job("unreliable", uri, rounds=2, clients_per_round=None, participation=unreliable)
    attempts = []
    for _ in range(20):
        try:
            done = train(job)
            break
        except TrainingError as error:
            assert str(error).startswith("round ")
            attempts.append(int(str(error).split(" after ")[1].split()[0]))
    assert attempts and attempts[0] == 10
    assert done.facts["attempts"] == sum(int(row["attempts"]) for row in done.rows) > 10
    assert [row["round"] for row in done.rows] == ["1", "2"]


@pytest.mark.slow
def test_real_training_process_that_is_killed_goes_on_in_another_one(make_job, train, uri) -> None:
    settings = {"rounds": 40, "clients_per_round": 3, "checkpoint": {"every": 3}}
    plain, job = make_job("process-whole", uri, **settings), make_job("process-killed", uri, **settings)

    class KillsAt(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().startswith("round 8/"):
                for child in psutil.Process().children():
                    child.kill()

    logger, handler = logging.getLogger(isolation.__name__), KillsAt(logging.INFO)
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        with pytest.raises(TrainingError, match=r"exit code -9"):
            isolation.run(job)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert checkpoints(job)
    assert isolation.run(job) == train(plain).facts
    kernels = [tf.keras.models.load_model(each.model_dir, compile=False).get_weights() for each in (job, plain)]
    assert all(np.array_equal(one, other) for one, other in zip(*kernels, strict=True))
