"""The models of a server: finds, loads, swaps and unloads their versions, and hands them to requests.

    poll ------ looks at the directories ---\\
    apply ----- takes a configuration -------+--> model.py says what to load and unload --> swapper.py does it
    a load or unload that ends -------------/

TensorFlow Serving's manner, and kinder where that is unkind: a load never holds up a look, an unload or another model; a
version that failed is tried again as soon as its files change, and the newest that loads is served in its place; a base path
that is missing concerns its own model alone. Versions are what `serving.layout.versions` says, which on purpose is stricter
than the real server: canonical names, no symbolic links, a saved_model.pb.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from serving import layout
from serving.server import model_config
from serving.server.model import Model
from serving.server.model_config import Settings
from serving.server.servable import Servable
from serving.server.status import ApiError, cut
from serving.server.swapper import Load, Loading, Swapper
from serving.server.transition import Transition
from serving.server.versions import Version, VersionStatus, fingerprint, ignored

_REMIND_SECONDS = 60  # between two words on a directory that is waited for

_log = logging.getLogger(__name__)


class Manager:
    """All models. Every method may be called by any thread.

    Args:
      load: gives a version that is ready for requests, warmed up.
      loading: how often and with how many threads.
      poll_seconds: between two looks at the directories; 0 looks once, negative never.
      labels_for_unavailable: a label that is new may name a version that is not available.
      serves: is told a model's version that answers unversioned requests whenever it is another, None if there is none; it must
        be quick.
      clock: seconds, of which only differences count.
    """

    def __init__(
        self,
        load: Load,
        *,
        loading: Loading | None = None,
        poll_seconds: float = 1.0,
        labels_for_unavailable: bool = False,
        serves: Callable[[str, int | None], None] = lambda name, version: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._swapper = Swapper(load, loading or Loading(), serves, clock)
        self._changed = self._swapper.changed
        self._poll_seconds = poll_seconds
        self._labels_for_unavailable = labels_for_unavailable
        self._clock = clock
        self._models: dict[str, Model] = {}
        self._configured = False
        self._applying = threading.Lock()
        self._complaints: dict[tuple[str, Path], str] = {}
        self._reminded: dict[tuple[str, Path], float] = {}
        self._ignored: dict[tuple[str, Path], dict[str, str]] = {}

    def start(self) -> None:
        """Looks at the directories from now on, in a thread."""
        threading.Thread(target=self._watch, name="poll", daemon=True).start()

    def stop(self) -> None:
        """Looks no more and begins no load; what is loaded stays, for the requests in flight."""
        self._swapper.stop()

    def lease(self, name: str, version: int | None = None, label: str = "") -> Lease:
        """Returns what gives `with` the servable that answers a request, and keeps it loaded until that is done.

        `__enter__` raises ApiError: NOT_FOUND for an unknown model or version, INVALID_ARGUMENT for an unknown label.
        """
        return Lease(self, name, version, label)

    def statuses(self, name: str, version: int | None = None) -> list[VersionStatus]:
        """Every version of a model known since the start, newest first, or the one asked for.

        Raises:
          ApiError: NOT_FOUND if there is none.
        """
        with self._changed:
            known = self._models[name].statuses() if name in self._models else []
        if version is not None:
            known = [status for status in known if status.version == version]
        if not known:
            what = "any versions" if version is None else f"version {version}"
            raise ApiError("NOT_FOUND", f"Could not find {what} of model {name}")
        return known

    def names(self) -> list[str]:
        """The models that are configured, sorted."""
        with self._changed:
            return sorted(model.name for model in self._models.values() if model.settings)

    def ready(self) -> list[str]:
        """What is not ready: the models without a version that is available; empty if all is well."""
        with self._changed:
            waiting = [model.name for model in self._models.values() if model.settings and not model.available()]
            return sorted(waiting) if self._configured else ["(no configuration yet)"]

    def reload(self, config: Any) -> None:
        """Replaces all models by those of a ModelServerConfig, once its new models and its labels' versions are loaded.

        Raises:
          ApiError: INVALID_ARGUMENT for a wrong configuration, UNKNOWN if a new model does not load, FAILED_PRECONDITION for a
            label whose version is not available; everything is then as it was.
        """
        before = set(self.names())
        models = model_config.settings(config)
        self.apply(models, await_new=True)
        added, removed = sorted(models.keys() - before), sorted(before - models.keys())
        changes = [f"+{name}" for name in added] + [f"-{name}" for name in removed]
        level = logging.WARNING if removed else logging.INFO
        _log.log(level, "configuration replaced over gRPC: %s", cut(" ".join(changes)) or "the same models")

    def apply(self, models: Mapping[str, Settings], *, await_new: bool = False) -> None:
        """Replaces all models; see `reload`. A first configuration is taken as it is unless its models are awaited.

        Args:
          models: by name.
          await_new: refuse if a model that is new has no version that loads.

        Raises:
          ApiError: FAILED_PRECONDITION, UNKNOWN; and UNAVAILABLE if the server ends meanwhile.
        """
        with self._applying:
            with self._changed:
                for name, settings in models.items():
                    self._models.setdefault(name, Model(name)).pending = settings
            self.poll()
            with self._changed:
                try:
                    if self._configured or await_new:
                        self._decide(Transition(self._models, models, await_new, self._labels_for_unavailable))
                    for model in self._models.values():
                        self._warn_of_loss(model, models.get(model.name))
                        model.settings = models.get(model.name)
                    self._configured = True
                finally:
                    self._leave_pending()

    def poll(self) -> None:
        """Looks at every model's directory once, and begins to load and unload what that asks for."""
        with self._changed:
            places = [(model, base_path) for model in self._models.values() for base_path in model.base_paths()]
        for model, base_path in places:
            try:
                self._look(model, base_path)
            except Exception:  # one bad model must not end the watch over the others, nor this one's
                _log.exception("defect while polling model %s", model.name)

    def settle(self, seconds: float) -> bool:
        """Waits until no thread loads or unloads a version, and tells whether that came."""
        with self._changed:
            return self._changed.wait_for(lambda: not any(version.busy for version in self._versions()), seconds)

    def _watch(self) -> None:
        next_look = self._clock() if self._poll_seconds >= 0 else math.inf
        while not self._swapper.stopped:
            if self._clock() >= next_look:
                self.poll()
                next_look = self._clock() + self._poll_seconds if self._poll_seconds else math.inf
            with self._changed:
                for model in self._models.values():
                    self._swapper.reconcile(model)
                due = min([next_look, *(version.retry_at for version in self._versions() if version.waits)])
                if not self._swapper.stopped:
                    self._changed.wait(None if due == math.inf else max(0.0, due - self._clock()))

    def _versions(self) -> list[Version]:
        return [version for model in self._models.values() for version in model.versions.values()]

    def _look(self, model: Model, base_path: Path) -> None:
        hidden: dict[int, OSError] = {}
        try:
            found = layout.versions(base_path, hidden.__setitem__, half_copied=True)
            if not base_path.is_dir():  # asked last: an empty answer may be of a directory that has just gone
                self._await(model, base_path)
                return
        except OSError as error:
            self._complain(model, base_path, _unreadable(base_path, error))
            return
        self._reminded.pop((model.name, base_path), None)
        problem = _unreadable(base_path, next(iter(hidden.values()))) if hidden else _missing(model, base_path, found)
        self._complain(model, base_path, problem)
        self._see(model, base_path, found, hidden.keys())
        with suppress(OSError):  # it may have gone, which the next look will tell
            self._tell_ignored(model, base_path, ignored(base_path, found, hidden.keys()))

    def _see(self, model: Model, base_path: Path, found: Collection[int], hidden: Collection[int]) -> None:
        with self._changed:
            failing = [version for version in model.versions.values() if version.failing and not version.busy]
        changed = [version for version in failing if fingerprint(version.path) != version.fingerprint]
        with self._changed:
            for version in changed:
                version.try_again()
            model.see(base_path, found, hidden)
            self._swapper.reconcile(model)

    def _complain(self, model: Model, base_path: Path, text: str) -> None:
        """Logs what keeps a look from finding a version, once and not at every look."""
        known = self._complaints.get((model.name, base_path), "")
        self._complaints[model.name, base_path] = text
        if text and text != known:
            _log.warning("model %s: %s", model.name, text)

    def _await(self, model: Model, base_path: Path) -> None:
        """Logs that a directory is not there, and again each minute as long as no version of the model can answer."""
        key, now = (model.name, base_path), self._clock()
        if now >= self._reminded.get(key, -math.inf) + _REMIND_SECONDS and not model.available():
            self._complaints.pop(key, None)
        if key not in self._reminded or key not in self._complaints:
            self._reminded[key] = now
        self._complain(model, base_path, f"no directory {base_path}; it is waited for: a push makes it, if the path is right")

    def _tell_ignored(self, model: Model, base_path: Path, reasons: dict[str, str]) -> None:
        known = self._ignored.get((model.name, base_path), {})
        self._ignored[model.name, base_path] = reasons
        for name, reason in sorted(reasons.items()):
            if known.get(name) != reason:
                _log.warning("model %s: %s ignored: %s", model.name, base_path / name, reason)

    def _warn_of_loss(self, model: Model, settings: Settings | None) -> None:
        if model.would_lose_all(settings):
            why = f"lists no version that is in {settings.base_path}" if settings else "does not have it"
            _log.warning("model %s is no longer served: the configuration that is applied %s", model.name, why)

    def _decide(self, transition: Transition) -> None:
        self._changed.wait_for(lambda: self._swapper.stopped or transition.decided())
        if self._swapper.stopped:
            raise ApiError("UNAVAILABLE", "the server is ending")
        transition.check()

    def _leave_pending(self) -> None:
        for model in self._models.values():
            model.pending = None
            self._swapper.reconcile(model)
        self._models = {name: model for name, model in self._models.items() if model.settings or model.versions}

    def _acquire(self, name: str, number: int | None, label: str) -> tuple[Model, Version, Servable]:
        with self._changed:
            model = self._models.get(name) or Model(name)
            version, servable = model.pick(number, label)
            version.leases += 1
            return model, version, servable

    def _release(self, model: Model, version: Version) -> None:
        with self._changed:
            self._swapper.release(model, version)


def _missing(model: Model, base_path: Path, found: Collection[int]) -> str:
    """What a directory should have and has not; empty if nothing."""
    settings = [settings for settings in (model.settings, model.pending) if settings and settings.base_path == base_path]
    listed = sorted({version for one in settings for version in one.policy.listed or ()}.difference(found))
    if listed:
        return cut("; ".join(f"version {version} is listed but not in {base_path}" for version in listed))
    return "" if found else f"no complete version in {base_path}"


def _unreadable(base_path: Path, error: OSError) -> str:
    return f"cannot read {error.filename or base_path}: {error.strerror or error}"


class Lease:
    """One request's hold on a version; see `Manager.lease`."""

    __slots__ = ("_asked", "_held", "_manager")

    def __init__(self, manager: Manager, name: str, version: int | None, label: str) -> None:
        self._manager = manager
        self._asked = (name, version, label)
        self._held: tuple[Model, Version] | None = None

    def __enter__(self) -> Servable:
        model, version, servable = self._manager._acquire(*self._asked)
        self._held = (model, version)
        return servable

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._held:
            self._manager._release(*self._held)
            self._held = None
