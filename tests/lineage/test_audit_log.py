"""The log: nothing is lost, joined or altered unseen, whatever dies and whoever else writes."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from errors import IntegrityError
from lineage import audit_log

ROOT = Path(audit_log.__file__).parents[1]


@pytest.fixture
def log(tmp_path):
    return tmp_path / "audit.jsonl"


def events(log: Path) -> list[str]:
    return [entry.event for entry in audit_log.read(log)]


def filled(log: Path, count: int = 3) -> list[audit_log.Entry]:
    return [audit_log.append(log, f"event {number}", version=number) for number in range(1, count + 1)]


def test_what_was_appended_is_read_in_order(log):
    written = filled(log)
    assert audit_log.read(log) == written
    assert [entry.number for entry in written] == [1, 2, 3]
    assert written[0].previous == audit_log.FIRST
    assert written[2].facts == {"version": 3}
    assert written[0].time.endswith("+00:00")
    assert stat.S_IMODE(log.stat().st_mode) == 0o644


def test_missing_log_has_no_entries(log):
    assert audit_log.read(log) == []
    assert not log.exists()


def test_every_entry_is_one_line_whatever_its_facts_hold(log):
    facts = {"reason": "two\nlines, \u2028 and köhler", "long": "x" * 200_000}
    audit_log.append(log, "odd", **facts)
    audit_log.append(log, "next")
    assert audit_log.read(log)[0].facts == facts
    assert log.read_bytes().count(b"\n") == 2


@pytest.mark.parametrize("fact", [float("nan"), object()])
def test_fact_that_json_cannot_hold_leaves_the_log_as_it_was(log, fact):
    filled(log)
    with pytest.raises((ValueError, TypeError)):
        audit_log.append(log, "bad", fact=fact)
    assert len(events(log)) == 3


def edited(lines: list[bytes]) -> list[bytes]:
    return [lines[0].replace(b'"version": 1', b'"version": 9'), *lines[1:]]


def removed(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[2]]


def swapped(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[2], lines[1]]


def no_json(lines: list[bytes]) -> list[bytes]:
    return [lines[0], b"hello\n", lines[2]]


def another_object(lines: list[bytes]) -> list[bytes]:
    return [lines[0], b'{"number": 2}\n', lines[2]]


def begun_anew(lines: list[bytes]) -> list[bytes]:
    return lines[1:]


@pytest.mark.parametrize(
    ("edit", "line"), [(edited, 1), (removed, 2), (swapped, 2), (no_json, 2), (another_object, 2), (begun_anew, 1)]
)
def test_alteration_is_found_and_its_line_named(log, edit, line):
    filled(log)
    log.write_bytes(b"".join(edit(log.read_bytes().splitlines(keepends=True))))
    with pytest.raises(
        IntegrityError, match=f"line {line}( or the one before)?, was altered: expected .*, got .*; restore"
    ) as refused:
        audit_log.read(log)
    assert "\n" not in str(refused.value)


def test_nothing_is_appended_after_a_last_line_that_is_no_entry(log):
    log.write_text("hello\n")
    with pytest.raises(IntegrityError, match="last line"):
        audit_log.append(log, "next")
    assert log.read_text() == "hello\n"


@pytest.mark.parametrize("torn", [b'{"number": 4, "ti', b"\0\0\0", b'{"number": 4}'])
def test_torn_last_line_is_moved_out_of_the_way_and_nothing_before_it_changed(log, torn):
    filled(log)
    before = log.read_bytes()
    log.write_bytes(before + torn)
    assert len(audit_log.read(log)) == 3
    assert audit_log.append(log, "next").number == 4
    assert events(log)[3:] == ["next"]
    assert log.read_bytes().startswith(before)
    assert Path(f"{log}.torn").read_bytes() == torn + b"\n"


def test_full_disk_leaves_the_log_as_it_was(log, monkeypatch):
    filled(log)
    before, write = log.read_bytes(), os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:7]))
    with pytest.raises(OSError) as refused:
        audit_log.append(log, "next")
    assert refused.value.errno == errno.ENOSPC
    assert log.read_bytes() == before


def test_link_in_place_of_the_log_is_not_followed(log, tmp_path):
    log.symlink_to(tmp_path / "elsewhere")
    for act in (lambda: audit_log.append(log, "event"), lambda: audit_log.read(log)):
        with pytest.raises(OSError):
            act()
    assert not (tmp_path / "elsewhere").exists()


def test_pipe_in_place_of_the_log_is_refused_and_not_waited_for(log):
    os.mkfifo(log)
    for act in (lambda: audit_log.append(log, "event"), lambda: audit_log.read(log), lambda: audit_log.newest(log)):
        with pytest.raises(OSError, match="expected a regular file"):
            act()


KILLED = """
import os, signal, sys
from lineage import audit_log
path, at, half = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "half"
calls = 0
def guard(function):
    def guarded(*args):
        global calls
        calls += 1
        if calls == at:
            if half and function is write:
                function(args[0], args[1][:9])
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args)
    return guarded
write = os.write
for name in ("open", "write", "fsync", "ftruncate"):
    setattr(os, name, guard(getattr(os, name)))
audit_log.append(path, "killed")
print(calls)
"""


def append_killed(log: Path, at: int, how: str = "whole") -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", KILLED, log, str(at), how], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["whole", "half"])
def test_kill_at_any_step_loses_at_most_the_entry_being_written(log, how):
    filled(log, 2)
    before = log.read_bytes()
    steps = int(append_killed(log, 0).stdout)
    for at in range(1, steps + 1):
        log.write_bytes(before)
        assert append_killed(log, at, how).returncode == -signal.SIGKILL
        assert events(log)[:2] == ["event 1", "event 2"]
        audit_log.append(log, "next")
        assert events(log)[2:] in (["next"], ["killed", "next"])
        assert log.read_bytes().startswith(before)


APPENDER = """
import sys
from lineage import audit_log
sys.stdin.readline()
for number in range(20):
    audit_log.append(sys.argv[1], sys.argv[2], number=number)
