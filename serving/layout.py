"""The serving directory: which versions are there, and how a new one gets in.

    {base}/{model_name}/{version}/saved_model.pb ...    a complete version; TensorFlow Serving's layout
    {base}/{model_name}/.incoming-{version}-{random}/   a copy under way, or what a killed one left
    {base}/{model_name}/.lock                           held while something is published

A server may poll at any moment and a process may die at any moment, so a numeric name is given by one rename, after every byte
is on the disk.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from errors import ConfigError, IntegrityError, PushError
from lineage.digests import tree_digest
from lineage.durable import sync_directory

SAVED_MODEL = "saved_model.pb"
_INCOMING = ".incoming-"
_LOCK = ".lock"
_MODEL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_LAST_VERSION = 2**63 - 1  # TensorFlow Serving parses a version as int64
_CHUNK = 1 << 20
# A model server usually runs as another user than the pipeline, so the process's umask must not decide who can read a model.
_FILE_MODE = 0o644
_DIRECTORY_MODE = 0o755

_REMEDIES = {
    errno.ENOSPC: "free some disk space and run again",
    errno.EDQUOT: "free some of the disk quota and run again",
    errno.EROFS: "remount it for writing or choose another serving root",
    errno.EACCES: "give this user access or choose another serving root",
    errno.EPERM: "give this user access or choose another serving root",
    errno.ENOTDIR: "a directory is expected; move the file away or choose another serving root",
    errno.EEXIST: "a directory is expected; move the file away or choose another serving root",
}


@dataclass(frozen=True)
class Published:
    """What `publish` did.

    Attributes:
      version: the version that now holds the model.
      path: its directory.
      digest: the hex sha256 tree digest of that directory.
      pushed: False if the live version held these very bytes already and nothing was copied.
    """

    version: int
    path: str
    digest: str
    pushed: bool


def model_directory(base: str | os.PathLike[str], model_name: str) -> Path:
    """Returns `{base}/{model_name}`, the directory that holds a model's versions.

    Raises:
      ConfigError: the name could leave `base`, be hidden, or not stand in a server's URL.
    """
    if not _MODEL_NAME.fullmatch(model_name) or ".." in model_name:
        raise ConfigError(
            f"bad model name {model_name!r}: expected 1 to 128 letters, digits, '_', '-' or '.', "
            "not starting with '-' or '.' and without '..'; rename the model."
        )
    return Path(base, model_name)


def versions(model_dir: str | os.PathLike[str]) -> list[int]:
    """Returns the complete versions in a model's directory, lowest first; none if there is no such directory.

    Complete is a real directory that holds a `saved_model.pb` and has a canonical decimal name (`7`, not `007` or `+7`).
    """
    return sorted(number for number, path in _numeric_entries(Path(model_dir)) if _is_complete(number, path))


def live_version(model_dir: str | os.PathLike[str]) -> int | None:
    """Returns the version a server with the default policy serves: the highest complete one, or None."""
    return max(versions(model_dir), default=None)


def holds(directory: str | os.PathLike[str], digest: str) -> bool:
    """Tells whether a directory has this tree digest; a missing one and one with a symbolic link in it have none."""
    try:
        return tree_digest(directory) == digest
    except (FileNotFoundError, ValueError):
        return False


def publish(
    source: str | os.PathLike[str],
    model_dir: str | os.PathLike[str],
    *,
    expected_digest: str | None = None,
    agreed: Callable[[], None] = lambda: None,
    now: Callable[[], float] = time.time,
) -> Published:
    """Copies a SavedModel into a model's directory as its next version, all of it or nothing.

    The version is `int(now())`, or one more than the highest numeric entry where that is not higher, so versions rise strictly
    whatever the clock does. Publishers of one directory wait for each other. If the live version has the source's bytes
    already, nothing is copied.

    Args:
      source: the SavedModel's directory: regular files and directories only.
      model_dir: see `model_directory`; made if it is missing.
      expected_digest: the tree digest that `source` must have, if it is known.
      agreed: called when no other publisher can change the directory any more; if it raises, nothing is published.
      now: seconds since 1970.

    Raises:
      PushError: the source is not a plain SavedModel, or the directory cannot be written.
      IntegrityError: the source is not what `expected_digest` says, or changed while it was being copied.
    """
    origin, target = Path(source), Path(model_dir)
    with _errors_in_one_line(target):
        digest = _checked_digest(origin, expected_digest)
        _make_directory(target)
        with _lock(target):
            _remove_leftovers(target)
            agreed()
            served = live_version(target)
            if served is not None and holds(target / str(served), digest):
                sync_directory(target)  # its publisher may have been killed between the rename and this
                return Published(served, str(target / str(served)), digest, pushed=False)
            version = _next_version(target, now)
            path = _place(origin, target, version, digest)
            return Published(version, str(path), digest, pushed=True)


def _numeric_entries(model_dir: Path) -> Iterator[tuple[int, Path]]:
    if not model_dir.is_dir():
        return
    for path in model_dir.iterdir():
        if path.name.isascii() and path.name.isdecimal() and len(path.name) < 40 and int(path.name) <= _LAST_VERSION:
            yield int(path.name), path


def _is_complete(number: int, path: Path) -> bool:
    plain = path.name == str(number) and not path.is_symlink()
    return plain and (path / SAVED_MODEL).is_file() and not (path / SAVED_MODEL).is_symlink()


def _checked_digest(source: Path, expected: str | None) -> str:
    if not source.is_dir():
        raise PushError(
            f"no model to publish: expected a SavedModel directory at {source}; run again with --from the node that trains it."
        )
    for folder, folders, names in os.walk(source):
        for path in (Path(folder, name) for name in [*folders, *names]):
            mode = path.lstat().st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise PushError(f"refusing to publish {path}: expected regular files only, got {stat.filemode(mode)}.")
    if not (source / SAVED_MODEL).is_file():
        raise PushError(f"no model to publish: {source} holds no {SAVED_MODEL}; run again with --from the node that trains it.")
    digest = tree_digest(source)
    if expected is not None and digest != expected:
        raise IntegrityError(
            f"model at {source} was altered: digest {digest}, expected {expected}; run again with --from the node that trains"
            " it."
        )
    return digest


def _make_directory(path: Path) -> None:
    """Makes a directory and its missing parents, each entry synced; `exist_ok`, but a file in its place is an error."""
    if path.is_dir():
        return
    _make_directory(path.parent)
    try:
        os.mkdir(path)
    except FileExistsError:
        if not path.is_dir():
            raise
        return  # another publisher was quicker
    os.chmod(path, _DIRECTORY_MODE)
    sync_directory(path.parent)


@contextmanager
def _lock(model_dir: Path) -> Iterator[None]:
    """Waits for, then holds, the directory's lock; the kernel frees it however the process ends."""
    lock = os.open(model_dir / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _FILE_MODE)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _remove_leftovers(model_dir: Path) -> None:
    for path in model_dir.glob(f"{_INCOMING}*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _next_version(model_dir: Path, now: Callable[[], float]) -> int:
    highest = max((number for number, _ in _numeric_entries(model_dir)), default=0)
    version = max(int(now()), highest + 1)
    if version > _LAST_VERSION:
        raise PushError(f"no version is left above {highest} in {model_dir}; remove that entry if it is not a model.")
    return version


def _place(source: Path, model_dir: Path, version: int, digest: str) -> Path:
    incoming = model_dir / f"{_INCOMING}{version}-{secrets.token_hex(4)}"
    final = model_dir / str(version)
    try:
        _copy_tree(source, incoming)
        if (copied := tree_digest(incoming)) != digest:
            raise IntegrityError(f"model at {source} changed while it was copied: expected digest {digest}, got {copied}.")
        os.rename(incoming, final)
    except BaseException:
        shutil.rmtree(incoming, ignore_errors=True)
        raise
    sync_directory(model_dir)
    return final


def _copy_tree(source: Path, target: Path) -> None:
    os.mkdir(target)
    os.chmod(target, _DIRECTORY_MODE)
    for entry in sorted(source.iterdir()):
        copy = _copy_tree if entry.is_dir() else _copy_file
        copy(entry, target / entry.name)
    sync_directory(target)


def _copy_file(source: Path, target: Path) -> None:
    with source.open("rb") as reading, target.open("xb") as writing:
        shutil.copyfileobj(reading, writing, _CHUNK)
        writing.flush()
        os.fchmod(writing.fileno(), _FILE_MODE)
        os.fsync(writing.fileno())


@contextmanager
def _errors_in_one_line(model_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "look at the path and run again")
        place = f" ({error.filename})" if error.filename else ""
        raise PushError(f"cannot publish to {model_dir}: {error.strerror or error}{place}; {remedy}.") from error
