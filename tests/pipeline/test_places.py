"""The files and folders a run is given: refused before it starts, in one line."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from errors import ConfigError, FedtfxError
from pipeline import places


def test_paths_inside_the_working_directory_are_shown_relative_and_others_absolute(tmp_path, monkeypatch):
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.chdir(inside)
    assert places.shown(str(inside / "logs" / "run.log")) == "logs/run.log"
    assert places.shown(str(tmp_path / "other")) == str(tmp_path / "other")
    assert places.shown("../other") == str(tmp_path / "other")
    assert places.shown(str(inside / "..data")) == "..data"


def test_folder_that_can_be_made_is_accepted_and_not_made(tmp_path):
    places.check_folder("--serving-root", str(tmp_path / "a" / "b"))
    places.check_folder("--serving-root", str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("below", ["", "models"])
def test_file_in_the_place_of_a_folder_is_refused(tmp_path, below):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError) as refused:
        places.check_folder("--serving-root", str(tmp_path / "file" / below))
    assert str(refused.value) == f"--serving-root: expected a folder, but {tmp_path}/file is a file; give another folder."


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder_is_refused(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(ConfigError, match=r"^--pipeline-root: expected a folder to write to, but .*locked/root cannot be made"):
        places.check_folder("--pipeline-root", str(tmp_path / "locked" / "root"))


@pytest.mark.parametrize("folder", ["/proc/serving", "/proc/self/models/deep", "{tmp}/" + "n" * 300])
def test_folder_that_permissions_allow_and_the_file_system_does_not_is_refused(tmp_path, folder):
    with pytest.raises(ConfigError, match=r"^--serving-root: expected a folder to write to, but .* cannot be made or written"):
        places.check_folder("--serving-root", folder.format(tmp=tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["", "  ", "s3://bucket/root", "file:///tmp/root"])
def test_place_that_is_no_path_is_refused(place):
    with pytest.raises(
        ConfigError, match=rf"^--pipeline-root: expected a folder on this machine, got '{place}'; give a path\.$"
    ):
        places.check_folder("--pipeline-root", place)
    with pytest.raises(ConfigError, match=rf"^--json: expected a file on this machine, got '{place}'; give a path\.$"):
        places.check_file("--json", place, "config.yaml")


def test_result_file_that_can_be_written_is_accepted_and_not_touched(tmp_path):
    old = tmp_path / "result.json"
    old.write_text("old")
    for file in (old, tmp_path / "new.json"):
        places.check_file("--json", str(file), str(tmp_path / "config.yaml"))
    assert old.read_text() == "old"
    assert list(tmp_path.iterdir()) == [old]


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("nowhere/result.json", "No such file or directory"),
        ("", "Is a directory"),
        ("file/result.json", "Not a directory"),
        ("n" * 300, "File name too long"),
        ("pipe", "read-only, or no file"),
    ],
)
def test_result_file_that_cannot_be_written_is_refused(tmp_path, file, reason):
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError) as refused:
        places.check_file("--json", str(tmp_path / file), "config.yaml")
    assert str(refused.value) == f"--json: cannot write {tmp_path / file} ({reason}); give a file in a folder that exists."


def test_config_is_no_result_file_whatever_it_is_called(tmp_path):
    (tmp_path / "config.yaml").touch()
    (tmp_path / "link.yaml").symlink_to("config.yaml")
    for file in ("config.yaml", "link.yaml"):
        with pytest.raises(ConfigError, match=rf"^--json: expected a file for the result, but .*{file} is the config; "):
            places.check_file("--json", str(tmp_path / file), str(tmp_path / "config.yaml"))


def test_result_is_written_in_one_step_through_a_link_and_removed(tmp_path):
    link, file = tmp_path / "link.json", tmp_path / "result.json"
    link.symlink_to(file)
    file.write_text("old")
    with file.open() as reader:
        places.write_file(str(link), "new")
        assert (reader.read(), file.read_text()) == ("old", "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.json", "result.json"]
    for _ in range(2):
        places.remove_file(str(link))
        assert not file.exists()


@pytest.fixture
def database(tmp_path):
    """A database with enough in it to be cut short."""
    path = tmp_path / "metadata.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE facts (name TEXT)")
        connection.executemany("INSERT INTO facts VALUES (?)", [("fact " * 100,)] * 100)
    connection.close()
    return path


def test_whole_or_missing_database_is_accepted_and_not_changed(database, tmp_path):
    before = database.read_bytes()
    places.check_database(str(database))
    places.check_database(str(tmp_path / "missing"))
    assert database.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [database.name]


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def garble(path: Path) -> None:
    path.write_bytes(b"no database at all\n" * 100)


@pytest.mark.parametrize("damage", [cut, garble])
def test_damaged_database_is_one_line_that_says_what_to_do(database, damage):
    damage(database)
    with pytest.raises(FedtfxError) as refused:
        places.check_database(str(database))
    told = str(refused.value)
    assert told.startswith(f"{database}: damaged, or no ML Metadata database (")
    assert told.endswith("; put a copy of it back, or give another --pipeline-root.")
    assert "\n" not in told


def test_database_that_stays_locked_is_one_line_within_a_stated_time(database, monkeypatch):
    monkeypatch.setattr(places, "LOCK_SECONDS", 0.1)
    holder = sqlite3.connect(database, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(FedtfxError, match=r": locked by another process for 0 s; end that process and try again\.$"):
        places.check_database(str(database))
    holder.execute("ROLLBACK")
    places.check_database(str(database))
    holder.close()
