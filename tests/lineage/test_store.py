"""ML Metadata is opened to be read, wherever it lies; what cannot be read is named in one line, within seconds."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from concurrent import futures
from contextlib import closing, contextmanager
from pathlib import Path

import grpc
import pytest
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd
from ml_metadata.proto import metadata_store_service_pb2_grpc as service

from errors import ConfigError, FedtfxError
from lineage import reading, store
from lineage.store import opened

READABLE = "expected an ML Metadata store that can be read, got"
ADDRESS = "expected a sqlite file, mysql://USER@HOST"


@pytest.fixture
def database(store_writer):
    """A store with one execution and one artifact."""
    store_writer.execute("p", "r", "Node", {}, {"out": [store_writer.artifact("T", "/x", digest="d")]})
    return store_writer.path


def refused(where, kind=FedtfxError):
    with pytest.raises(kind) as error, opened(str(where)) as found:
        reading.everything(found)
    assert "\n" not in str(error.value) and str(error.value).endswith(".")
    return str(error.value)


def test_sqlite_file_is_read(database):
    with opened(str(database)) as found:
        assert [artifact.uri for artifact in reading.everything(found).artifacts.values()] == ["/x"]


def test_file_with_signs_that_mean_something_in_addresses_is_read(database, tmp_path):
    odd = tmp_path / "a b?mode=rw#100%25.sqlite"
    shutil.copy(database, odd)
    with opened(str(odd)) as found:
        assert len(found.get_artifacts()) == 1


def test_nothing_can_be_written_through_what_is_opened(database):
    before = database.read_bytes()
    with opened(str(database)) as found, pytest.raises(AttributeError, match="opened to be read"):
        found.put_artifacts([])
    assert database.read_bytes() == before


def test_sqlite_itself_refuses_to_write_what_is_opened(database):
    before = database.read_bytes()
    raw = metadata_store.MetadataStore(store.connection(str(database)))
    with pytest.raises(Exception, match="readonly database"):
        raw.put_artifact_type(mlmd.ArtifactType(name="New"))
    assert database.read_bytes() == before


def test_reading_needs_no_more_than_to_be_allowed_to_read(database):
    os.chmod(database, 0o444)
    with opened(str(database)) as found:
        assert len(found.get_artifacts()) == 1


@pytest.mark.parametrize("where", ["missing.sqlite", "."])
def test_missing_file_is_named_with_what_to_do(tmp_path, where):
    assert f"database at {tmp_path / where}, got no such file; run a pipeline first" in refused(tmp_path / where, ConfigError)


@pytest.mark.parametrize(
    ("content", "got"),
    [(b"this is no database, but some text", "file is not a database"), (b"", "one with none of its tables")],
)
def test_file_that_is_no_store_is_refused(tmp_path, content, got):
    where = tmp_path / "metadata.sqlite"
    where.write_bytes(content)

    assert refused(where) == f"{where}: {READABLE} {got}; put a copy of it back."


def test_sqlite_database_of_something_else_is_refused_and_left_as_it_is(tmp_path):
    where = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(where)) as other:
        other.execute("create table notes(text)")
    before = where.read_bytes()

    assert "one with none of its tables" in refused(where)
    assert where.read_bytes() == before


def test_store_that_was_cut_off_is_refused(database):
    database.write_bytes(database.read_bytes()[:20_000])

    assert "malformed" in refused(database)


def test_store_of_a_newer_ml_metadata_is_refused(database):
    with closing(sqlite3.connect(database)) as found:
        found.execute("update MLMDEnv set schema_version = 99")
        found.commit()

    assert "version 99 is greater" in refused(database)


@contextmanager
def locked(database):
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("begin exclusive")
        yield


def test_locked_store_is_said_to_be_locked(database, monkeypatch):
    monkeypatch.setattr(store, "_LOCK_SECONDS", 0.1)
    with locked(database):
        assert refused(database).endswith("got database is locked; try again when what writes to it is done.")


@pytest.mark.slow
def test_store_that_is_locked_while_it_is_read_is_said_to_be_locked(database, monkeypatch):
    monkeypatch.setattr(store, "_TRIES", 1)
    lock = "import sqlite3, sys; it = sqlite3.connect(sys.argv[1]); it.execute('begin exclusive'); print(flush=True); input()"
    with opened_beside(database, lock) as found, pytest.raises(FedtfxError, match="got one that is locked; try again"):
        found()


@contextmanager
def opened_beside(database, program):
    """Gives what reads a store while another process runs a program on it: SQLite's locks do not hold against one's own."""

    def read():
        with opened(str(database)) as found:
            other.stdin.write("go\n")
            other.stdin.flush()
            other.stdout.readline()
            reading.everything(found)

    command = [sys.executable, "-c", f"input(); {program}", str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        try:
            yield read
        finally:
            other.kill()


@pytest.mark.parametrize(
    "where", ["", "http://host/db", "sqlite:///x", "grpc://host", "grpc://host:port", "grpc://host:99999", "grpc://:80"]
)
def test_address_of_another_kind_is_refused(where):
    assert ADDRESS in refused(where, ConfigError)


@pytest.mark.parametrize("where", ["mysql://host/db", "mysql://user@host", "mysql://user@host/a/b", "mysql://user@host/a;b"])
def test_mysql_address_without_user_or_database_is_refused(where):
    assert "expected mysql://USER@HOST[:PORT]/DATABASE, got" in refused(where, ConfigError)


@pytest.mark.parametrize("where", ["mysql://user:secret@host/db", "postgres://user:secret@host/db", "grpc://user:secret@host"])
def test_password_in_an_address_is_refused_and_not_repeated(where):
    assert "secret" not in refused(where, ConfigError)


def free_port():
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return server.getsockname()[1]


@pytest.mark.parametrize("where", ["grpc://127.0.0.1:{}", "mysql://user@127.0.0.1:{}/db"])
def test_server_that_is_not_there_is_named_at_once(where):
    started = time.monotonic()
    message = refused(where.format(free_port()))

    assert "refused" in message.lower() and message.endswith("check the address, or that its server runs.")
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("where", ["grpc://127.0.0.1:{}", "mysql://user@127.0.0.1:{}/db"])
def test_server_that_never_answers_is_not_waited_for(where, monkeypatch):
    monkeypatch.setattr(store, "_LOCK_SECONDS", 0.2)
    monkeypatch.setattr(store, "_SECONDS", 0.2)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        started = time.monotonic()
        message = refused(where.format(silent.getsockname()[1]))

    assert READABLE in message and time.monotonic() - started < 5


@pytest.mark.slow
@pytest.mark.parametrize("where", ["grpc://127.0.0.1:{}", "mysql://user@127.0.0.1:{}/db"])
def test_error_of_a_server_is_the_only_line_a_command_writes(where):
    command = [sys.executable, "-m", "lineage", "export", "--all", "--metadata", where.format(free_port())]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(store.__file__).parents[1])

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


class _Service(service.MetadataStoreServiceServicer):
    """ML Metadata's service over its own library, which has none of its own on this platform."""

    def __init__(self, path):
        config = mlmd.ConnectionConfig()
        config.sqlite.filename_uri = str(path)
        self.library = metadata_store.MetadataStore(config)

    def __getattribute__(self, name):
        if not name.startswith("Get"):
            return object.__getattribute__(self, name)
        library = object.__getattribute__(self, "library")

        def answer(request, context):
            response = getattr(sys.modules["ml_metadata.proto.metadata_store_service_pb2"], f"{name}Response")()
            library._call(name, request, response)
            return response

        return answer


