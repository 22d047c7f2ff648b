"""--model_config_file: read at the start, and again whenever it has changed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from errors import ConfigError
from serving.server import model_config
from serving.server.model_config import Settings
from serving.server.status import ApiError

_MAX_LEFT_OUT = 7  # looks between two tries of a file that was refused

_log = logging.getLogger(__name__)


class ConfigFile:
    """A configuration file and what takes it.

    A file that is wrong is told of once and changes nothing. The real server applies its file at every look, and so undoes what
    was changed over gRPC; here only a file with another content is applied.

    Args:
      file: the text proto ModelServerConfig.
      apply: takes its models; raises ApiError if it will not.
      seconds: between two looks; 0 and less look once.
    """

    def __init__(self, file: Path, apply: Callable[[Mapping[str, Settings]], None], seconds: float) -> None:
        self._file = file
        self._apply = apply
        self._seconds = seconds
        self._done: bytes | None = None  # the content that needs no other look
        self._complaint = ""
        self._left_out = self._to_leave_out = 0
        self._stopping = threading.Event()

    def start(self) -> None:
        """Looks now and, in a thread, from now on.

        Raises:
          ConfigError: the file is wrong and will not be looked at again.
        """
        self.look()
        if self._seconds > 0:
            threading.Thread(target=self._watch, name="config", daemon=True).start()
        elif self._complaint:
            raise ConfigError(f"{self._complaint}; mend it and start again.")

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
                models = model_config.parse(content)
                self._apply(models)
                _log.info("%s is applied: %d model(s)", self._file, len(models))
            self._done, self._complaint, self._to_leave_out = content, "", 0
        except ApiError as error:
            self._refuse(content, error)

    def _refuse(self, content: bytes | None, error: ApiError) -> None:
        if error.code == "INVALID_ARGUMENT":  # will not get better by itself, as a label will whose version comes
            self._done = content
        elif content is not None:
            self._left_out, self._to_leave_out = 0, min(2 * self._to_leave_out + 1, _MAX_LEFT_OUT)
        text = f"{self._file} (--model_config_file): {error.message}"
        if text != self._complaint:
            self._complaint = text
            _log.error("%s; the configuration stays as it is", text)

    def _watch(self) -> None:
        while not self._stopping.wait(self._seconds):
            try:
                self.look()
            except Exception:  # the watch must go on
                _log.exception("defect while reading %s", self._file)
