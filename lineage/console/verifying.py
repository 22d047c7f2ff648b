"""Recomputing digests in a thread beside the pages: one thing at a time, its progress told while it runs, its result kept."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from errors import FedtfxError

Progress = Callable[[int], None]
"""Is told how many bytes were read so far."""
Check = Callable[[str, Progress], dict[str, Any]]
"""Verifies what a text names, and gives a report for JSON."""
_KEPT = 50

_log = logging.getLogger(__name__)


@dataclass
class _Job:
    """One verification: `state` is running, done or failed; `why` is set if it failed, `report` if it is done."""

    state: str = "running"
    started_at: float = field(default_factory=time.time)
    finished_at: float | None = None
    read: int = 0
    why: str = ""
    report: dict[str, Any] | None = None


class Verifier:
    """Runs checks one after the other and remembers what came of them."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._lock = threading.Lock()
        self._jobs: dict[str, _Job] = {}

    def known(self, target: str) -> dict[str, Any] | None:
        """Returns what is known of a target's verification; None if there was none."""
        with self._lock:
            job = self._jobs.get(target)
            return dict(vars(job)) if job else None

    def start(self, target: str) -> dict[str, Any]:
        """Begins to verify a target, unless that is under way, and returns what is known of it.

        Raises:
          FedtfxError: another one is under way.
        """
        with self._lock:
            running = next((name for name, job in self._jobs.items() if job.state == "running"), None)
            if running is not None and running != target:
                raise FedtfxError(
                    f"{running or 'what is live'} is being verified now; expected one at a time, so ask again later."
                )
            if running is None:
                self._jobs.pop(target, None)
                while len(self._jobs) >= _KEPT:
                    self._jobs.pop(next(iter(self._jobs)))
                job = self._jobs[target] = _Job()
                threading.Thread(target=self._run, args=(target, job), daemon=True).start()
            return dict(vars(self._jobs[target]))

    def _run(self, target: str, job: _Job) -> None:
        def progress(read: int) -> None:
            job.read = read

        outcome: dict[str, Any]
        try:
            outcome = {"report": self._check(target, progress), "state": "done"}
        except FedtfxError as error:
            outcome = {"why": str(error), "state": "failed"}
        except Exception:
            _log.exception("defect while verifying %s", target or "everything")
            outcome = {"why": "internal error; the console's log tells more", "state": "failed"}
        with self._lock:
            vars(job).update(outcome, finished_at=time.time())
