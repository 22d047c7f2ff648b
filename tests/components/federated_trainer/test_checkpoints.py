"""Checkpoints: complete or not there, private, the newest few."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from components.federated_trainer.checkpoints import Checkpoint, Checkpoints, folder_of, secret, sweep
from errors import TrainingError


def checkpoint(number: int) -> Checkpoint:
    return Checkpoint(number, {"weights.0": np.arange(3, dtype=np.float32) / number}, {"best": float("nan"), "z": 1, "a": [2]})


def test_what_is_read_is_what_was_written_to_the_bit_and_in_order(tmp_path) -> None:
    checkpoints = Checkpoints(tmp_path / "one", keep=2)
    checkpoints.save(checkpoint(3))
    found = checkpoints.latest()
    assert found is not None and found.number == 3
    np.testing.assert_array_equal(found.arrays["weights.0"], checkpoint(3).arrays["weights.0"], strict=True)
    assert list(found.facts) == ["best", "z", "a"]
    assert np.isnan(found.facts["best"])


def test_newest_ones_are_kept_and_the_newest_is_taken(tmp_path) -> None:
    checkpoints = Checkpoints(tmp_path / "one", keep=2)
    assert checkpoints.latest() is None
    for number in (8, 9, 10, 1_000_000):
        checkpoints.save(checkpoint(number))
    assert len(list(checkpoints.folder.iterdir())) == 2
    assert checkpoints.latest().number == 1_000_000  # type: ignore[union-attr]


@pytest.mark.parametrize("damage", ["cut", "emptied", "changed"])
def test_damaged_one_is_passed_over(tmp_path, damage, caplog) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(checkpoint(1))
    checkpoints.save(checkpoint(2))
    (newest,) = tmp_path.glob("attempt-000002-*")
    whole = newest.read_bytes()
    damaged = {"cut": whole[:-1], "emptied": b"", "changed": whole[:-1] + bytes([whole[-1] ^ 1])}
    newest.write_bytes(damaged[damage])
    assert checkpoints.latest().number == 1  # type: ignore[union-attr]
    assert newest.name in caplog.text


def test_one_that_was_not_written_to_the_end_does_not_exist(tmp_path, monkeypatch) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(checkpoint(1))

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(TrainingError, match="No space left on device; expected") as caught:
        patched.setattr(os, "fsync", fail)
        checkpoints.save(checkpoint(2))
    assert str(tmp_path) in str(caught.value)
    assert checkpoints.latest().number == 1  # type: ignore[union-attr]
    checkpoints.save(checkpoint(2))
    assert checkpoints.latest().number == 2  # type: ignore[union-attr]


def test_nobody_else_can_look_into_the_folder_or_read_the_key(tmp_path) -> None:
    before = os.umask(0)
    try:
        key = secret(tmp_path / "private")
        Checkpoints(tmp_path / "plain", keep=1).save(checkpoint(1))
    finally:
        os.umask(before)
    assert len(key) == 32
    assert (tmp_path / "private" / "key").stat().st_mode & 0o777 == 0o600
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in ("private", "plain")} == {0o700}


def test_folder_that_nothing_can_be_written_to_is_named(tmp_path) -> None:
    (tmp_path / "one").write_text("a file where a folder is expected")
    with pytest.raises(TrainingError, match="one cannot be written or read: File exists; expected"):
        Checkpoints(tmp_path / "one", keep=1).save(checkpoint(1))
    with pytest.raises(TrainingError, match="one cannot be written or read: File exists; expected"):
        secret(tmp_path / "one")


def training(state_dir: Path, identity: str) -> Checkpoints:
    """A training that has a key and a checkpoint."""
    checkpoints = Checkpoints(folder_of(state_dir, identity), keep=1)
    secret(checkpoints.folder)
    checkpoints.save(checkpoint(1))
    return checkpoints


def test_key_is_the_same_until_the_folder_is_swept_away(tmp_path) -> None:
    checkpoints = Checkpoints(folder_of(tmp_path, "one"), keep=1)
    first = secret(checkpoints.folder)
    (checkpoints.folder / ".key.tmp").write_bytes(b"half a key")
    assert secret(checkpoints.folder) == first
    checkpoints.done()
    assert secret(checkpoints.folder) == first
    sweep(tmp_path)
    assert not checkpoints.folder.exists()
    assert secret(checkpoints.folder) != first


def test_trainings_that_ended_are_swept_away_and_those_that_died_and_the_one_that_runs_stay(tmp_path) -> None:
    ended, running, died = (training(tmp_path, name) for name in ("ended", "running", "died"))
    ended.done()
    running.done()
    assert sweep(tmp_path, keep="running") == [died.folder]
    assert sorted(path.name for path in ended.folder.parent.iterdir()) == ["died", "running"]
    assert sweep(tmp_path) == [died.folder]
    assert list(died.folder.parent.iterdir()) == [died.folder]


def test_training_that_nobody_went_on_with_for_a_month_is_swept_away(tmp_path) -> None:
    old, recent = training(tmp_path, "old"), training(tmp_path, "recent")
    for checkpoints, days in ((old, 31), (recent, 29)):
        then = time.time() - days * 24 * 3600
        os.utime(checkpoints.folder, (then, then))
    assert sweep(tmp_path) == [recent.folder]
    assert not old.folder.exists()


def test_nothing_to_sweep_is_fine(tmp_path) -> None:
    assert sweep(tmp_path) == []


def test_folder_goes_at_once_with_all_in_it(tmp_path, monkeypatch) -> None:
    """Who dies while sweeping leaves no checkpoint without the key of its noise."""
    checkpoints = training(tmp_path, "one")
    checkpoints.done()
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(os, "open", interrupted)
        sweep(tmp_path)
    assert not checkpoints.folder.exists()
    assert sweep(tmp_path) == []
    assert list(checkpoints.folder.parent.iterdir()) == []


def interrupted(path: str | Path, *_: object, **__: object) -> int:
    raise KeyboardInterrupt(path)
