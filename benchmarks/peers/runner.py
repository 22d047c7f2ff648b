"""Starts the systems of the yardstick, lets them run rounds in turn, and watches their memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
PEERS_PYTHON = ROOT / ".tools" / "peers" / "bin" / "python"
_SAMPLED_EVERY = 0.1  # seconds


class Refused(Exception):
    """The measurement cannot be made; one line."""


@dataclass(frozen=True)
class System:
    """A script of this folder that follows `turns`, with its arguments and the Python it needs."""

    script: str
    arguments: tuple[str, ...] = ()
    python: Path = Path(sys.executable)

    def missing(self) -> str | None:
        """What to do to get it, if it is not there."""
        return None if self.python.exists() else f"{self.python} is missing; `make peers` gets it"


SYSTEMS = {
    "by-hand": System("by_hand.py"),
    "fedtfx-local": System("fedtfx.py", ("--executor", "local")),
    "fedtfx-tff": System("fedtfx.py", ("--executor", "tff")),
    "fedtfx-beam": System("fedtfx.py", ("--executor", "beam")),
    "keras": System("keras_fit.py"),
    "flower": System("flower_ray.py", python=PEERS_PYTHON),
    "pfl-1-thread": System("pfl_torch.py", ("--threads", "1"), PEERS_PYTHON),
    "pfl-2-threads": System("pfl_torch.py", ("--threads", "2"), PEERS_PYTHON),
}
USUAL = [name for name in SYSTEMS if name not in ("fedtfx-tff", "fedtfx-beam")]
"""Those that are compared unless others are asked for."""


class Process:
    """One system at work: what its rounds took and gave, and the memory of its processes in bytes.

    memory: after each timed round. peak: the most that was ever seen. failure: why there are no more rounds, one line, or None.
    """

    def __init__(self, name: str, arguments: Sequence[str]):
        """Starts the system; `make_ready` waits for it."""
        self.name = name
        self.seconds: list[float] = []
        self.losses: list[float] = []
        self.memory: list[int] = []
        self.peak = 0
        self.failure: str | None = None
        system = SYSTEMS[name]
        reading, writing = os.pipe()
        command = [str(system.python), str(Path(__file__).with_name(system.script)), *system.arguments, *arguments]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed in `stop`)
        self._process = subprocess.Popen(
            [*command, "--in-turn", str(writing)],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            pass_fds=[writing],
            text=True,
        )
        os.close(writing)
        self._replies = os.fdopen(reading)

    def make_ready(self, rounds: int) -> None:
        """Waits until the system can run rounds, and runs some to warm up, watching the memory all the while."""
        print(f"{self.name}: making ready ...", end=" ", file=sys.stderr, flush=True)
        over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(over,))
        watcher.start()
        self._reply()
        took = [self._round() for _ in range(rounds)]
        over.set()
        watcher.join()
        said = self.failure or ", ".join(f"{one['seconds']:.2f} s" for one in took if one)
        print(f"warm-up rounds: {said}", file=sys.stderr, flush=True)
        if took[0]:
            self.losses.append(took[0]["loss"])

    def run_round(self) -> None:
        """One timed round."""
        reply = self._round()
        if reply:
            self.seconds.append(reply["seconds"])
            self.losses.append(reply["loss"])
            self._sample()
            self.memory.append(sum(_memory(process, "Private_") for process in self._tree()))

    def stop(self) -> None:
        """Ends the system; all its processes, if it does not end by itself."""
        tree = self._tree()
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            for process in tree:
                process.kill()
        self._process.wait()
        self._replies.close()
        self._log.close()

    def _round(self) -> dict[str, float] | None:
        if self.failure:
            return None
        try:
            self._process.stdin.write("round\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # its reply will not come, and tells why
        return self._reply()

    def _reply(self) -> dict[str, float] | None:
        line = self._replies.readline()
        if line:
            return json.loads(line)
        self._process.wait()
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines() or ["it said nothing"]
        self.failure = f"failed: {lines[-1][:200]}"
        return None

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(_SAMPLED_EVERY):
            self._sample()

    def _sample(self) -> None:
        self.peak = max(self.peak, sum(_memory(process, "Pss:") for process in self._tree()))

    def _tree(self) -> list[psutil.Process]:
        try:
            process = psutil.Process(self._process.pid)
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


def take_turns(processes: Sequence[Process], rounds: int, title: str) -> None:
    """Lets each system run a round, then each the next one, until all have run `rounds`."""
    for number in range(1, rounds + 1):
        for process in processes:
            process.run_round()
        took = [f"{one.name} {one.seconds[-1]:.3f} s" for one in processes if not one.failure]
        print(f"{title}, round {number} of {rounds}: {', '.join(took)}", file=sys.stderr, flush=True)


def _memory(process: psutil.Process, kind: str) -> int:
    """Bytes. `Pss:` counts memory that is shared with n processes as an n-th; `Private_` counts what no other process has, and
    so does not change when others come and go.
    """
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(kind) and "Hugetlb" not in line)
