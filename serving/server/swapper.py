"""Loads and unloads versions in threads of its own, as their models ask for it, and counts the requests that have them."""

from __future__ import annotations

import gc
import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from serving.server import memory
from serving.server.model import Model
from serving.server.servable import Servable
from serving.server.status import ApiError
from serving.server.versions import END, LOADING, UNLOADING, Fingerprint, Version, fingerprint

_log = logging.getLogger(__name__)

_LOADS_OF_A_MODEL = 2  # at once
Load = Callable[[str, Path, int], Servable]  # model, directory, version; raises ApiError


@dataclass(frozen=True)
class Loading:
    """How versions are loaded.

    Attributes:
      threads: that do it, for all models; 0 is two for each model. A load that hangs, on a disk that is gone or in an endless
        warm-up, then holds up no other model, nor this one's next version.
      max_retries: after a version's first load that failed.
      retry_seconds: between two of those.
    """

    threads: int = 0
    max_retries: int = 5
    retry_seconds: float = 60.0


class Swapper:
    """Brings models' versions to where their models want them.

    Attributes:
      changed: the lock over all models; notified whenever one may have changed.
      stopped: nothing is begun any more.
    """

    def __init__(
        self, load: Load, loading: Loading, serves: Callable[[str, int | None], None], clock: Callable[[], float]
    ) -> None:
        self.changed = threading.Condition(threading.Lock())
        self.stopped = False
        self._load_version = load
        self._loading = loading
        self._serves = serves
        self._clock = clock
        self._live: dict[str, int] = {}
        self._loaders = ThreadPoolExecutor(loading.threads, thread_name_prefix="load") if loading.threads else None
        self._under_way: Counter[str] = Counter()  # loads, by model
        self._unloader = ThreadPoolExecutor(1, thread_name_prefix="unload")

    def stop(self) -> None:
        """Begins nothing more, and waits for nothing."""
        with self.changed:
            self.stopped = True
            self.changed.notify_all()
        if self._loaders:
            self._loaders.shutdown(wait=False, cancel_futures=True)
        self._unloader.shutdown(wait=False, cancel_futures=True)

    def reconcile(self, model: Model) -> None:
        """Begins what brings a model closer to what it should be. The caller holds the lock."""
        if not self.stopped:
            for version in model.dispensable():
                version.state = UNLOADING
                self._unload_if_free(model, version)
            for version in model.due(self._clock()):
                self._begin(model, version)
            model.drop_unwanted()
        self._tell(model)
        self.changed.notify_all()

    def _begin(self, model: Model, version: Version) -> None:
        """Begins a load, if the model has not as many under way as it may; whichever ends then begins this one."""
        if self._loaders:
            version.busy = True
            self._loaders.submit(self._load, model, version)
        elif self._under_way[model.name] < _LOADS_OF_A_MODEL:
            version.busy = True
            self._under_way[model.name] += 1
            threading.Thread(target=self._load, args=(model, version), name=f"load-{model.name}", daemon=True).start()

    def _ended(self, model: Model, version: Version) -> None:
        version.busy = False
        self._under_way[model.name] -= 1
        if self._under_way[model.name] <= 0:
            del self._under_way[model.name]

    def release(self, model: Model, version: Version) -> None:
        """A request is done with a version. The caller holds the lock."""
        version.leases -= 1
        self._unload_if_free(model, version)

    def _tell(self, model: Model) -> None:
        """Tells which version of a model answers, if it is another than before."""
        before, ready = self._live.pop(model.name, None), model.available() if model.settings else []
        now = ready[-1].number if ready else None
        if now is not None:
            self._live[model.name] = now
        if now != before:
            self._serves(model.name, now)

    def _load(self, model: Model, version: Version) -> None:
        with self.changed:
            if version.path not in model.wanted():
                self._ended(model, version)
                self.reconcile(model)
                return
            version.state = LOADING
        started, files = time.monotonic(), fingerprint(version.path)
        loaded = self._attempt(model, version)
        seconds = time.monotonic() - started
        with self.changed:
            self._ended(model, version)
            if isinstance(loaded, ApiError):
                self._fail(model, version, loaded, files)
            else:
                version.succeed(loaded)
                _log.info("model %s version %d is AVAILABLE after %.2f s", model.name, version.number, seconds)
            self.reconcile(model)

    def _attempt(self, model: Model, version: Version) -> Servable | ApiError:
        try:
            return self._load_version(model.name, version.path, version.number)
        except ApiError as error:
            return error
        except Exception as error:  # whatever it is, the other versions and models must go on
            _log.exception("defect while loading model %s version %d", model.name, version.number)
            return ApiError("INTERNAL", f"internal error: {type(error).__name__}")

    def _fail(self, model: Model, version: Version, error: ApiError, files: Fingerprint) -> None:
        told = version.error is not None and version.error.message == error.message
        again = version.failures < self._loading.max_retries
        version.fail(error, files, self._clock() + self._loading.retry_seconds if again else math.inf)
        if not told:
            _log.error("model %s version %d failed to load: %s: %s", model.name, version.number, error.code, error.message)
        if not again:
            _log.error("model %s version %d is given up until its files change", model.name, version.number)

    def _unload_if_free(self, model: Model, version: Version) -> None:
        if version.state == UNLOADING and not version.leases and not version.busy and not self.stopped:
            version.busy = True
            self._unloader.submit(self._unload, model, version)

    def _unload(self, model: Model, version: Version) -> None:
        servable, version.servable = version.servable, None
        try:
            if servable is not None:
                servable.close()
        except Exception:
            _log.exception("defect while unloading model %s version %d", model.name, version.number)
        del servable
        gc.collect()  # TensorFlow's objects refer to each other, and a model is large
        memory.give_back()
        _log.info("model %s version %d is no longer served", model.name, version.number)
        with self.changed:
            version.state, version.busy = END, False
            self.reconcile(model)
