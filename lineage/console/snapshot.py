"""What the console shows, read once and again when something changed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from lineage import reading
from lineage.graph import PUSHED_MODEL, Graph
from lineage.places import Places
from lineage.questions import served
from lineage.questions.served import Served

_REMOTE_SECONDS = 60.0
"""How long what a server told is taken for news: nothing but reading it all tells whether it changed."""


@dataclass(frozen=True)
class Snapshot:
    """Everything, as of one moment.

    Attributes:
      number: counts the readings.
      read_at: when it was read, seconds since 1970.
      places: where it was read. Lists need not wait for the graph, which is read when it is first asked for.
    """

    number: int
    read_at: float
    places: Places
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @property
    def graph(self) -> Graph:
        """All that ML Metadata knows."""
        with self._lock:  # several requests may be the first
            return self._graph

    @cached_property
    def _graph(self) -> Graph:
        with self.places.opened() as store:
            return reading.everything(store)

    @cached_property
    def models(self) -> tuple[Served, ...]:
        """The serving directories."""
        pushed = [one for one in self.graph.of_type(PUSHED_MODEL) if one.properties.get("pushed") == 1]
        return tuple(served.all_models(self.places, pushed))

    @cached_property
    def live(self) -> dict[int, str]:
        """What is live now: artifacts that tell of such a version, and the models in it -> name/version."""
        found: dict[int, str] = {}
        for model in self.models:
            version = model.version(model.live)
            for pushed in version.pushes if version else ():
                found |= {number: version.name for number in (pushed.id, self.graph.model_of(pushed.id)) if version and number}
        return found


class Snapshots:
    """Gives the newest snapshot. Calls from several threads are safe."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._lock = threading.Lock()
        self._last: Snapshot | None = None
        self._stamp: object = None

    def now(self, *, again: bool = False) -> Snapshot:
        """Returns what is there now: another one if files changed, if a server's answer is old, or if `again`."""
        with self._lock:
            stamp = self._now()
            if self._last is None or again or stamp != self._stamp:
                self._last = Snapshot(self._last.number + 1 if self._last else 1, time.time(), self._places)
                self._stamp = stamp
            return self._last

    def _now(self) -> object:
        """What is another object once anything was written."""
        seen = tuple((path, _mark(path)) for path in self._watched())
        remote = not os.path.isfile(self._places.metadata)
        return seen, int(time.monotonic() / _REMOTE_SECONDS) if remote else 0

    def _watched(self) -> Iterator[str]:
        yield from (f"{self._places.metadata}{end}" for end in ("", "-wal", "-journal"))
        yield self._places.audit_log
        root = Path(self._places.serving_root)
        yield from (str(root / name) for name in ("", "models.config", "audit.jsonl"))
        yield from (str(folder) for folder in sorted(root.glob("[!.]*")) if folder.is_dir())


def _mark(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
