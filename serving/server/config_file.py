"""--model_config_file: read at the start, and again whenever it has changed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from errors import ConfigError
from serving.server import model_config
from serving.server.model_config import Settings
from serving.server.status import ApiError

_MAX_LEFT_OUT = 7  # looks between two tries of a file that was refused
_REMIND_SECONDS = 60  # between two words on a file that is waited for

_log = logging.getLogger(__name__)


class ConfigFile:
    """A configuration file and what takes it.

    A file that is wrong is told of once and changes nothing. The real server applies its file at every look, and so undoes what
    was changed over gRPC; here only a file with another content is applied.

    Args:
      file: the text proto ModelServerConfig.
      apply: takes its models; raises ApiError if it will not.
      seconds: between two looks; 0 and less look once.
      clock: seconds, of which only differences count.
    """

    def __init__(
        self,
        file: Path,
        apply: Callable[[Mapping[str, Settings]], None],
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._apply = apply
        self._seconds = seconds
        self._clock = clock
        self._remind_at = 0.0
        self._read: tuple[bytes, Mapping[str, Settings]] | None = None
        self._done: bytes | None = None  # the content that needs no other look
        self._complaint = ""
        self._left_out = self._to_leave_out = 0
        self._stopping = threading.Event()

    def start(self) -> None:
        """Looks now and, in a thread, from now on; a file that is not there yet is waited for.

        Raises:
          ConfigError: see `check`.
        """
        self.check()
        self.look()
        if self._seconds > 0:
            threading.Thread(target=self._watch, name="config", daemon=True).start()

    def check(self) -> None:
        """Reads the file without applying it.

        Raises:
          ConfigError: it is wrong, or it is missing and will not be looked at again.
        """
        try:
            self._parse(model_config.read(self._file))
        except ApiError as error:
            if error.code != "NOT_FOUND" or self._seconds <= 0:
                raise ConfigError(f"{self._named(error)}; mend it and start again.") from None

    def stop(self) -> None:
        """Looks no more."""
        self._stopping.set()

    def look(self) -> None:
        """Applies the file if its content is another than last time; what is wrong is logged once.

        One that was refused, which may have loaded and unloaded versions in vain, is tried again after ever more looks.
        """
        if self._left_out < self._to_leave_out:
            self._left_out += 1
            return
        content = None
        try:
            content = model_config.read(self._file)
            if content != self._done:
                models = self._parse(content)
                self._apply(models)
                _log.info("%s is applied: %d model(s)", self._file, len(models))
            self._done, self._complaint, self._to_leave_out = content, "", 0
        except ApiError as error:
            self._refuse(content, error)

    def _parse(self, content: bytes) -> Mapping[str, Settings]:
        if self._read is None or self._read[0] != content:
            self._read = content, model_config.parse(content)
        return self._read[1]

    def _named(self, error: ApiError) -> str:
        return f"{self._file} (--model_config_file): {error.message.rstrip('.')}"

    def _refuse(self, content: bytes | None, error: ApiError) -> None:
        if self._done is None and error.code == "NOT_FOUND":
            if self._clock() >= self._remind_at:
                self._remind_at = self._clock() + _REMIND_SECONDS
                _log.warning("waiting for %s (--model_config_file); the first push makes it", self._file)
            return
        if error.code == "INVALID_ARGUMENT":  # will not get better by itself, as a label will whose version comes
            self._done = content
        elif content is not None:
            self._left_out, self._to_leave_out = 0, min(2 * self._to_leave_out + 1, _MAX_LEFT_OUT)
        text = self._named(error)
        if text != self._complaint:
            self._complaint = text
            _log.error("%s; the configuration stays as it is", text)

    def _watch(self) -> None:
        while not self._stopping.wait(self._seconds):
            try:
                self.look()
            except Exception:  # the watch must go on
                _log.exception("defect while reading %s", self._file)
