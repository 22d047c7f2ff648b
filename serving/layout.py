"""The serving directory: which versions are there, and how a new one gets in.

    {base}/{model_name}/{version}/saved_model.pb ...    a complete version; TensorFlow Serving's layout
    {base}/{model_name}/{version}.intoto.jsonl          a signed statement about it, see `statements`
    {base}/{model_name}/.incoming-{version}-{random}/   a copy under way, or what a killed one left
    {base}/{model_name}/.removed-{version}-{random}/    a version that is being removed
    {base}/{model_name}/.lock                           held while something is published, released or removed
    {base}/models.config, {base}/audit.jsonl            see `models_config` and `records`

A server may poll at any moment and a process may die at any moment, so a numeric name is given by one rename, after every byte
is on the disk, and the statement too. A version is named in models.config and in the log after that; what a killed process did
not get to write there, the next push or release does.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from errors import ConfigError, IntegrityError, PushError
from lineage import audit_log
from lineage.digests import tree_digest
from lineage.durable import sync_directory
from serving import models_config, records, statements
from serving.models_config import locked
from serving.records import Serving

SAVED_MODEL = "saved_model.pb"
_VARIABLES = os.path.join("variables", "variables.index")
_RESTORE = b"RestoreV2"  # the operation by which a graph reads its variables
_INCOMING, _REMOVED = ".incoming-", ".removed-"
_INCOMING_VERSION = re.compile(r"\.incoming-([0-9]{1,19})-[^.]*")
_MODEL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_LAST_VERSION = 2**63 - 1  # TensorFlow Serving parses a version as int64
_CHUNK = 1 << 20
LOCK_SECONDS = 300.0  # a release may wait for servers three times, and what is to be published took hours to make
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
      pushed: False if it held these very bytes already and nothing was copied.
      live: the version that was live when this was done: `version`, unless the model is held at another.
      audit_digest: hex sha256 of the newest entry of the log of releases, which holds that of all before it.
      statement: the file's bytes that state where the version came from; None if there is none.
    """

    version: int
    path: str
    digest: str
    pushed: bool
    live: int | None
    audit_digest: str
    statement: bytes | None = None


def model_directory(base: str | os.PathLike[str], model_name: str) -> Path:
    """Returns `{base}/{model_name}`, the directory that holds a model's versions.

    Raises:
      ConfigError: the name could leave `base`, be hidden, not stand in a server's URL, or is that of a file of ours in `base`.
    """
    ours = model_name.startswith((models_config.FILE, records.FILE))
    if not _MODEL_NAME.fullmatch(model_name) or ".." in model_name or ours:
        raise ConfigError(
            f"bad model name {model_name!r}: expected 1 to 128 letters, digits, '_', '-' or '.', "
            f"not starting with '-', '.', '{models_config.FILE}' or '{records.FILE}' and without '..'; rename the model."
        )
    return Path(base, model_name)


def versions(
    model_dir: str | os.PathLike[str],
    unreadable: Callable[[int, OSError], None] | None = None,
    *,
    half_copied: bool = False,
) -> list[int]:
    """Returns the complete versions in a model's directory, lowest first; none if there is no such directory.

    Complete is a real directory that holds a `saved_model.pb`, with its variables if it has any, and has a canonical decimal
    name (`7`, not `007` or `+7`).

    Args:
      model_dir: see `model_directory`.
      unreadable: is told of each version that cannot be looked at, which is left out; without it that is an error.
      half_copied: whether versions without their variables count too.
    """
    complete = []
    for number, path in _numeric_entries(Path(model_dir)):
        try:
            if _is_complete(number, path) and (half_copied or not _lacks_variables(path)):
                complete.append(number)
        except OSError as error:
            if unreadable is None:
                raise
            unreadable(number, error)
    return sorted(complete)


def live_version(model_dir: str | os.PathLike[str]) -> int | None:
    """Returns the version that a request gets which names none; None if there is none.

    It is the highest complete one; of a model that models.config holds, the highest complete one of those it lists.

    Raises:
      ConfigError: models.config cannot be read.
    """
    return highest_served(model_dir, versions(model_dir))


