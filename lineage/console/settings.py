"""The console's command line."""

from __future__ import annotations

import argparse
import ipaddress
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass

from errors import ConfigError
from lineage import places
from lineage.command_line import Parser
from lineage.console.verifying import SECONDS
from lineage.places import Places
from serving.flag_types import within

_LEAST_TOKEN = 24
_MOST_TOKEN = 4096
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")

_EXAMPLES = """\
examples:
  python -m lineage console
  python -m lineage console --pipeline-root pipeline_root --port 0
  python -m lineage console --metadata mysql://reader@db.example:3306/mlmd
  (umask 077; openssl rand -hex 32 > token) && python -m lineage console --host 0.0.0.0 --token-file token
"""


@dataclass(frozen=True)
class Settings:
    """What the console is told.

    Attributes:
      places: what it shows.
      host: address to listen on.
      port: port to listen on; 0 takes a free one.
      token: what whoever asks must show; empty on loopback if none was given.
      public_key: PEM file to check statements with; empty for the root's own.
      allowed_hosts: names that a browser may have for it, beside IP addresses and localhost.
      verify_seconds: after so long a verification is given up.
    """

    places: Places
    host: str = "127.0.0.1"
    port: int = 8765
    token: str = ""
    public_key: str = ""
    allowed_hosts: tuple[str, ...] = ()
    verify_seconds: float = SECONDS


def parse(arguments: Sequence[str]) -> Settings:
    """Reads the flags.

    Raises:
      ConfigError: an unknown flag, a value that is not allowed, another host than this one without a token, or a token file
        that others may read or that is too short.
    """
    given = _parser().parse_args(arguments)
    token = read_token(given.token_file) if given.token_file else ""
    if not token and not is_loopback(given.host):
        raise ConfigError(
            f"--host {given.host}: expected --token-file FILE, since others can reach this address, got none; make one with"
            " `(umask 077; openssl rand -hex 32 > token)`."
        )
    hosts = tuple(dict.fromkeys(name.lower() for name in given.allowed_host))
    return Settings(places.places_of(given), given.host, given.port, token, given.public_key, hosts, given.verify_seconds)


def is_loopback(host: str) -> bool:
    """Returns whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() in _LOOPBACK_NAMES


def read_token(path: str) -> str:
    """Returns the token in a file that nobody but its owner may read.

    Raises:
      ConfigError: it cannot be read, others may read it, or what it holds can be guessed or not be sent.
    """
    try:
        with open(path, "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(_MOST_TOKEN + 1).decode("ascii", "replace").strip()
    except OSError as error:
        raise ConfigError(f"--token-file {path}: expected a file that can be read, got {error.strerror or error}.") from None
    if mode & 0o077:
        raise ConfigError(
            f"--token-file {path}: expected a file that only its owner can read, got mode {mode:o}; chmod 600 it."
        )
    if not _LEAST_TOKEN <= len(text) <= _MOST_TOKEN or not all("!" <= letter <= "~" for letter in text):
        raise ConfigError(
            f"--token-file {path}: expected one line of {_LEAST_TOKEN} or more printable ASCII characters without spaces, got"
            f" {len(text)} characters; `openssl rand -hex 32` makes a good one."
        )
    return text


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m lineage console",
        description="Runs, models, their lineage, differences and digests as a web page. It reads and changes nothing.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    places.add_options(parser)
    add = parser.add_argument_group("server").add_argument
    add("--host", default="127.0.0.1", help="address to listen on; another than this machine's own needs a token (%(default)s)")
    add("--port", type=within(0, 65535), default=8765, help="port to listen on; 0 takes a free one (%(default)s)")
    add("--token-file", metavar="FILE", help="file with the token to sign in with; only its owner may read it")
    add(
        "--allowed-host",
        metavar="NAME",
        action="append",
        default=[],
        help="a name that browsers reach it by, such as lineage.example; IP addresses and localhost are allowed anyway",
    )
    add(
        "--public-key",
        metavar="PEM",
        default="",
        help="public key to verify statements with ({pipeline root}/.signing/public.pem)",
    )
    add(
        "--verify-seconds",
        type=within(1, 7 * 24 * 3600),
        metavar="N",
        default=int(SECONDS),
        help="a verification that takes longer is given up (%(default)s)",
    )
    return parser
