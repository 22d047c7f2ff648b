"""A log that is only ever added to: JSON lines, each of which holds the digest of the line before, and its own.

    {"number": 3, "time": "2026-01-02T03:04:05.678+00:00", "event": "push", "by": "ada", "facts": {...}, "previous": "9f8...",
     "digest": "3c1..."}

`previous` is the hex sha256 of the line before without its newline, 64 zeros in the first; `digest` is that of the line without
its last field. An edit of any line is therefore found; that the last lines were cut off is found only by who knows how many
there were, and that the whole file was written anew only by who kept a digest of it elsewhere. An older release wrote no
`digest`: such lines may only come before the first that has one. Who appends holds `{path}.lock`; who reads needs no lock.

Facts are names, numbers and digests: no secrets, and no ids of clients, because the log is for everybody to read.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pwd
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from errors import IntegrityError
from lineage.durable import sync_directory
from lineage.locking import locked

FIRST = "0" * 64
_MODE = 0o644
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Entry:
    """One event.

    Attributes:
      number: 1 for the first.
      time: UTC, ISO 8601.
      event: what happened, in a word.
      by: name of the operating system's user who did it.
      facts: what JSON can hold.
      previous: hex sha256 of the line before; `FIRST` in the first.
      digest: hex sha256 of the line without this field; empty where an older release wrote the line.
    """

    number: int
    time: str
    event: str
    by: str
    facts: Mapping[str, Any]
    previous: str
    digest: str = ""


def append(path: str | os.PathLike[str], event: str, **facts: Any) -> Entry:
    """Adds an event and returns it when it is on the disk. Processes that append at once wait for each other.

    What a killed process left of a line is moved to `{path}.torn` first; no other byte of the log is changed.

    Raises:
      IntegrityError: the last line is not an entry.
      BusyError: another process holds the lock for too long.
      OSError: the log cannot be written, or is a symbolic link; it is as it was then.
      TypeError, ValueError: JSON cannot hold a fact.
    """
    file = Path(path)
    with locked(f"{file}.lock"), _opened(file, os.O_RDWR | os.O_CREAT | os.O_APPEND) as log:
        size = _without_torn_end(log, file)
        last = _last_line(log, size)
        before = _entry(last, file, "last line") if last else None
        entry = Entry(
            number=before.number + 1 if before else 1,
            time=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            event=event,
            by=_user(),
            facts=facts,
            previous=_digest(last) if last else FIRST,
        )
        entry = replace(entry, digest=_digest(_line(entry)))
        _write(log, _line(entry) + b"\n", size)
        if not size:
            sync_directory(file.parent)
    return entry


def read(path: str | os.PathLike[str], *, strict: bool = False) -> list[Entry]:
    """Returns all events, oldest first; none if there is no log.

    What a killed process left of a last line is not one. `strict` refuses it: an edited last newline looks the same.

    Raises:
      IntegrityError: a line is not an entry or does not follow from the one before; names the line.
      OSError: the log cannot be read, or is a symbolic link.
    """
    file = Path(path)
    try:
        with _opened(file, os.O_RDONLY) as log, open(log, "rb", closefd=False) as content:
            *lines, torn = content.read().split(b"\n")
    except FileNotFoundError:
        return []
    entries: list[Entry] = []
    previous = FIRST
    for number, line in enumerate(lines, start=1):
        entry = _entry(line, file, f"line {number}")
        _check_order(entry, entries, previous, file)
        entries.append(entry)
        previous = _digest(line)
    if strict and torn:
        raise _damaged(file, f"line {len(lines) + 1}", "a whole line", f"one without its end, {_shown(torn)}")
    return entries


def intact(path: str | os.PathLike[str]) -> list[Entry]:
    """Returns the lines that are still entries by themselves, wherever they stand: what can be said in spite of damage.

    Raises:
      OSError: the log cannot be read, or is a symbolic link.
    """
    file, entries = Path(path), []
    try:
        with _opened(file, os.O_RDONLY) as log, open(log, "rb", closefd=False) as content:
            lines = content.read().split(b"\n")
    except FileNotFoundError:
        return []
    for line in lines:
        with suppress(IntegrityError):
            entries.append(_entry(line, file, ""))
    return entries


def digest(entry: Entry) -> str:
    """Returns the hex sha256 of an entry's line, which the next entry holds, and so of all that came before it."""
    return _digest(_line(entry))


