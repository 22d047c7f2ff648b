"""What a person sees while a pipeline runs: one live line per node. All that libraries print goes to a log file."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import TextIO

from pipeline.execution import NodeResult

_OURS = ("components", "modeling")
_MARKS = {"complete": "done", "cached": "cached", "failed": "FAILED", "canceled": "stopped"}
_REFRESH_SECONDS = 0.5
_UNKNOWN_WIDTH = 80


@contextlib.contextmanager
def logged_to(path: str) -> Iterator[TextIO]:
    """Sends standard output, standard error and all logging, C++ libraries' included, to the file at `path`.

    Yields:
      A stream to the real standard output, for the little that a person should see.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with open(path, "a", encoding="utf-8") as log, os.fdopen(os.dup(1), "w", encoding="utf-8") as screen:
        for descriptor in (1, 2):
            os.dup2(log.fileno(), descriptor)
        try:
            with _logging_to(log):
                yield screen
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, original in enumerate(kept, start=1):
                os.dup2(original, descriptor)
                os.close(original)


@contextlib.contextmanager
def _logging_to(log: TextIO) -> Iterator[None]:
    """Makes a file the only destination of Python's logging, absl's included."""
    from absl import logging as absl_logging

    absl_logger = absl_logging.get_absl_logger()
    handlers, absl_handlers = logging.root.handlers[:], absl_logger.handlers[:]
    level, verbosity = logging.root.level, absl_logging.get_verbosity()
    handler = logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    absl_logging.set_verbosity(absl_logging.INFO)
    logging.root.handlers[:], absl_logger.handlers[:] = [handler], []
    logging.root.setLevel(logging.INFO)
    try:
        yield
    finally:
        absl_logging.set_verbosity(verbosity)
        logging.root.handlers[:], absl_logger.handlers[:] = handlers, absl_handlers
        logging.root.setLevel(level)


def show(screen: TextIO, text: str) -> None:
    """Writes to the screen; when nobody reads it any more (`| head`), the run goes on and writes to nowhere."""
    try:
        screen.write(text)
        screen.flush()
    except OSError:
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), screen.fileno())


class Progress(logging.Handler):
    """An execution.Watcher that writes a line per node: live on a terminal, plain elsewhere.

    What our own code logs while a node runs (a round, an epoch) is shown with it: on a terminal the newest, elsewhere all.

    Attributes:
      results: of the nodes that ended so far, in the order they ran.
    """

    def __init__(self, screen: TextIO) -> None:
        super().__init__(logging.INFO)
        self._screen = screen
        self._live = screen.isatty()
        self._lines = threading.Lock()
        self._node = ""
        self._detail = ""
        self._since = 0.0
        self._stop = threading.Event()
        self.results: list[NodeResult] = []

    def __enter__(self) -> Progress:
        for name in _OURS:
            logging.getLogger(name).addHandler(self)
        if self._live:
            threading.Thread(target=self._refresh, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        for name in _OURS:
            logging.getLogger(name).removeHandler(self)
        if self._node:  # interrupted in the middle of a node
            self._finish("stopped", time.monotonic() - self._since)

    def started(self, node_id: str) -> None:
        """See execution.Watcher."""
        with self._lines:
            self._node, self._detail, self._since = node_id, "", time.monotonic()
        self._draw()

    def ended(self, result: NodeResult) -> None:
        """See execution.Watcher."""
        self.results.append(result)
        self._finish(_MARKS[result.state], result.seconds)

    def emit(self, record: logging.LogRecord) -> None:
        """Shows a message of ours beside the running node."""
        with self._lines:
            self._detail = " ".join(record.getMessage().split())  # one line, whatever was logged
        if self._live:
            self._draw()
        else:
            self._write(f"    {self._detail}\n")

    def _finish(self, state: str, seconds: float) -> None:
        self._write(f"{_clear(self._live)}  {self._node:<18} {state:<8} {seconds:6.1f} s\n")
        with self._lines:
            self._node = ""

    def _refresh(self) -> None:
        while not self._stop.wait(_REFRESH_SECONDS):
            self._draw()

    def _draw(self) -> None:
        if self._live and self._node:
            line = f"  {self._node:<18} running  {time.monotonic() - self._since:6.1f} s  {self._detail}"
            self._write(_clear(True) + line[: _width(self._screen) - 1])

    def _write(self, text: str) -> None:
        with self._lines:
            show(self._screen, text)


def _width(screen: TextIO) -> int:
    try:
        return os.get_terminal_size(screen.fileno()).columns or _UNKNOWN_WIDTH
    except OSError:  # the terminal has been closed
        return _UNKNOWN_WIDTH


def _clear(live: bool) -> str:
    return "\r\x1b[2K" if live else ""
