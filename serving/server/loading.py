"""The models that the flags ask for: the manager, what it loads versions with, and what tells it the models."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from serving.server import batching_parameters, servable, warmup
from serving.server.config_file import ConfigFile
from serving.server.flags import Flags
from serving.server.manager import Manager
from serving.server.metrics import Metrics
from serving.server.model_config import Settings
from serving.server.servable import Servable, SessionOptions
from serving.server.status import ApiError
from serving.server.swapper import Load, Loading


class ServedModels:
    """The models of a server, from its flags.

    Attributes:
      manager: hands them to requests; has none before `start`.
    """

    def __init__(self, flags: Flags, metrics: Metrics) -> None:
        self._flags = flags
        self.manager = Manager(
            loader(flags, metrics),
            loading=_loading(flags),
            poll_seconds=flags.file_system_poll_wait_seconds,
            labels_for_unavailable=flags.allow_version_labels_for_unavailable_models,
            serves=metrics.serves,
        )
        metrics.follow(self.manager.names)
        self._file: ConfigFile | None = None
        if file := flags.model_config_file:
            self._file = ConfigFile(file, self.manager.apply, flags.model_config_file_poll_wait_seconds)

    def check(self) -> None:
        """Reads the configuration file before anything slow is done.

        Raises:
          ConfigError: see `ConfigFile.check`.
        """
        if self._file:
            self._file.check()

    def start(self) -> None:
        """Begins to look for versions, and at the configuration file.

        Raises:
          ConfigError: see `ConfigFile.check`.
        """
        if self._file:
            self._file.start()
        elif self._flags.model_base_path:
            self.manager.apply({self._flags.model_name: Settings(self._flags.model_base_path)})
        self.manager.start()

    def stop(self) -> None:
        """Ends both, and waits for nothing."""
        if self._file:
            self._file.stop()
        self.manager.stop()


def loader(flags: Flags, metrics: Metrics) -> Load:
    """Returns what loads a version and answers its warm-up requests; it raises ApiError."""
    options = _session_options(flags)

    def load(_: str, path: Path, version: int) -> Servable:
        return _timed(partial(metrics.loaded, path), attempt, path, version)

    def attempt(path: Path, version: int) -> Servable:
        loaded = servable.load(path, version, flags.saved_model_tags, options)
        try:
            if flags.enable_per_model_batching_parameters:
                batching_parameters.of_version(path)  # read here, a wrong file fails the load and no request
            if flags.enable_model_warmup and (path / warmup.WARMUP_FILE).is_file():
                iterations = flags.num_request_iterations_for_warmup
                _timed(partial(metrics.warmed_up, path), warmup.warm_up, loaded, path, iterations)
        except BaseException:
            loaded.close()
            raise
        return loaded

    return load


def _timed(tell: Callable[[str, float], None], function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function and tells with which code it ended, after how many seconds."""
    code, started = "UNKNOWN", time.monotonic()
    try:
        result = function(*arguments)
        code = "OK"
        return result
    except ApiError as error:
        code = error.code
        raise
    finally:
        tell(code, time.monotonic() - started)


def _session_options(flags: Flags) -> SessionOptions:
    both = flags.tensorflow_session_parallelism
    return SessionOptions(
        both or flags.tensorflow_intra_op_parallelism,
        both or flags.tensorflow_inter_op_parallelism,
        flags.per_process_gpu_memory_fraction,
    )


def _loading(flags: Flags) -> Loading:
    return Loading(flags.num_load_threads, flags.max_num_load_retries, flags.load_retry_interval_micros / 1e6)
