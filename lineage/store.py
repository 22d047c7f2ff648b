"""Opens ML Metadata to read: a sqlite file, a MySQL database, or a gRPC service. Nothing here writes."""

from __future__ import annotations

import logging
import os
import re
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from errors import ConfigError, FedtfxError, IntegrityError
from lineage import soundness

PASSWORD_VARIABLE = "MYSQL_PWD"
_SECONDS = 20.0
_LOCK_SECONDS = 10.0
_TRIES = 4  # of a call while the file is locked; a few seconds each
_EXPECTED = "a sqlite file, mysql://USER@HOST[:PORT]/DATABASE or grpc://HOST:PORT"


class ReadStore:
    """An `ml_metadata.MetadataStore` of which nothing can be called but what reads: `get_...`."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("get_"):
            raise AttributeError(f"{name}: this store is opened to be read")
        return getattr(self._store, name)


@contextmanager
def opened(where: str) -> Iterator[ReadStore]:
    """Gives an `ml_metadata.MetadataStore` to read from; a sqlite file is opened so that it cannot be written.

    In an empty MySQL database ML Metadata makes its tables when it connects; a user who may only SELECT can read.

    Args:
      where: path of a sqlite database; `mysql://user@host:port/database`, whose password is in the environment variable
        MYSQL_PWD; or `grpc://host:port` (`grpcs://` with TLS and the system's certificates) of an ML Metadata service.

    Raises:
      ConfigError: `where` is nothing of this, or there is no such file.
      FedtfxError: it cannot be read: damaged, locked, unreachable, or of another version. Also what a call inside raises.
    """
    config = connection(where)
    from ml_metadata import errors
    from ml_metadata.metadata_store import metadata_store

    try:
        with _silent():
            yield ReadStore(metadata_store.MetadataStore(config))
    except errors.AbortedError as error:
        raise _unreadable(where, "one that is locked") from error
    except errors.StatusError as error:
        raise _unreadable(where, " ".join(str(error).split())) from error
    except RecursionError:  # of something else that was read meanwhile
        raise
    except RuntimeError as error:  # what its C++ raises when it cannot connect
        raise _unreadable(where, " ".join(str(error).split())) from error


@contextmanager
def _silent() -> Iterator[None]:
    """What ML Metadata's client would log of an error is in ours."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def connection(where: str) -> Any:
    """Returns the ml_metadata ConnectionConfig, or MetadataStoreClientConfig, for `where`.

    Raises:
      ConfigError, FedtfxError: as `opened`.
    """
    address = urlsplit(where)
    if address.scheme in ("grpc", "grpcs"):
        return _service(where, address)
    if address.scheme == "mysql":
        return _mysql(where, address)
    if "://" in where or not where:
        raise ConfigError(f"--metadata: expected {_EXPECTED}, got {_without_password(where)!r}.")
    return _sqlite(where)


def _service(where: str, address: SplitResult) -> Any:
    from ml_metadata.proto import metadata_store_pb2

    host, port = _host_and_port(where, address, None)
    config = metadata_store_pb2.MetadataStoreClientConfig(host=host, port=port, client_timeout_sec=_SECONDS)
    if address.scheme == "grpcs":
        config.ssl_config.SetInParent()
    return config


def _mysql(where: str, address: SplitResult) -> Any:
    from ml_metadata.proto import metadata_store_pb2

    host, port = _host_and_port(where, address, 3306)
    database, user = address.path.strip("/"), unquote(address.username or "")
    if address.password is not None:
        raise ConfigError(
            f"--metadata: expected no password in the address; put it into the environment as {PASSWORD_VARIABLE}."
        )
    if not re.fullmatch(r"[\w$-]+", database) or not user:
        raise ConfigError(f"--metadata: expected mysql://USER@HOST[:PORT]/DATABASE, got {_without_password(where)!r}.")
    if host != "localhost":  # which means a socket of this machine
        _check_server(where, host, port)
    config = metadata_store_pb2.ConnectionConfig()
    config.mysql.host, config.mysql.port, config.mysql.database, config.mysql.user = host, port, database, user
    config.mysql.password = os.environ.get(PASSWORD_VARIABLE, "")
    config.mysql.skip_db_creation = True
    return config


def _check_server(where: str, host: str, port: int) -> None:
    """MySQL's client does not say why it cannot connect, and waits for ever for a silent server; others speak first."""
    try:
        with socket.create_connection((host, port), timeout=_LOCK_SECONDS) as connected:
            greeting = connected.recv(1)
    except OSError as error:
        raise _unreadable(where, (error.strerror or str(error)).lower()) from None
    if not greeting:
        raise _unreadable(where, "a server that hangs up")


def _sqlite(path: str) -> Any:
    from ml_metadata.proto import metadata_store_pb2

    _check_file(path)
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = os.path.abspath(path)
    config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READONLY
    config.retry_options.max_num_retries = _TRIES
    return config


def _check_file(path: str) -> None:
    """ML Metadata itself would try ten times and then tell SQLite's bare words."""
    if not os.path.isfile(path):
        raise ConfigError(
            f"--metadata: expected an ML Metadata database at {path}, got no such file; run a pipeline first, or give"
            " --pipeline-root or --metadata."
        )
    database = sqlite3.connect(f"file:{_quoted(os.path.abspath(path))}?mode=ro", uri=True, timeout=_LOCK_SECONDS)
    try:
        tables = database.execute("select count(*) from sqlite_master where name in ('MLMDEnv', 'Artifact')").fetchone()[0]
        broken = soundness.problem(database) if tables == 2 else ""
    except sqlite3.DatabaseError as error:
        raise _unreadable(path, str(error)) from None
    finally:
        database.close()
    if tables != 2:
        raise _unreadable(path, "one with none of its tables")
    if broken:
        raise IntegrityError(f"{path}: expected what ML Metadata wrote, got {broken}: it was altered; put back a copy of it.")


def _quoted(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _host_and_port(where: str, address: SplitResult, default: int | None) -> tuple[str, int]:
    try:
        host, port = address.hostname, address.port or default
    except ValueError:  # a port that is no number
        host, port = None, None
    if not host or not port:
        raise ConfigError(f"--metadata: expected {_EXPECTED}, got {_without_password(where)!r}.")
    return host, port


def _unreadable(where: str, why: str) -> FedtfxError:
    if "mysql_real_connect" in why:  # nothing that follows it tells more
        why = f"no MySQL server, or one that does not let this user in with the password in {PASSWORD_VARIABLE}"
    if "locked" in why:
        remedy = "try again when what writes to it is done"
    else:
        remedy = "check the address, or that its server runs" if "://" in where else "put a copy of it back"
    return FedtfxError(f"{where}: expected an ML Metadata store that can be read, got {why[:300]}; {remedy}.")


def _without_password(where: str) -> str:
    return re.sub(r"://[^/]*@", "://...@", where)
