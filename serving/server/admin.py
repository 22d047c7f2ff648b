"""Changing the configuration over gRPC: who may, and what is answered.

The real server lets anybody who reaches its port replace all models. Here the caller needs a token.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import math
import stat
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from errors import ConfigError
from serving.server.status import CODE_NUMBERS, ApiError, invalid

_MIN_CHARACTERS = 16
_QUIET_SECONDS = 10

_log = logging.getLogger(__name__)


def read_token(path: Path, *, host: str, encrypted: bool) -> bytes:
    """Reads --admin_token_file.

    Args:
      path: the file.
      host: the address that gRPC listens on.
      encrypted: whether it listens with TLS.

    Raises:
      ConfigError: it cannot be read, others can read it, it is too short, or it would cross the network in clear.
    """
    if not encrypted and not _is_loopback(host):
        raise ConfigError(
            f"--admin_token_file with --host {host} would send the token over the network in clear;"
            " add --ssl_config_file or listen on 127.0.0.1."
        )
    try:
        mode, content = path.stat().st_mode, path.read_bytes().strip()
    except OSError as error:
        raise ConfigError(f"cannot read {path} (--admin_token_file): {error.strerror or error}.") from None
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        raise ConfigError(f"{path} (--admin_token_file) can be read by others than its owner; chmod 600 it.")
    if len(content) < _MIN_CHARACTERS:
        raise ConfigError(
            f"{path} (--admin_token_file) holds {len(content)} characters, expected at least {_MIN_CHARACTERS};"
            " `openssl rand -hex 32` makes a good one."
        )
    return content


def authorise(metadata: Iterable[tuple[str, str | bytes]] | None, token: bytes | None) -> None:
    """Lets a call with `authorization: Bearer TOKEN` through.

    Raises:
      ApiError: PERMISSION_DENIED if no call may change anything, UNAUTHENTICATED if this one may not.
    """
    if token is None:
        raise ApiError(
            "PERMISSION_DENIED",
            "this server was started without --admin_token_file, so its configuration cannot be changed over the network;"
            " start it with one, or change the file that --model_config_file names",
        )
    values = [value for key, value in metadata or () if key == "authorization"]
    given = values[0] if len(values) == 1 else ""
    scheme, _, secret = (given if isinstance(given, bytes) else given.encode("utf-8")).partition(b" ")
    if scheme.lower() != b"bearer" or not hmac.compare_digest(secret.strip(), token):
        raise ApiError("UNAUTHENTICATED", "expected the metadata `authorization: Bearer TOKEN` with this server's admin token")


class Refusals:
    """Logs calls that may not change the configuration: not each one, since anybody can make any number of them.

    Args:
      clock: seconds, of which only differences count.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._quiet_until = -math.inf
        self._left_out = 0

    def tell(self, peer: str, error: ApiError) -> None:
        """Logs one, or counts it until the next is logged; what the caller sent is not shown."""
        if self._clock() < self._quiet_until:
            self._left_out += 1
            return
        more = f" ({self._left_out} more before it)" if self._left_out else ""
        _log.warning("a configuration over gRPC from %s was refused: %s%s", peer, error.code, more)
        self._quiet_until, self._left_out = self._clock() + _QUIET_SECONDS, 0


def reload(
    request: Any,
    apply: Callable[[Any], None],
    measure: Callable[[Sequence[str]], Mapping[str, int]],
) -> tuple[Any, ApiError | None]:
    """Answers a ReloadConfigRequest; blocks until its new models are loaded.

    Args:
      request: the proto.
      apply: takes the ModelServerConfig; raises ApiError.
      measure: metric names -> their values now.

    Returns:
      The ReloadConfigResponse, whose status tells how it went, and the error that the call must end with.
    """
    from tensorflow_serving.apis import model_management_pb2

    before, failure = measure(request.metric_names), None
    try:
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid("expected a config with a model_config_list; no other kind can be reloaded")
        apply(request.config)
    except ApiError as error:
        failure = error
        _log.warning("a configuration over gRPC was refused: %s: %s", error.code, " ".join(error.message.split()))
    reply = model_management_pb2.ReloadConfigResponse()
    for name, value in measure(request.metric_names).items():
        reply.metric.add(name=name, int64_value_increase=value - before[name])
    reply.status.error_code = CODE_NUMBERS[failure.code if failure else "OK"]
    reply.status.error_message = failure.message if failure else ""
    return reply, failure


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
