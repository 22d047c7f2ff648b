"""Which version of a model is served, and what is known of the others."""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from serving.layout import versions
from serving.server import servable, warmup
from serving.server.servable import Servable
from serving.server.status import ApiError

START, LOADING, AVAILABLE, UNLOADING, END = "START", "LOADING", "AVAILABLE", "UNLOADING", "END"

_log = logging.getLogger(__name__)

Fingerprint = frozenset[tuple[str, int, int]]  # path, size and time of every file


@dataclass(frozen=True)
class VersionStatus:
    """A version's state (START, LOADING, AVAILABLE, UNLOADING or END) and the error that ended it, `OK` if none did."""

    version: int
    state: str
    code: str = "OK"
    message: str = ""


class Model:
    """A named directory of versions, of which the newest complete one is served.

    `poll` is called by one thread; everything else may be called by any. A version is replaced only by one that is ready, and a
    request keeps the version it got until it is answered.
    """

    def __init__(self, name: str, base_path: Path) -> None:
        self.name = name
        self.base_path = base_path
        self._lock = threading.Lock()
        self._current: Servable | None = None
        self._statuses: dict[int, VersionStatus] = {}
        self._failed: dict[int, Fingerprint] = {}
        self._complaint = ""

    @property
    def ready(self) -> bool:
        """Whether a version is available."""
        return self._current is not None

    def servable(self, version: int | None = None) -> Servable:
        """The version asked for, or the one that answers when none is.

        Raises:
          ApiError: NOT_FOUND.
        """
        current = self._current
        if current is None or version not in (None, current.version):
            asked = f"Latest({self.name})" if version is None else f"Specific({self.name}, {version})"
            raise ApiError("NOT_FOUND", f"Servable not found for request: {asked}")
        return current

    def statuses(self, version: int | None = None) -> list[VersionStatus]:
        """Every version known since the start, newest first, or the one asked for.

        Raises:
          ApiError: NOT_FOUND if there is none.
        """
        with self._lock:
            known = [self._statuses[number] for number in sorted(self._statuses, reverse=True)]
        if version is not None:
            known = [status for status in known if status.version == version]
        if not known:
            what = "any versions" if version is None else f"version {version}"
            raise ApiError("NOT_FOUND", f"Could not find {what} of model {self.name}")
        return known

    def poll(self) -> None:
        """Looks at the directory once and, if its newest complete version is another one, loads that and drops the old one.

        A version that failed is tried again when its files are others. While the directory is missing or cannot be read, what
        is served stays.
        """
        try:
            if not self.base_path.is_dir():
                self._complain(f"no directory {self.base_path}")
                return
            found = versions(self.base_path)
            self._failed = {number: files for number, files in self._failed.items() if number in found}
            if not found:
                self._complain(f"no complete version in {self.base_path}")
                self._replace(None)
                return
            self._complaint = ""
            self._serve(found[-1])
        except OSError as error:
            self._complain(f"cannot read {error.filename or self.base_path}: {error.strerror or error}")

    def _serve(self, version: int) -> None:
        if self._current is not None and self._current.version == version:
            return
        fingerprint = _fingerprint(self.base_path / str(version))
        if self._failed.get(version) != fingerprint:
            self._load(version, fingerprint)

    def _load(self, version: int, fingerprint: Fingerprint) -> None:
        self._set(VersionStatus(version, LOADING))
        path, started = self.base_path / str(version), time.monotonic()
        try:
            loaded = servable.load(path, version)
            requests = warmup.warm_up(loaded, path)
        except ApiError as error:
            self._failed[version] = fingerprint
            self._set(VersionStatus(version, END, error.code, error.message))
            _log.error("model %s version %d failed to load: %s: %s", self.name, version, error.code, error.message)
            return
        self._failed.pop(version, None)
        self._replace(loaded)
        seconds = time.monotonic() - started
        _log.info(
            "model %s version %d is AVAILABLE after %.2f s, %d warm-up requests answered", self.name, version, seconds, requests
        )

    def _replace(self, loaded: Servable | None) -> None:
        old = self._current
        if old is None and loaded is None:
            return
        with self._lock:
            self._current = loaded
            if old is not None:
                self._statuses[old.version] = VersionStatus(old.version, END)
            if loaded is not None:
                self._statuses[loaded.version] = VersionStatus(loaded.version, AVAILABLE)
        if old is not None:
            _log.info("model %s version %d is no longer served", self.name, old.version)
            del old
            gc.collect()  # TensorFlow's objects refer to each other, and a model is large

    def _set(self, status: VersionStatus) -> None:
        with self._lock:
            self._statuses[status.version] = status

    def _complain(self, text: str) -> None:
        """Logs what keeps a poll from finding a version, once and not at every poll."""
        if text != self._complaint:
            self._complaint = text
            _log.warning("model %s: %s", self.name, text)


def find(models: Mapping[str, Model], name: str, version: int | None = None, label: str = "") -> Servable:
    """The servable that answers a request.

    Raises:
      ApiError: NOT_FOUND for an unknown model or version, INVALID_ARGUMENT for a label, of which there are none.
    """
    if label:
        raise ApiError("INVALID_ARGUMENT", f"Unrecognized servable version label: {label}")
    return (models.get(name) or Model(name, Path())).servable(version)


def statuses(models: Mapping[str, Model], name: str, version: int | None = None) -> list[VersionStatus]:
    """A model's versions, newest first, or the one asked for.

    Raises:
      ApiError: NOT_FOUND.
    """
    return (models.get(name) or Model(name, Path())).statuses(version)


def _fingerprint(path: Path) -> Fingerprint:
    """What tells whether a version that failed has changed and is worth another try."""
    found = set()
    for folder, _, names in os.walk(path):
        for file in (Path(folder, name) for name in names):
            known = file.lstat()
            found.add((str(file), known.st_size, known.st_mtime_ns))
    return frozenset(found)
