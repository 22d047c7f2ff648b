"""Who waits says for whom and not for ever, and who may not write holds up nobody."""

from __future__ import annotations

import fcntl
import os
import stat
import sys

import pytest

from errors import BusyError
from lineage import audit_log, locking
from lineage.locking import locked


@pytest.mark.parametrize("mode", [None, 0o644, 0o666])
def test_lock_file_is_closed_to_other_users_whatever_it_was_before(tmp_path, mode):
    lock = tmp_path / ".lock"
    if mode is not None:
        lock.touch()
        lock.chmod(mode)
    with locked(lock):
        assert stat.S_IMODE(lock.stat().st_mode) == 0o600


def test_who_waits_is_told_who_holds_it_and_for_how_long(tmp_path, monkeypatch):
    lock, said = tmp_path / ".lock", []
    monkeypatch.setattr(locking, "_SILENT_SECONDS", 0.0)
    with locked(lock), pytest.raises(BusyError) as refused, locked(lock, 0.1, said.append):
        pass
    (line,) = said
    for told in (line, str(refused.value)):
        assert f"process {os.getpid()} (" in told and sys.orig_argv[0] in told and f"`kill {os.getpid()}`" in told
        assert "\n" not in told
    assert line.startswith(f"waiting up to 0.1 s for {lock}")
    assert str(refused.value).startswith(f"expected {lock} to be free within 0.1 s")


def test_holder_that_says_nothing_can_be_found(tmp_path):
    lock = tmp_path / ".lock"
    with lock.open("w") as silent, pytest.raises(BusyError, match=f"`fuser -v {lock}`"):
        fcntl.flock(silent, fcntl.LOCK_EX)
        with locked(lock, 0.0):
            pass


def test_lock_is_free_and_empty_after_an_error(tmp_path):
    lock = tmp_path / ".lock"
    with pytest.raises(KeyError), locked(lock):
        raise KeyError
    assert lock.read_bytes() == b""
    with locked(lock, 0.0):
        pass


def test_reader_of_the_log_holds_nobody_up_and_needs_no_lock(tmp_path):
    log = tmp_path / "audit.jsonl"
    audit_log.append(log, "first")
    with log.open() as reader:
        fcntl.flock(reader, fcntl.LOCK_EX)
        audit_log.append(log, "second")
    with locked(f"{log}.lock"):
        assert [entry.event for entry in audit_log.read(log)] == ["first", "second"]
    assert stat.S_IMODE(log.stat().st_mode) == 0o644


def test_digest_of_an_entry_is_what_the_next_one_holds(tmp_path):
    entries = [audit_log.append(tmp_path / "log", name, fact={"ü": [1, 2.5, None]}) for name in "ab"]
    assert audit_log.digest(entries[0]) == entries[1].previous
    assert audit_log.digest(audit_log.read(tmp_path / "log")[0]) == entries[1].previous