def newest(path: str | os.PathLike[str]) -> str:
    """Returns the hex sha256 of the last whole line, which the next will hold; empty if there is none. Checks nothing.

    Raises:
      OSError: the log cannot be read, or is a symbolic link.
    """
    try:
        with _opened(Path(path), os.O_RDONLY) as log:
            size = os.fstat(log).st_size
            last = _last_line(log, size - len(_after_last_newline(log, size)))
    except FileNotFoundError:
        return ""
    return _digest(last) if last else ""


@contextmanager
def _opened(file: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(file, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, _MODE)  # a pipe would hold us up
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "expected a regular file, got another kind", str(file))
        yield descriptor
    finally:
        os.close(descriptor)


def _without_torn_end(log: int, file: Path) -> int:
    """Moves what follows the last newline out of the way and returns the log's size."""
    size = os.fstat(log).st_size
    torn = _after_last_newline(log, size)
    if torn:
        with open(f"{file}.torn", "ab") as kept:
            kept.write(torn + b"\n")
            kept.flush()
            os.fsync(kept.fileno())
        sync_directory(file.parent)
        os.ftruncate(log, size - len(torn))
        os.fsync(log)
    return size - len(torn)


def _last_line(log: int, size: int) -> bytes:
    return _after_last_newline(log, size - 1) if size else b""


def _after_last_newline(log: int, end: int) -> bytes:
    """The bytes before `end`, back to the last newline among them."""
    found, start = b"", end
    while start > 0 and b"\n" not in found:
        length = min(_BLOCK, start)
        start -= length
        found = os.pread(log, length, start) + found
    return found.rpartition(b"\n")[2]


def _write(log: int, line: bytes, size: int) -> None:
    """One write, so that a line is there as a whole or torn at the end; taken back if the disk is full."""
    try:
        if (written := os.write(log, line)) != len(line):
            raise OSError(28, f"No space left on device after {written} bytes")
        os.fsync(log)
    except OSError:
        os.ftruncate(log, size)
        raise


def _line(entry: Entry) -> bytes:
    fields = asdict(entry)
    if not entry.digest:
        del fields["digest"]
    return json.dumps(fields, allow_nan=False).encode()


def _check_order(entry: Entry, before: Sequence[Entry], previous: str, file: Path) -> None:
    number = len(before) + 1
    if (entry.number, entry.previous) != (number, previous):
        where = f"line {number} or the one before" if number > 1 else "line 1"
        raise _damaged(file, where, f"entry {number} after the line with digest {previous[:12]}", "another")
    if before and before[-1].digest and not entry.digest:
        raise _damaged(file, f"line {number}", "its digest, as in the line before", "none")


def _entry(line: bytes, file: Path, where: str) -> Entry:
    try:
        entry = Entry(**json.loads(line))
        own, spelled = _digest(_line(replace(entry, digest=""))), _line(entry)
    except (ValueError, TypeError, RecursionError):
        raise _damaged(file, where, "an entry", _shown(line)) from None
    if not isinstance(entry.number, int) or not isinstance(entry.facts, dict):
        raise _damaged(file, where, "an entry", _shown(line))
    if entry.digest and entry.digest != own:
        raise _damaged(file, where, f"a line with digest {str(entry.digest)[:12]}", "another")
    if spelled != line:  # or there would be bytes that no digest is of
        raise _damaged(file, where, "a line as it was written", "another spelling of it")
    return entry


def _shown(line: bytes) -> str:
    return repr(line[:40].decode(errors="replace"))


def _damaged(file: Path, where: str, expected: str, got: str) -> IntegrityError:
    return IntegrityError(
        f"{file}, {where}, was altered: expected {expected}, got {got}; restore the file from a copy, or keep it under another"
        " name, and a new one begins."
    )


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user has a number and need not have a name
        return str(os.getuid())
