"""TensorFlow Serving's ModelServerConfig: read from text, held to its rules, and told as plain values.

The real server stores a new configuration before it has looked at all of it, so one mistake spoils every later one. Here
nothing is taken from a configuration that is not right as a whole.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from errors import ConfigError
from serving.layout import model_directory
from serving.server.status import ApiError, invalid

_log = logging.getLogger(__name__)

PLATFORM = "tensorflow"
_MAX_FILE_BYTES = 1 << 24
_MAX_PASSED_OVER = 100  # broken versions in a row, each of which is tried and watched


@dataclass(frozen=True)
class Policy:
    """Which of the versions on the disk are served: the `latest` newest, or those `listed`, or all if both are None."""

    latest: int | None = None
    listed: frozenset[int] | None = None

    def choose(self, found: Sequence[int], failing: Collection[int]) -> set[int]:
        """Returns the versions that should be loaded.

        For each of the newest that fails to load, one more of those before it is taken, so that a model whose newest version
        is broken has the newest that is not.

        Args:
          found: on the disk, lowest first.
          failing: those that have failed to load.
        """
        if self.listed is not None:
            return set(self.listed.intersection(found))
        if self.latest is None:
            return set(found)
        chosen: set[int] = set()
        left = self.latest
        for version in reversed(found[-self.latest - _MAX_PASSED_OVER :]):
            if not left:
                break
            chosen.add(version)
            left -= version not in failing
        return chosen


@dataclass(frozen=True)
class Settings:
    """How one model is served.

    Attributes:
      base_path: the directory that holds its versions; absolute.
      policy: which of them are served.
      labels: label -> the version that answers for it.
    """

    base_path: Path
    policy: Policy = Policy(latest=1)
    labels: Mapping[str, int] = field(default_factory=dict)


def read(file: Path) -> bytes:
    """Returns the content of a configuration file, without waiting for the other end of a pipe.

    Raises:
      ApiError: NOT_FOUND if it is not there, UNAVAILABLE if it cannot be read, INVALID_ARGUMENT if it is no plain file or too
        large.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise invalid("it is not a plain file")
            with open(descriptor, "rb", closefd=False) as content:
                text = content.read(_MAX_FILE_BYTES + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        code = "NOT_FOUND" if isinstance(error, FileNotFoundError) else "UNAVAILABLE"
        raise ApiError(code, f"it cannot be read: {error.strerror or error}") from None
    if len(text) > _MAX_FILE_BYTES:
        raise invalid(f"it is larger than {_MAX_FILE_BYTES} bytes")
    return text


def parse(text: bytes) -> dict[str, Settings]:
    """Returns the models of a text proto ModelServerConfig by name.

    Raises:
      ApiError: INVALID_ARGUMENT.
    """
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    config = model_server_config_pb2.ModelServerConfig()
    try:
        text_format.Parse(text.decode("utf-8"), config)
    except Exception as error:  # besides ParseError it lets through whatever its pieces raise for nonsense
        raise invalid(f"Invalid protobuf: {' '.join(str(error).split())}") from None
    return settings(config)


def settings(config: Any) -> dict[str, Settings]:
    """Returns the models of a ModelServerConfig by name.

    Raises:
      ApiError: INVALID_ARGUMENT; the first thing that is wrong with it.
    """
    if config.HasField("custom_model_config"):
        raise invalid("custom_model_config is not supported; expected a model_config_list")
    if not config.HasField("model_config_list"):
        raise invalid("the configuration is empty; expected a model_config_list")
    models: dict[str, Settings] = {}
    for entry in config.model_config_list.config:
        if entry.name in models:
            raise invalid(f"Illegal to list model {entry.name} multiple times in config list")
        models[entry.name] = _settings(entry)
    return models


def _settings(entry: Any) -> Settings:
    try:
        model_directory(".", entry.name)
    except ConfigError as error:
        raise invalid(str(error)) from None
    _check_platform(entry)
    if entry.HasField("logging_config"):
        _log.warning("model %s: logging_config is not followed here; no request is logged", entry.name)
    if "" in entry.version_labels:
        raise invalid(f"model {entry.name}: a version label is empty")
    return Settings(_base_path(entry), _policy(entry.model_version_policy), dict(entry.version_labels))


def _check_platform(entry: Any) -> None:
    kinds = entry.DESCRIPTOR.fields_by_name["model_type"].enum_type.values_by_number
    kind = kinds[entry.model_type].name if entry.model_type in kinds else str(entry.model_type)
    if entry.model_type and entry.model_platform:
        raise invalid(f"model {entry.name}: Illegal setting both model_type and model_platform")
    if not entry.model_type and not entry.model_platform:
        raise invalid(f'model {entry.name}: Illegal setting neither model_type nor model_platform; expected "{PLATFORM}"')
    if kind != "TENSORFLOW" and entry.model_platform != PLATFORM:
        raise invalid(f'model {entry.name}: platform {entry.model_platform or kind} is not supported; expected "{PLATFORM}"')


def _base_path(entry: Any) -> Path:
    path = entry.base_path
    if "://" in path:
        raise invalid(f"model {entry.name}: base_path {path} is not a directory of this machine")
    if not path.startswith("/") or "\0" in path:
        raise invalid(f"Expected model {entry.name} to have an absolute path; got base_path()={path!r}")
    return Path(path)


def _policy(policy: Any) -> Policy:
    if policy.HasField("all"):
        return Policy()
    if policy.HasField("specific"):
        return Policy(listed=frozenset(policy.specific.versions))
    return Policy(latest=max(1, policy.latest.num_versions))