@pytest.fixture
def served(database):
    """Address of a service of a store."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    service.add_MetadataStoreServiceServicer_to_server(_Service(database), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"grpc://127.0.0.1:{port}"
    server.stop(None).wait()


def test_service_tells_what_the_file_tells(served, database):
    with opened(served) as remote, opened(str(database)) as local:
        assert reading.everything(remote) == reading.everything(local)
        assert reading.upstream(remote, [1]) == reading.upstream(local, [1])
        assert reading.of_type(remote, "T", "Unknown") == reading.of_type(local, "T", "Unknown")
        with pytest.raises(AttributeError, match="opened to be read"):
            remote.put_artifacts([])


def test_error_of_a_service_is_one_line(served):
    with pytest.raises(FedtfxError, match=READABLE) as error, opened(served) as remote:
        remote.get_artifacts(metadata_store.ListOptions(filter_query="nonsense ="))
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def mysql(tmp_path_factory):
    """The port of a real server with users `reader` (SELECT) and `writer`, password `pw`, and databases `mlmd` and `bare`."""
    if shutil.which("mariadbd") is None or shutil.which("mariadb-install-db") is None:
        pytest.skip("no MySQL server; install it with: apt-get install mariadb-server")
    folder, port = tmp_path_factory.mktemp("mysql"), free_port()
    user = ["--user=root"] if os.geteuid() == 0 else []
    install = ["mariadb-install-db", "--no-defaults", f"--datadir={folder}/data", "--auth-root-authentication-method=normal"]
    subprocess.run([*install, "--skip-test-db", *user], check=True, capture_output=True)
    run = ["mariadbd", "--no-defaults", f"--datadir={folder}/data", f"--socket={folder}/s", f"--port={port}"]
    with subprocess.Popen([*run, "--bind-address=127.0.0.1", *user], stderr=subprocess.DEVNULL) as server:
        try:
            _set_up(folder / "s")
            yield port
        finally:
            server.terminate()


def _set_up(where):
    statements = """
        create database mlmd; create database bare;
        create user 'writer'@'127.0.0.1' identified by 'pw'; grant all on *.* to 'writer'@'127.0.0.1';
        create user 'reader'@'127.0.0.1' identified by 'pw'; grant select on *.* to 'reader'@'127.0.0.1';
    """
    command = ["mariadb", "--no-defaults", "-S", str(where), "-u", "root", "-e", statements]
    subprocess.run(["mariadb-admin", "--no-defaults", "-S", str(where), "-u", "root", "--wait=30", "ping"], check=True)
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def password(monkeypatch):
    monkeypatch.setenv("MYSQL_PWD", "pw")


@pytest.mark.slow
def test_mysql_is_read_by_a_user_who_may_only_select(mysql, password):
    config = mlmd.ConnectionConfig()
    config.mysql.host, config.mysql.port, config.mysql.database = "127.0.0.1", mysql, "mlmd"
    config.mysql.user, config.mysql.password = "writer", "pw"
    written = metadata_store.MetadataStore(config)
    kind = written.put_artifact_type(mlmd.ArtifactType(name="T"))
    written.put_artifacts([mlmd.Artifact(type_id=kind, uri="/x")])

    with opened(f"mysql://reader@127.0.0.1:{mysql}/mlmd") as found:
        assert [artifact.uri for artifact in reading.everything(found).artifacts.values()] == ["/x"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("database", "given", "got"),
    [
        ("bare", "pw", "CREATE command denied"),
        ("missing", "pw", "Unknown database 'missing'"),
        ("mlmd", "wrong", "one that does not let this user in with the password in MYSQL_PWD"),
    ],
)
def test_mysql_that_cannot_be_read_is_told_in_one_line(mysql, monkeypatch, database, given, got):
    monkeypatch.setenv("MYSQL_PWD", given)

    assert got in refused(f"mysql://reader@127.0.0.1:{mysql}/{database}")
