"""The server's command line, with the names TensorFlow Serving gives its flags."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from errors import ConfigError
from serving.layout import model_directory

MAX_BODY_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Flags:
    """What the server is told.

    Attributes:
      host: address to listen on; loopback unless told otherwise.
      port: gRPC; 0 is off.
      rest_api_port: REST; 0 is off.
      model_name: the name in URLs and requests.
      model_base_path: the directory that holds the model's versions.
      file_system_poll_wait_seconds: between two looks at it; 0 looks once, negative never.
      rest_api_max_body_bytes: of a REST request, inflated.
    """

    host: str
    port: int
    rest_api_port: int
    model_name: str
    model_base_path: Path
    file_system_poll_wait_seconds: float
    rest_api_max_body_bytes: int


def parse(arguments: Sequence[str]) -> Flags:
    """Reads `--flag=value` and `--flag value`.

    Raises:
      ConfigError: an unknown flag, or a value that is not allowed.
    """
    given = _parser().parse_args(arguments)
    model_directory(".", given.model_name)  # checks the name
    if not given.port and not given.rest_api_port:
        raise ConfigError("--port and --rest_api_port are both 0, so nothing would listen; give one of them a port.")
    if given.port == given.rest_api_port:
        raise ConfigError(f"--port and --rest_api_port are both {given.port}; expected two different ports.")
    return Flags(**vars(given))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see `{self.prog} --help`.")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m serving serve",
        description="Serves the newest complete version in a directory over TensorFlow Serving's REST and gRPC.",
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=_port, default=8500, help="gRPC port; 0 is off")
    add("--rest_api_port", type=_port, default=8501, help="REST port; 0 is off")
    add("--model_name", default="default", help="the model's name in requests")
    add("--model_base_path", type=_local_path, required=True, help="directory that holds the versions")
    add("--file_system_poll_wait_seconds", type=_seconds, default=1.0, help="between looks; 0 looks once, negative never")
    add("--rest_api_max_body_bytes", type=_bytes, default=MAX_BODY_BYTES, help="of a REST request, inflated")
    return parser


def _port(text: str) -> int:
    number = _whole(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, got {text!r}")
    return number


def _bytes(text: str) -> int:
    number = _whole(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number of bytes above 0, got {text!r}")
    return number


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}") from None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = float("nan")
    if not abs(seconds) <= 10**6:  # neither NaN nor more than a thread can wait
        raise argparse.ArgumentTypeError(f"expected a number of seconds up to 1000000, got {text!r}")
    return seconds


def _local_path(text: str) -> Path:
    if not text or "://" in text:
        raise argparse.ArgumentTypeError(f"expected a directory of this machine, got {text!r}")
    return Path(text).absolute()
