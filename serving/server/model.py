"""One model: which versions it should have, has, and takes next. Under the manager's lock, without a thread or a file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from serving.server.model_config import Settings
from serving.server.status import ApiError
from serving.server.versions import AVAILABLE, END, LOADING, START, UNLOADING, Version, VersionStatus

if TYPE_CHECKING:
    from serving.server.servable import Servable

_MAX_ENDED = 1000  # versions that are told of after they have ended
_LIVELIEST_FIRST = (AVAILABLE, UNLOADING, LOADING, START, END)


class Model:
    """A model's versions by their directories.

    Attributes:
      name: in requests.
      settings: how it is served; None before, and after, it is configured.
      pending: how it may be served next. Until that is decided both are followed, so nothing that either needs is unloaded.
      versions: every one known since the start.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.settings: Settings | None = None
        self.pending: Settings | None = None
        self.versions: dict[Path, Version] = {}
        self._found: dict[Path, tuple[int, ...]] = {}

    def base_paths(self) -> set[Path]:
        """The directories to look at."""
        return {settings.base_path for settings in (self.settings, self.pending) if settings}

    def see(self, base_path: Path, found: Collection[int], hidden: Collection[int] = ()) -> None:
        """Takes note of what is in a directory.

        Args:
          base_path: the directory.
          found: the versions in it. One that is gone may come back as another.
          hidden: those that could not be looked at; what was known of them stays true.
        """
        known = set(hidden).intersection(self._found.get(base_path, ()))
        self._found[base_path] = tuple(sorted(known.union(found)))
        there = {base_path / str(number) for number in self._found[base_path]}
        for version in self.versions.values():
            if version.failing and version.path.parent == base_path and version.path not in there:
                version.forget_failures()

    def wanted(self) -> set[Path]:
        """The directories of the versions that should be loaded."""
        return {path for settings in (self.settings, self.pending) if settings for path in self.chosen(settings)}

    def chosen(self, settings: Settings) -> set[Path]:
        """The directories of the versions that some settings ask for."""
        base = settings.base_path
        failing = {version.number for version in self.versions.values() if version.failing and version.path.parent == base}
        return {base / str(number) for number in settings.policy.choose(self._found.get(base, ()), failing)}

    def would_lose_all(self, settings: Settings | None) -> bool:
        """Whether it answers now, and would not by other settings; those of a directory that was not looked at take nothing."""
        if self.settings is None or not self.available():
            return False
        return settings is None or (settings.base_path in self._found and not self.chosen(settings))

    def available(self) -> list[Version]:
        """The versions that can answer, lowest first."""
        ready = [version for version in self.versions.values() if version.state == AVAILABLE]
        return sorted(ready, key=lambda version: version.number)

    def pick(self, number: int | None, label: str) -> tuple[Version, Servable]:
        """The version that answers a request, and what does.

        Raises:
          ApiError: INVALID_ARGUMENT for a label that is not known, NOT_FOUND if there is none.
        """
        if label:
            if self.settings is None or label not in self.settings.labels:
                raise ApiError("INVALID_ARGUMENT", f"Unrecognized servable version label: {label}")
            number = self.settings.labels[label]
        for version in reversed(self.available() if self.settings else []):
            if number in (None, version.number) and version.servable is not None:
                return version, version.servable
        asked = f"Latest({self.name})" if number is None else f"Specific({self.name}, {number})"
        raise ApiError("NOT_FOUND", f"Servable not found for request: {asked}")

    def statuses(self) -> list[VersionStatus]:
        """Every version known since the start, newest first."""
        told: dict[int, Version] = {}
        for version in sorted(self.versions.values(), key=lambda version: _LIVELIEST_FIRST.index(version.state)):
            told.setdefault(version.number, version)
        return [told[number].status() for number in sorted(told, reverse=True)]

    def due(self, now: float) -> list[Version]:
        """The versions to load now, highest first."""
        wanted = self.wanted()
        for path in wanted - self.versions.keys():
            self.versions[path] = Version(int(path.name), path)
        idle = [self.versions[path] for path in wanted]
        due = [
            version
            for version in idle
            if not version.busy and version.state in (START, LOADING, END) and version.retry_at <= now
        ]
        return sorted(due, key=lambda version: version.number, reverse=True)

    def dispensable(self) -> list[Version]:
        """The versions to unload now: all that are not wanted, but never the last that can answer, unless none is wanted.

        Nothing while there is a directory that could not be looked at.
        """
        if not self.base_paths() <= self._found.keys():
            return []
        wanted = self.wanted()
        ready = self.available()
        unwanted = [version for version in ready if version.path not in wanted]
        keep_one = bool(wanted) and len(unwanted) == len(ready)
        return unwanted[:-1] if keep_one else unwanted

    def drop_unwanted(self) -> None:
        """Ends what waits for being loaded and is not wanted any more, and forgets the oldest of what has ended."""
        wanted = self.wanted()
        idle = [version for version in self.versions.values() if not version.busy and version.path not in wanted]
        for version in idle:
            if version.state in (START, LOADING):
                version.state = END
                version.forget_failures()
        ended = sorted((version for version in idle if version.state == END), key=lambda version: version.number)
        for version in ended[:-_MAX_ENDED]:
            del self.versions[version.path]

    def settled(self, paths: Collection[Path]) -> bool:
        """Whether each of some directories is available, has failed, or is not going to be loaded."""
        wanted = self.wanted()
        known = (self.versions.get(path) for path in paths if path in wanted)
        return all(version is not None and (version.state == AVAILABLE or version.failing) for version in known)

    def has_started(self, settings: Settings) -> bool:
        """Whether a version is available, or all that some settings ask for have failed, or there is none."""
        chosen = (self.versions.get(path) for path in self.chosen(settings))
        return bool(self.available()) or all(version is not None and version.failing for version in chosen)
