"""The signed statement beside a version: where it is, and how it gets there before the version does.

    {base}/{model_name}/{version}.intoto.jsonl

Servers and `layout` pass it over, because its name is no number. It is a record, and outlives its version. What is in it is
`lineage.statement`'s business; here it is bytes.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lineage.durable import sync_directory

SUFFIX = ".intoto.jsonl"
_LARGEST = 1 << 20
_MODE = 0o644  # whoever may read the model

# Version, tree digest, and the statement that is there (None if there is none) -> the one that should be; None to leave it.
State = Callable[[int, str, "bytes | None"], "bytes | None"]


def path(model_dir: str | os.PathLike[str], version: int) -> Path:
    """Returns where the statement about a version is, if there is one."""
    return Path(model_dir, f"{version}{SUFFIX}")


def numbers(model_dir: str | os.PathLike[str]) -> list[int]:
    """Returns the versions that something is stated about, whether they are there or not."""
    names = (file.name.removesuffix(SUFFIX) for file in Path(model_dir).glob(f"*{SUFFIX}"))
    return [int(name) for name in names if name.isascii() and name.isdecimal() and len(name) < 40]


def put(model_dir: Path, version: int, digest: str, stated: State, *, hidden: str) -> bytes | None:
    """Makes the statement about a version what it should be, on the disk, and returns it.

    Args:
      model_dir: the model's directory, whose lock the caller holds.
      version: a number.
      digest: tree digest of the version.
      stated: see `State`.
      hidden: how the name begins of what is removed if this process dies.
    """
    file = path(model_dir, version)
    there = _bytes_of(file)
    statement = stated(version, digest, there)
    if statement is None or statement == there:
        return statement
    part = model_dir / f"{hidden}{file.name}-{secrets.token_hex(4)}"
    try:
        with part.open("xb") as writing:
            writing.write(statement)
            writing.flush()
            os.fchmod(writing.fileno(), _MODE)
            os.fsync(writing.fileno())
        os.rename(part, file)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    sync_directory(model_dir)
    return statement


def withdraw(model_dir: Path, version: int) -> None:
    """Removes what was stated about a version that then did not come to be."""
    if not (model_dir / str(version)).exists():
        path(model_dir, version).unlink(missing_ok=True)
        sync_directory(model_dir)


def _bytes_of(file: Path) -> bytes | None:
    """None if there is no file; empty, which no statement is, if it is no plain file or one that is too large."""
    with suppress(FileNotFoundError):
        about = file.lstat()
        return file.read_bytes() if stat.S_ISREG(about.st_mode) and about.st_size <= _LARGEST else b""
    return None
