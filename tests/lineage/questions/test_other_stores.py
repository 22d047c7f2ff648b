"""The same answers from an ML Metadata service and from a MySQL database as from the sqlite file."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from ml_metadata.metadata_store import metadata_store
from ml_metadata.metadata_store.pywrap.metadata_store_extension import metadata_store as calls
from ml_metadata.proto import metadata_store_pb2 as mlmd

from lineage.questions import impact, listing, origin

pytestmark = pytest.mark.slow
SERVICE = "ml_metadata.MetadataStoreService"


@contextmanager
def service(path: str) -> Iterator[str]:
    """An ML Metadata service over a sqlite file: every call goes, as bytes, to the library that the server is made of."""
    config = mlmd.ConnectionConfig()
    config.sqlite.filename_uri = path
    store = calls.CreateMetadataStore(config.SerializeToString(), mlmd.MigrationOptions().SerializeToString())
    one_at_a_time = threading.Lock()

    def handler(method: str) -> Any:
        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            with one_at_a_time:
                response, message, code = getattr(calls, method)(store, request)
            if code:
                context.abort(next(one for one in grpc.StatusCode if one.value[0] == code), message.decode())
            return bytes(response)

        return grpc.unary_unary_rpc_method_handler(answer)

    handlers = {name: handler(name) for name in dir(calls) if name[:3] in ("Get", "Put")}
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"grpc://127.0.0.1:{port}"
    server.stop(None)


@contextmanager
def mariadb(folder: Path) -> Iterator[tuple[int, Path]]:
    """A MariaDB of our own; gives its port and its socket."""
    missing = [name for name in ("mariadbd", "mariadb-install-db", "mariadb") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)}; install it with: apt-get install mariadb-server")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    data, sock = folder / "data", folder / "s"
    user = ["--user=root"] if os.geteuid() == 0 else []
    install = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal"]
    subprocess.run([*install, "--skip-test-db", *user], check=True, capture_output=True)
    run = ["mariadbd", "--no-defaults", f"--datadir={data}", f"--socket={sock}", f"--port={port}", "--bind-address=127.0.0.1"]
    with subprocess.Popen([*run, *user], stderr=subprocess.DEVNULL) as server:
        try:
            subprocess.run(["mariadb-admin", "--no-defaults", "-S", str(sock), "-u", "root", "--wait=30", "ping"], check=True)
            yield port, sock
        finally:
            server.terminate()


def tell(sock: Path, sql: str, database: str = "") -> subprocess.CompletedProcess[bytes]:
    command = ["mariadb", "--no-defaults", f"--socket={sock}", "--user=root", *([database] if database else [])]
    return subprocess.run(command, input=sql.encode(), capture_output=True, check=False)


USERS = """
    create database m; create user writer@'127.0.0.1' identified by 'word'; grant all on m.* to writer@'127.0.0.1';
    create user auditor@'127.0.0.1' identified by 'word'; grant select on m.* to auditor@'127.0.0.1';
"""


def copied(sqlite: str, port: int, sock: Path) -> str:
    """Puts the rows of a sqlite store into MariaDB's tables, which ML Metadata itself makes; returns the address."""
    made = tell(sock, USERS)
    assert made.returncode == 0, made.stderr
    config = mlmd.ConnectionConfig()
    config.mysql.host, config.mysql.port, config.mysql.database = "127.0.0.1", port, "m"
    config.mysql.user, config.mysql.password = "writer", "word"
    metadata_store.MetadataStore(config)
    database = sqlite3.connect(sqlite)
    tables = [
        name for (name,) in database.execute("select name from sqlite_master where type = 'table' and name not like 'sqlite_%'")
    ]
    sql = ["set foreign_key_checks = 0;"]
    for table in tables:
        rows = database.execute(f"select * from `{table}`")
        names = ", ".join(f"`{column[0]}`" for column in rows.description)
        sql.append(f"delete from `{table}`;")
        sql += [f"insert into `{table}` ({names}) values ({', '.join(map(literal, row))});" for row in rows]
    filled = tell(sock, "\n".join(sql), "m")
    assert filled.returncode == 0, filled.stderr
    return f"mysql://auditor@127.0.0.1:{port}/m"


def literal(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, (int, float)):
        return repr(value)
    return f"x'{(value.encode() if isinstance(value, str) else value).hex()}'" if value else "''"


def answers(places: Any, name: str, data: str) -> Any:
    with places.opened() as store:
        shown = origin.of_text(name, store, places).as_json()
        reached = impact.of_text(data, store, places).as_json()
        listed = [line.as_json() for line in listing.model_lines(store, places) + listing.run_lines(store, places)]
        return shown, reached, listed


def test_service_and_database_answer_as_the_file_does(pipelines: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = pipelines.whole("r-1", text="1")
    pipelines.whole("r-2", base=first["model"], served=first["model"], text="2")
    places = pipelines.places
    asked = ("p", str(pipelines.source))
    expected = answers(places, *asked)
    assert expected[0]["training"]["base"]["id"] == first["model"]
    with service(places.metadata) as address:
        assert answers(replace(places, metadata=address), *asked) == expected
    with mariadb(tmp_path) as (port, sock):
        address = copied(places.metadata, port, sock)
        monkeypatch.setenv("MYSQL_PWD", "word")
        assert answers(replace(places, metadata=address), *asked) == expected