"""


def test_processes_that_append_at_once_make_one_chain(log):
    command = [sys.executable, "-c", APPENDER, log]
    children = [subprocess.Popen([*command, name], cwd=ROOT, stdin=subprocess.PIPE, text=True) for name in "ab"]
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        child.communicate()
    entries = audit_log.read(log)
    for name in "ab":
        assert [entry.facts["number"] for entry in entries if entry.event == name] == list(range(20))


def test_line_is_the_documented_json(log):
    audit_log.append(log, "push", model="digits")
    told = json.loads(log.read_text())
    assert list(told) == ["number", "time", "event", "by", "facts", "previous", "digest"]
    assert (told["event"], told["facts"]) == ("push", {"model": "digits"})
    line = log.read_text().removesuffix("\n")
    without = line.removesuffix(f', "digest": "{told["digest"]}"}}') + "}"
    assert told["digest"] == hashlib.sha256(without.encode()).hexdigest()


def test_edit_of_any_byte_is_found_also_of_the_last_line_and_its_newline(log):
    filled(log)
    before = log.read_bytes()
    for at in range(len(before)):
        for edit in {before[at] ^ 1, ord("0"), ord("\n")} - {before[at]}:
            log.write_bytes(before[:at] + bytes([edit]) + before[at + 1 :])
            with pytest.raises(IntegrityError):
                audit_log.read(log, strict=True)


def test_torn_end_is_found_by_who_reads_strictly(log):
    written = filled(log)
    log.write_bytes(log.read_bytes() + b'{"number": 4, "ti')
    assert audit_log.read(log) == written
    with pytest.raises(IntegrityError, match="line 4, was altered: expected a whole line, got one without its end"):
        audit_log.read(log, strict=True)


def test_nothing_is_appended_after_a_last_line_that_was_edited(log):
    filled(log)
    log.write_bytes(log.read_bytes().replace(b'"version": 3', b'"version": 4'))
    with pytest.raises(IntegrityError, match="last line, was altered: expected a line with digest"):
        audit_log.append(log, "next")


def older(log: Path, count: int = 2) -> list[audit_log.Entry]:
    """A log of a release whose lines had no digest of their own."""
    previous, lines = audit_log.FIRST, []
    for number in range(1, count + 1):
        entry = audit_log.Entry(number, "2026-01-02T03:04:05.678+00:00", f"event {number}", "ada", {}, previous)
        lines.append(json.dumps({name: value for name, value in vars(entry).items() if name != "digest"}).encode())
        previous = hashlib.sha256(lines[-1]).hexdigest()
    log.write_bytes(b"".join(line + b"\n" for line in lines))
    return audit_log.read(log)


def test_log_of_an_older_release_goes_on_with_digests(log):
    first, second = older(log)
    third = audit_log.append(log, "next")
    assert audit_log.read(log, strict=True) == [first, second, third]
    assert (first.digest, second.digest, third.previous) == ("", "", audit_log.digest(second))
    assert third.digest


def test_line_without_digest_after_one_with_is_an_alteration(log):
    filled(log, 2)
    first, last = log.read_bytes().splitlines()
    log.write_bytes(first + b"\n" + last.rpartition(b', "digest"')[0] + b"}\n")
    with pytest.raises(IntegrityError, match="line 2, was altered: expected its digest, as in the line before, got none"):
        audit_log.read(log)


def test_lines_of_a_damaged_log_that_are_still_whole_can_be_told(log):
    first, _, third = filled(log)
    log.write_bytes(log.read_bytes().replace(b'"version": 2', b'"version": 9') + b'{"number": 4, "ti')
    assert audit_log.intact(log) == [first, third]
    assert audit_log.intact(log.with_name("none")) == []


@pytest.fixture
def three(log: Path) -> Path:
    """A log of three lines."""
    for number in range(3):
        audit_log.append(log, "push", version=number)
    return log


@pytest.mark.parametrize("edit", [(b"}", b" }"), (b'"digest":', b'"digest" :'), (b'"number": 3', b'"number": 1, "number": 3')])
def test_last_line_in_another_spelling_is_found(three: Path, edit: tuple[bytes, bytes]) -> None:
    *first, last = three.read_bytes().splitlines(keepends=True)
    before, end = last.rsplit(edit[0], 1) if edit[0] == b"}" else last.split(edit[0], 1)
    three.write_bytes(b"".join([*first, before, edit[1], end]))
    with pytest.raises(IntegrityError, match="line 3, was altered: expected"):
        audit_log.read(three)


@pytest.mark.parametrize("depth", [2_000, 200_000])
def test_line_that_is_nested_too_deeply_is_no_entry(three: Path, depth: int) -> None:
    three.write_bytes(three.read_bytes() + b"[" * depth + b"\n")
    with pytest.raises(IntegrityError, match="line 4, was altered: expected an entry"):
        audit_log.read(three)


def test_newest_line_is_known_by_its_digest_whatever_a_killed_process_left(three: Path, tmp_path: Path) -> None:
    newest = audit_log.digest(audit_log.read(three)[-1])
    with three.open("ab") as torn:
        torn.write(b'{"number": 4')
    assert audit_log.newest(three) == newest
    assert audit_log.newest(tmp_path / "none") == ""
