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
SECONDS = 1800.0
_KEPT = 50
_MOST_STUCK = 3
"""So many that were given up may still wait for their files; with one more, nothing is verified until one of them ends."""

_log = logging.getLogger(__name__)


@dataclass
class _Job:
    """One verification: `state` is running, done or failed; `why` is set if it failed, `report` if it is done."""

    limit: float
    state: str = "running"
    started_at: float = field(default_factory=time.time)
    finished_at: float | None = None
    read: int = 0
    why: str = ""
    report: dict[str, Any] | None = None

    def told(self) -> dict[str, Any]:
        return {**vars(self), "now": time.time()}


class _GivenUp(Exception):
    """Ends a check whose time is over, as soon as it tells of its progress."""


class Verifier:
    """Runs checks one after the other and remembers what came of them. One that takes too long is given up."""

    def __init__(self, check: Check, seconds: float = SECONDS) -> None:
        self._check = check
        self._seconds = seconds
        self._lock = threading.Lock()
        self._jobs: dict[str, _Job] = {}
        self._threads: list[threading.Thread] = []

    def known(self, target: str) -> dict[str, Any] | None:
        """Returns what is known of a target's verification; None if there was none."""
        with self._lock:
            self._give_up()
            job = self._jobs.get(target)
            return job.told() if job else None

    def start(self, target: str) -> dict[str, Any]:
        """Begins to verify a target, unless that is under way, and returns what is known of it.

        Raises:
          FedtfxError: another one is under way, or too many that were given up still hang.
        """
        with self._lock:
            self._give_up()
            running = next((name for name, job in self._jobs.items() if job.state == "running"), None)
            if running is not None and running != target:
                raise FedtfxError(
                    f"{running or 'what is live'} is being verified now; expected one at a time, so ask again later."
                )
            if running is None:
                self._begin(target)
            return self._jobs[target].told()

    def _begin(self, target: str) -> None:
        self._threads = [one for one in self._threads if one.is_alive()]
        if len(self._threads) >= _MOST_STUCK:
            raise FedtfxError(
                f"{len(self._threads)} verifications that took too long still wait for a file; expected it to answer: look at"
                " the disk, and start the console again."
            )
        self._jobs.pop(target, None)
        while len(self._jobs) >= _KEPT:
            self._jobs.pop(next(iter(self._jobs)))
        job = self._jobs[target] = _Job(self._seconds)
        thread = threading.Thread(target=self._run, args=(target, job), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _give_up(self) -> None:
        for job in self._jobs.values():
            if job.state == "running" and time.time() - job.started_at > self._seconds:
                why = (
                    f"expected to be done within {self._seconds:g} s, got no end: the files are many, or one of them does not"
                    " answer; `python -m lineage verify` waits for as long as it takes."
                )
                vars(job).update(state="failed", why=why, finished_at=time.time())

    def _run(self, target: str, job: _Job) -> None:
        def progress(read: int) -> None:
            if job.state != "running":
                raise _GivenUp
            job.read = read

        outcome: dict[str, Any]
        try:
            outcome = {"report": self._check(target, progress), "state": "done"}
        except _GivenUp:
            return
        except FedtfxError as error:
            outcome = {"why": str(error), "state": "failed"}
        except Exception:
            _log.exception("defect while verifying %s", target or "everything")
            outcome = {"why": "internal error; the console's log tells more", "state": "failed"}
        with self._lock:
            if job.state == "running":
                vars(job).update(outcome, finished_at=time.time())
