"""The files and folders a run is told to use: checked before it starts, shown as short as they can be."""

from __future__ import annotations

import os
import sqlite3

from errors import ConfigError, FedtfxError

LOCK_SECONDS = 10.0


def shown(path: str) -> str:
    """Returns a path as a person would type it: relative inside the working directory, absolute elsewhere."""
    relative = os.path.relpath(path)
    return os.path.abspath(path) if relative.split(os.sep)[0] == os.pardir else relative


def check_folder(option: str, folder: str) -> None:
    """Makes sure that `folder` can be made and written to, without making it.

    Raises:
      ConfigError: it cannot; names the option.
    """
    existing = os.path.abspath(folder)
    while not os.path.lexists(existing):
        existing = os.path.dirname(existing)
    if not os.path.isdir(existing):
        raise ConfigError(f"{option}: expected a folder, but {existing} is a file; give another folder.")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigError(f"{option}: expected a folder to write to, but {existing} is read-only; give another folder.")


def clear_file(option: str, file: str) -> None:
    """Empties `file`, which a run writes at its end: one that cannot be written is refused now, an old one never mistaken.

    Raises:
      ConfigError: it cannot be written; names the option.
    """
    try:
        open(file, "w", encoding="utf-8").close()
    except OSError as error:
        raise ConfigError(f"{option}: cannot write {file} ({error.strerror}); give a file in a folder that exists.") from None


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
