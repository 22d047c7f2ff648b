"""TLS on both ports, from the file that TensorFlow Serving's --ssl_config_file names: a text proto that holds PEM texts."""

from __future__ import annotations

import logging
import os
import ssl
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from errors import ConfigError
from serving.server import protos

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tls:
    """A server's key and certificate, and whom it lets in.

    Attributes:
      key: PEM; kept out of `repr`.
      certificate: PEM, with the chain behind it.
      client_ca: PEM of the authority that clients' certificates are held against; "" for the system's.
      client_verify: whether a client must show one.
    """

    key: str = field(repr=False)
    certificate: str
    client_ca: str
    client_verify: bool

    def grpc_credentials(self) -> Any:
        """For `grpc.Server.add_secure_port`."""
        import grpc

        authority = self.client_ca.encode() if self.client_ca else None
        return grpc.ssl_server_credentials(
            [(self.key.encode(), self.certificate.encode())], authority, require_client_auth=self.client_verify
        )

    def context(self) -> ssl.SSLContext:
        """For the REST server.

        Raises:
          ssl.SSLError, ValueError: a PEM text is wrong or key and certificate do not belong together.
        """
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        # Python takes a key only from a file; this one is in memory alone, and needs no place that can be written to.
        with open(os.memfd_create("key"), "w", encoding="utf-8") as file:
            file.write(f"{self.key}\n{self.certificate}\n")
            file.flush()
            made.load_cert_chain(f"/proc/self/fd/{file.fileno()}", password=_no_password)
        if self.client_verify:
            made.verify_mode = ssl.CERT_REQUIRED
            made.load_verify_locations(cadata=self.client_ca)
        return made


def read(path: Path) -> Tls:
    """Reads an SSLConfig and tries whether it can be used.

    Raises:
      ConfigError: it cannot; says why, and never what it holds.
    """
    given = protos.read_text(path, "tensorflow.serving.SSLConfig", "ssl_config_file")
    _check_pem(path, "server_key", given.server_key, "PRIVATE KEY-----")
    _check_pem(path, "server_cert", given.server_cert, "BEGIN CERTIFICATE-----")
    if given.custom_ca or given.client_verify:
        _check_pem(path, "custom_ca", given.custom_ca, "BEGIN CERTIFICATE-----")
    tls = Tls(given.server_key, given.server_cert, given.custom_ca, given.client_verify)
    try:
        tls.context()
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or "the key is encrypted or a PEM text is damaged"
        raise ConfigError(
            f"{path} (--ssl_config_file): key and certificates cannot be used: {reason}; expected a key without"
            " passphrase and its certificate."
        ) from None
    if path.stat().st_mode & stat.S_IROTH:
        _log.warning("%s holds the server's private key and every user of this machine can read it; chmod o-r it", path)
    return tls


def _check_pem(path: Path, name: str, text: str, mark: str) -> None:
    if mark not in text:
        got = "nothing" if not text else "something else (such as a path)"
        raise ConfigError(f"{path} (--ssl_config_file): {name} must hold a PEM text with {mark!r}, got {got}.")


def _no_password() -> str:
    raise ValueError("the key is encrypted")
