"""Processes that touch the model: each in a group of its own, which cannot outlive us, nor fill the disk."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.lifetime import die_with_parent

_ROOT = Path(__file__).parents[2]
_MAX_FILE_BYTES = 1 << 20  # Python's tempfile writes a few bytes to see whether it can
_CHUNK = 1 << 16
_WORKER = "components.serving_check.worker"


class Finding(Exception):
    """Something that is wrong with the model, in plain words that may be shown to anybody."""


class Worker:
    """A started process of worker.py, which takes one task after the other."""

    def __init__(self, process: subprocess.Popen[bytes], connection: socket.socket) -> None:
        self._process = process
        self._connection = connection

    def ask(self, task: Mapping[str, Any], seconds: float, *, last: bool = False) -> dict[str, Any]:
        """Returns the answer to a task; after the `last` one the process must also end as it should.

        Raises:
          Finding: the process died, or took longer than `seconds`.
        """
        end = time.monotonic() + seconds
        try:
            answer = self._exchange(json.dumps(task).encode() + b"\n", end, last)
            code = self._process.wait(max(0.0, end - time.monotonic())) if last or not answer else 0
        except (TimeoutError, subprocess.TimeoutExpired):
            raise Finding(f"the process was not done after {seconds:g} s") from None
        if code or not answer:
            raise Finding(f"the process {ending(code)}")
        return dict(json.loads(answer))

    def _exchange(self, request: bytes, end: float, last: bool) -> bytes:
        """The line that answers; nothing if the process closed its end before it was complete."""
        answer = bytearray()
        try:
            self._connection.settimeout(_left(end))
            self._connection.sendall(request)
            if last:
                self._connection.shutdown(socket.SHUT_WR)
            while not answer.endswith(b"\n"):
                self._connection.settimeout(_left(end))
                if not (part := self._connection.recv(_CHUNK)):
                    return b""
                answer += part
        except ConnectionError:
            return b""
        return bytes(answer)


@contextmanager
def worker() -> Iterator[Worker]:
    """Starts a worker; it is gone at the end, whatever happens. It falls silent itself before it sees an example."""
    ours, its = socket.socketpair()
    with ours, its, running(_WORKER, stream=its.fileno(), quiet=False) as process:
        its.close()
        yield Worker(process, ours)


@contextmanager
def running(
    module: str, *arguments: str, stream: int = subprocess.DEVNULL, quiet: bool = True
) -> Iterator[subprocess.Popen[bytes]]:
    """Starts `python -m module` with our packages on its path, and `stream` to talk over; at the end its group is killed.

    Unless it sees no example, it must be `quiet`: TensorFlow's errors quote examples, and our log is for anybody.
    """
    path = os.pathsep.join(filter(None, [str(_ROOT), *sys.path]))
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=stream,
        stdout=stream,
        stderr=subprocess.DEVNULL if quiet else None,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
        start_new_session=True,
        preexec_fn=_restricted(),
    )
    try:
        yield process
    finally:
        _end(process)


def ending(code: int) -> str:
    """Plain words for a process's return code, which is negative for a signal."""
    return f"died with signal {-code}" if code < 0 else f"ended with status {code}"


def peak_memory_bytes(process: subprocess.Popen[bytes]) -> int | None:
    """The most memory a running process has had resident so far, with its children; None if it has ended.

    VmHWM of proc(5). Unlike wait4's ru_maxrss it does not count what the forking process had before it became another program.
    """
    import psutil

    try:
        family = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return None
    return sum(map(_high_water_mark, family)) or None


def _high_water_mark(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    return 0


def _restricted() -> Callable[[], None]:
    tie_to_parent = die_with_parent()

    def restrict() -> None:
        tie_to_parent()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (_MAX_FILE_BYTES, _MAX_FILE_BYTES))
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:
            score.write("1000")  # if memory runs out, the kernel ends the model and not the pipeline

    return restrict


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _left(end: float) -> float:
    """Seconds until `end`, for a socket's timeout."""
    if (left := end - time.monotonic()) <= 0:
        raise TimeoutError
    return left
