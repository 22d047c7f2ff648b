"""A socket that a web service listens on."""

from __future__ import annotations

import socket

from errors import ConfigError


def listen(host: str, port: int, backlog: int) -> socket.socket:
    """Returns a socket that listens; the caller closes it.

    Args:
      host: address to listen on; one with a colon is IPv6.
      port: 0 for any that is free.
      backlog: how many connections may wait to be accepted.

    Raises:
      ConfigError: the port cannot be listened on.
    """
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(backlog)
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; free the port or give another --port."
        ) from None
    return listening
