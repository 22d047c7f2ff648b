"""Locks between processes: who may not write holds nobody up, and who waits says for whom, and not for ever."""

from __future__ import annotations

import fcntl
import getpass
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from errors import BusyError

SECONDS = 30.0
ROOT_LOCK = ".lock"
_SILENT_SECONDS = 2.0
_POLL_SECONDS = 0.02
# Any process that can open a file can lock it, so that nobody else may even read this one.
_MODE = 0o600
_LONGEST = 300

Said = Callable[[str], None]


@contextmanager
def locked(path: str | os.PathLike[str], seconds: float = SECONDS, said: Said | None = None) -> Iterator[None]:
    """Waits for, then holds, a file's lock. The kernel frees it however the process ends.

    The file tells who holds it, for those who wait; nothing depends on what is in it.

    Args:
      path: of the lock file; made if it is missing, and closed to other users.
      seconds: to wait at most.
      said: told after two seconds for whom; the log's warnings if it is None.

    Raises:
      BusyError: another process holds it for longer.
      OSError: the file cannot be opened for writing, or is a symbolic link.
    """
    file = Path(path)
    with _held(file, lambda lock: _wait(lock, file, seconds, said or logging.getLogger(__name__).warning), _myself()):
        yield


@contextmanager
def exclusive(root: str | os.PathLike[str]) -> Iterator[None]:
    """Holds a pipeline root for one run, or one command that removes artifacts; waits for nobody: a run takes hours.

    Raises:
      BusyError: another process holds it.
      OSError: the root is not there or cannot be written.
    """

    def take(lock: int) -> None:
        if not _taken(lock):
            holder = os.pread(lock, 2 * _LONGEST, 0).decode("utf-8", "replace").strip() or "unknown"
            raise BusyError(f"another run ({holder}) is using {root}; wait for it, or give --pipeline-root another folder.")

    text = f"process {os.getpid()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}: {_command()}"
    with _held(Path(root, ROOT_LOCK), take, text):
        yield


@contextmanager
def _held(path: Path, take: Callable[[int], None], text: str) -> Iterator[None]:
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
    try:
        if os.fstat(lock).st_mode & 0o077:
            os.fchmod(lock, _MODE)
        take(lock)
        _tell(lock, text)
        try:
            yield
        finally:
            _tell(lock, "")
    finally:
        os.close(lock)


def _wait(lock: int, path: Path, seconds: float, said: Said) -> None:
    began, told = time.monotonic(), False
    while not _taken(lock):
        waited = time.monotonic() - began
        if waited >= seconds:
            raise BusyError(f"expected {path} to be free within {seconds:g} s, got it held by {_holder(lock, path)}")
        if waited >= _SILENT_SECONDS and not told:
            said(f"waiting up to {seconds:g} s for {path}, held by {_holder(lock, path)}")
            told = True
        time.sleep(_POLL_SECONDS)


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(lock: int, path: Path) -> str:
    """Who holds it, and what can be done about that."""
    pid, _, who = os.pread(lock, 2 * _LONGEST, 0).decode("utf-8", "replace").partition(" ")
    if not pid.isdecimal():
        return f"a process that does not say which; `fuser -v {path}` does."
    return f"process {pid} ({who}); wait for it, or stop it with `kill {pid}`: a release then takes back what it did."


def _myself() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user has a number and need not have a name
        user = str(os.getuid())
    return f"{os.getpid()} {user} on {socket.gethostname()}: {_command()}"


def _command() -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(sys.orig_argv))[:_LONGEST]


def _tell(lock: int, text: str) -> None:
    with suppress(OSError):  # a full disk is no reason not to work
        os.ftruncate(lock, 0)
        os.pwrite(lock, text.encode(), 0)