def lost_version(model_dir: str | os.PathLike[str]) -> tuple[int, str] | None:
    """Returns the version that should be live though it is not there any more, and its digest in the log, empty without one.

    None if a version is live, or if none ever was: only then is it true that nothing is served, because a server may still
    have in memory what is gone from the disk.

    Raises:
      ConfigError: models.config cannot be read.
      IntegrityError: the log was altered.
    """
    now = serving(model_dir)
    if now.live is not None:
        return None
    root, name = _root_and_name(model_dir)
    told = records.entries(root, name)
    if isinstance(now.state, models_config.Held):
        return now.state.versions[-1], records.digest_of(now.state.versions[-1], told)
    return records.last_live(told)


def highest_served(model_dir: str | os.PathLike[str], candidates: Collection[int]) -> int | None:
    """Returns the highest of `candidates` that models.config lets be served; None if there is none.

    Raises:
      ConfigError: models.config cannot be read.
    """
    root, name = _root_and_name(model_dir)
    return max(records.served(models_config.state(root, name), candidates), default=None)


def serving(model_dir: str | os.PathLike[str]) -> Serving:
    """Returns a model as it is.

    Raises:
      ConfigError: models.config cannot be read.
    """
    root, name = _root_and_name(model_dir)
    return Serving(models_config.state(root, name), tuple(versions(model_dir)))


def settle(model_dir: str | os.PathLike[str]) -> Serving:
    """Completes what a killed process left undone, and returns the model as it is. The caller holds the model's lock.

    Raises:
      ConfigError: models.config cannot be read.
      IntegrityError: the log was altered.
    """
    target = Path(model_dir)
    _remove_leftovers(target)
    root, name = _root_and_name(target)
    now = serving(target)
    if now.complete:
        models_config.ensure(root, name)
    records.settle(root, name, now)
    return now


def remove(model_dir: str | os.PathLike[str], version: int) -> None:
    """Removes a version: by one rename, so that nobody ever finds half of it. The caller holds the model's lock."""
    target = Path(model_dir)
    hidden = target / f"{_REMOVED}{version}-{secrets.token_hex(4)}"
    os.rename(target / str(version), hidden)
    sync_directory(target)
    shutil.rmtree(hidden)


def holds(directory: str | os.PathLike[str], digest: str) -> bool:
    """Tells whether a directory has this tree digest; a missing one and one that `tree_digest` refuses have none."""
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
    stated: statements.State = lambda version, digest, there: None,
    now: Callable[[], float] = time.time,
    lock_seconds: float = LOCK_SECONDS,
    said: Callable[[str], None] | None = None,
) -> Published:
    """Copies a SavedModel into a model's directory as its next version, all of it or nothing.

    The version is `int(now())`, or one more than the highest numeric entry where that is not higher, so versions rise strictly
    whatever the clock does. Publishers and releases of one directory wait for each other. If the live version has the source's
    bytes already, or one above it that waits for its release, nothing is copied.

    Args:
      source: the SavedModel's directory: regular files and directories only.
      model_dir: see `model_directory`; made if it is missing.
      expected_digest: the tree digest that `source` must have, if it is known.
      agreed: called when no other publisher can change the directory any more; if it raises, nothing is published.
      stated: called then for the statement about the version, which is written before it; if it raises, nothing is published.
      now: seconds since 1970.
      lock_seconds: to wait for another publisher, or a release, at most.
      said: told for whom; see `lineage.locking`.

    Raises:
      PushError: the source is not a plain SavedModel, or the directory cannot be written.
      IntegrityError: the source is not what `expected_digest` says, or changed while it was being copied; or the log of
        releases was altered.
      ConfigError: models.config cannot be read.
      BusyError: another publisher or release is not done in time.
    """
    origin, target = Path(source), Path(model_dir)
    with _errors_in_one_line(target):
        digest = _checked_digest(origin, expected_digest)
        _make_directory(target)
        with locked(target, lock_seconds, said):
            before = settle(target)
            agreed()
            if (there := _already_there(target, before, digest)) is not None:
                sync_directory(target)  # its publisher may have been killed between the rename and this
                said_of_it = statements.put(target, there, digest, stated, hidden=_INCOMING)
                newest = audit_log.digest(audit_log.read(target.absolute().parent / records.FILE)[-1])
                return Published(there, str(target / str(there)), digest, False, before.live, newest, said_of_it)
            version = _next_version(target, now)
            path, said_of_it = _place(origin, target, version, digest, stated)
            root, name = _root_and_name(target)
            models_config.ensure(root, name)  # not before: a server that reads of a model waits for a version
            live = live_version(target)
            entry = records.add(root, records.PUSH, name, live, version=version, digest=digest)
            return Published(version, str(path), digest, True, live, audit_log.digest(entry), said_of_it)


