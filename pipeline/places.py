"""The files and folders a run is told to use: checked before it starts, shown as short as they can be."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from pathlib import Path

from errors import ConfigError, FedtfxError

LOCK_SECONDS = 10.0


def shown(path: str) -> str:
    """Returns a path as a person would type it: relative inside the working directory, absolute elsewhere."""
    relative = os.path.relpath(path)
    return os.path.abspath(path) if relative.split(os.sep)[0] == os.pardir else relative


def check_folder(option: str, folder: str) -> None:
    """Makes sure that `folder` can be made and written to, without making it.

    What is missing of it is made inside a hidden folder that goes again: permissions alone do not tell, least of all to root.

    Raises:
      ConfigError: it cannot; names the option.
    """
    _check_local(option, "a folder", folder)
    existing = os.path.abspath(folder)
    while not os.path.lexists(existing):
        existing = os.path.dirname(existing)
    if not os.path.isdir(existing):
        raise ConfigError(f"{option}: expected a folder, but {existing} is a file; give another folder.")
    try:
        with tempfile.TemporaryDirectory(prefix=".", dir=existing) as probe:
            os.makedirs(os.path.join(probe, os.path.relpath(os.path.abspath(folder), existing)), exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{option}: expected a folder to write to, but {folder} cannot be made or written to ({error.strerror}); give"
            " another folder."
        ) from None


def _check_local(option: str, expected: str, place: str) -> None:
    if not place.strip() or "://" in place:
        raise ConfigError(f"{option}: expected {expected} on this machine, got {place!r}; give a path.")


def check_file(option: str, file: str, config: str) -> None:
    """Makes sure that a run can write `file` at its end, without touching it.

    Raises:
      ConfigError: it cannot, or it is the config file; names the option.
    """
    _check_local(option, "a file", file)
    target = os.path.realpath(file)
    if target == os.path.realpath(config):
        raise ConfigError(f"{option}: expected a file for the result, but {file} is the config; give another file.")
    if reason := _why_not_writable(target):
        raise ConfigError(f"{option}: cannot write {file} ({reason}); give a file in a folder that exists.")


def _why_not_writable(target: str) -> str:
    try:
        with contextlib.suppress(FileNotFoundError):
            os.stat(target)
        if os.path.isdir(target):
            return "Is a directory"
        if os.path.exists(target) and not (os.path.isfile(target) and os.access(target, os.W_OK)):
            return "read-only, or no file"
        tempfile.TemporaryFile(dir=os.path.dirname(target)).close()
    except OSError as error:
        return str(error.strerror)
    return ""


def remove_file(file: str) -> None:
    """Removes an old result, so that nobody takes it for that of the run that begins."""
    Path(os.path.realpath(file)).unlink(missing_ok=True)


def write_file(file: str, text: str) -> None:
    """Writes `file` in one step: whoever reads it finds the whole text, or what was there before."""
    target = Path(os.path.realpath(file))
    part = target.parent / f".{os.getpid()}.part"
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def check_database(path: str) -> None:
    """Makes sure that the ML Metadata database at `path`, if there is one, is whole and not locked.

    ML Metadata itself retries for minutes and then fails with SQLite's bare words.

    Raises:
      FedtfxError: it is damaged, or somebody has kept it locked for LOCK_SECONDS.
    """
    if not os.path.exists(path):
        return
    connection = sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        connection.execute("ROLLBACK")
    except sqlite3.DatabaseError as error:
        verdict = str(error)
    finally:
        connection.close()
    if "locked" in verdict:
        raise FedtfxError(f"{path}: locked by another process for {LOCK_SECONDS:.0f} s; end that process and try again.")
    if verdict != "ok":
        raise FedtfxError(
            f"{path}: damaged, or no ML Metadata database ({verdict.splitlines()[0]}); put a copy of it back, or give"
            " another --pipeline-root."
        )
