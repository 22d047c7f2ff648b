"""One version of a model: where it stands between being found and being gone, and its files."""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from serving.layout import SAVED_MODEL
from serving.server.status import ApiError

if TYPE_CHECKING:
    from serving.server.servable import Servable

START, LOADING, AVAILABLE, UNLOADING, END = "START", "LOADING", "AVAILABLE", "UNLOADING", "END"
_MAX_ENTRIES = 10_000
_MAX_IGNORED = 20
_NUMBER, _CANONICAL = re.compile(r"[+-]?[0-9]{1,40}"), re.compile(r"0|[1-9][0-9]*")
_LAST_VERSION = 2**63 - 1
_MAX_GRAPH_BYTES = 2**31 - 1  # what protobuf can hold
_VARIABLES = os.path.join("variables", "variables.index")

Fingerprint = frozenset[tuple[str, int, int]]  # path, size and time of every file


@dataclass(frozen=True)
class VersionStatus:
    """A version's state (START, LOADING, AVAILABLE, UNLOADING or END) and its last error, `OK` if there was none.

    LOADING with an error: the load failed and is tried again.
    """

    version: int
    state: str
    code: str = "OK"
    message: str = ""


@dataclass(eq=False)
class Version:
    """A version as the manager, under whose lock all of this is, knows it.

    Attributes:
      number: its number.
      path: its directory.
      state: see VersionStatus.
      servable: while it is AVAILABLE or UNLOADING.
      leases: requests that have it in hand.
      busy: a thread has it, or will have it, to load or unload it.
      failures: loads in a row that failed.
      error: of the last of them.
      retry_at: when it is loaded again; never if infinite.
      fingerprint: its files when the last load failed.
    """

    number: int
    path: Path
    state: str = START
    servable: Servable | None = None
    leases: int = 0
    busy: bool = False
    failures: int = 0
    error: ApiError | None = None
    retry_at: float = 0.0
    fingerprint: Fingerprint = frozenset()

    @property
    def failing(self) -> bool:
        """Whether it failed to load and has not been loaded since."""
        return self.failures > 0

    @property
    def waits(self) -> bool:
        """Whether it will be tried again at `retry_at`."""
        return self.state == LOADING and not self.busy

    def status(self) -> VersionStatus:
        """What is told of it."""
        if self.error is None:
            return VersionStatus(self.number, self.state)
        return VersionStatus(self.number, self.state, self.error.code, self.error.message)

    def succeed(self, servable: Servable) -> None:
        """It was loaded."""
        self.state, self.servable, self.error = AVAILABLE, servable, None
        self.forget_failures()

    def fail(self, error: ApiError, fingerprint: Fingerprint, retry_at: float) -> None:
        """A load failed."""
        self.error, self.fingerprint, self.retry_at = error, fingerprint, retry_at
        self.failures += 1
        self.state = END if retry_at == math.inf else LOADING

    def try_again(self) -> None:
        """Its files are others now: it is worth another try, at once. Until that succeeds it counts as failing."""
        self.failures, self.retry_at = min(self.failures, 1), 0.0

    def forget_failures(self) -> None:
        """What comes next is another version than the one that failed, or as good as that."""
        self.failures, self.retry_at = 0, 0.0


def fingerprint(path: Path) -> Fingerprint:
    """What tells whether a version that failed has changed: every entry's size and time of change; empty if it is gone."""
    found = set()
    for entry in _entries(path):
        try:
            known = entry.stat(follow_symlinks=False)
        except OSError:  # gone since
            continue
        found.add((entry.path, known.st_size, known.st_ctime_ns))
        if len(found) > _MAX_ENTRIES:
            break
    return frozenset(found)


def ignored(base_path: Path, found: Collection[int], hidden: Collection[int]) -> dict[str, str]:
    """Why entries that the real server would take for versions are none here: name -> reason, of at most a few.

    Args:
      base_path: a model's directory.
      found: the versions in it.
      hidden: those that could not be looked at.
    """
    known, reasons = {str(number) for number in (*found, *hidden)}, {}
    with os.scandir(base_path) as entries:
        for entry in entries:
            if _NUMBER.fullmatch(entry.name) and entry.name not in known:
                reasons[entry.name] = _no_version(entry)
            if len(reasons) >= _MAX_IGNORED:
                break
    return reasons


def _no_version(entry: os.DirEntry[str]) -> str:
    if not _CANONICAL.fullmatch(entry.name) or int(entry.name) > _LAST_VERSION:
        return "a version's name is a plain number without sign and leading zeros, up to 9223372036854775807"
    if entry.is_symlink():
        return "a version must not be a symbolic link"
    if not entry.is_dir():
        return "a version is a directory"
    return f"it has no {SAVED_MODEL}, or a link in its place"


def check_files(path: Path) -> None:
    """Refuses a directory that TensorFlow must not be let loose on.

    A named pipe or a device would block it for ever, a link to a directory may lead anywhere, a graph of more than 2 GB is
    none, and without variables the graph loads but no request could be answered.

    Raises:
      ApiError: FAILED_PRECONDITION.
    """
    try:
        _check_kinds(path)
        _check_graph(path)
    except OSError as error:
        name = os.path.relpath(error.filename, path) if error.filename else "it"
        raise _refused(f"cannot read {name}: {error.strerror or error}") from None


def _check_kinds(path: Path) -> None:
    for count, entry in enumerate(_entries(path)):
        if count >= _MAX_ENTRIES:
            raise _refused(f"more than {_MAX_ENTRIES} files")
        mode = entry.stat().st_mode
        if not stat.S_ISREG(mode) and (entry.is_symlink() or not stat.S_ISDIR(mode)):
            raise _refused(f"{os.path.relpath(entry.path, path)} is neither a file nor a directory")


def _check_graph(path: Path) -> None:
    size = (path / SAVED_MODEL).stat().st_size
    if size > _MAX_GRAPH_BYTES:
        raise _refused(f"{SAVED_MODEL} has {size} bytes, more than {_MAX_GRAPH_BYTES}")
    if not (path / _VARIABLES).is_file() and _restores(path / SAVED_MODEL):
        raise _refused(f"the graph has variables but there is no {_VARIABLES}; the copy is not complete")


def _entries(path: Path) -> Iterator[os.DirEntry[str]]:
    folders = [os.fspath(path)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    yield entry
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        except OSError:
            continue


def _restores(graph: Path) -> bool:
    """Whether the graph's variables are in a file; a damaged one is for the loader to tell."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    try:
        saved = saved_model_pb2.SavedModel.FromString(graph.read_bytes())
    except DecodeError:
        return False
    return any(meta.saver_def.restore_op_name for meta in saved.meta_graphs)


def _refused(message: str) -> ApiError:
    return ApiError("FAILED_PRECONDITION", message)