def _root_and_name(model_dir: str | os.PathLike[str]) -> tuple[Path, str]:
    path = Path(os.path.abspath(model_dir))
    return path.parent, path.name


def _already_there(model_dir: Path, now: Serving, digest: str) -> int | None:
    """The live version, or else the newest above it, that has these bytes."""
    if now.live is None:
        return None
    above = [version for version in reversed(now.complete) if version > now.live]
    return next((version for version in [now.live, *above] if holds(model_dir / str(version), digest)), None)


def _numeric_entries(model_dir: Path) -> Iterator[tuple[int, Path]]:
    if not model_dir.is_dir():
        return
    for path in model_dir.iterdir():
        if path.name.isascii() and path.name.isdecimal() and len(path.name) < 40 and int(path.name) <= _LAST_VERSION:
            yield int(path.name), path


def _is_complete(number: int, path: Path) -> bool:
    plain = path.name == str(number) and not path.is_symlink()
    return plain and (path / SAVED_MODEL).is_file() and not (path / SAVED_MODEL).is_symlink()


def _lacks_variables(path: Path) -> bool:
    """Somebody's copy by hand that is under way or was cut off; what `publish` makes visible is whole."""
    return not (path / _VARIABLES).is_file() and _RESTORE in (path / SAVED_MODEL).read_bytes()


def _checked_digest(source: Path, expected: str | None) -> str:
    if not source.is_dir():
        raise PushError(
            f"no model to publish: expected a SavedModel directory at {source}; run again with --from the node that trains it."
        )
    for folder, folders, names in os.walk(source):
        for path in (Path(folder), *(Path(folder, name) for name in [*folders, *names])):
            mode = path.lstat().st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise PushError(f"refusing to publish {path}: expected regular files only, got {stat.filemode(mode)}.")
    if not (source / SAVED_MODEL).is_file():
        raise PushError(f"no model to publish: {source} holds no {SAVED_MODEL}; run again with --from the node that trains it.")
    if _lacks_variables(source):
        raise PushError(
            f"no model to publish: expected the variables of {source} in {_VARIABLES}, found none; run again with --from the"
            " node that trains it."
        )
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


def _remove_leftovers(model_dir: Path) -> None:
    for path in (*model_dir.glob(f"{_INCOMING}*"), *model_dir.glob(f"{_REMOVED}*")):
        if path.is_dir() and not path.is_symlink():
            if interrupted := _INCOMING_VERSION.fullmatch(path.name):
                statements.withdraw(model_dir, int(interrupted[1]))
            shutil.rmtree(path)
        else:
            path.unlink()


def _next_version(model_dir: Path, now: Callable[[], float]) -> int:
    stated = (number for number in statements.numbers(model_dir) if number <= _LAST_VERSION)
    highest = max((*stated, *(number for number, _ in _numeric_entries(model_dir))), default=0)
    version = max(int(now()), highest + 1)
    if version > _LAST_VERSION:
        raise PushError(f"no version is left above {highest} in {model_dir}; remove that entry if it is not a model.")
    return version


def _place(source: Path, model_dir: Path, version: int, digest: str, stated: statements.State) -> tuple[Path, bytes | None]:
    incoming = model_dir / f"{_INCOMING}{version}-{secrets.token_hex(4)}"
    final = model_dir / str(version)
    try:
        _copy_tree(source, incoming)
        if (copied := tree_digest(incoming)) != digest:
            raise IntegrityError(f"model at {source} changed while it was copied: expected digest {digest}, got {copied}.")
        statement = statements.put(model_dir, version, digest, stated, hidden=_INCOMING)
        os.rename(incoming, final)
    except BaseException:
        with suppress(OSError):
            statements.withdraw(model_dir, version)
            shutil.rmtree(incoming)  # after it: who finds a hidden copy withdraws what was stated of it
        raise
    sync_directory(model_dir)
    return final, statement


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
