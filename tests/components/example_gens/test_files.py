from __future__ import annotations

import os

import pytest
from tfx.proto import example_gen_pb2

from components.example_gens import content, driver, files
from errors import DataError


def _fingerprint(kind: type[driver.ContentDriver], base, *patterns: str) -> tuple[str, int]:
    splits = [example_gen_pb2.Input.Split(name=f"s{index}", pattern=pattern) for index, pattern in enumerate(patterns)]
    processor = kind(None).get_input_processor(splits, input_base_uri=str(base))
    span, version = processor.resolve_span_and_version()
    return processor.get_input_fingerprint(span, version), span


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"a,b\n1,2\n")
    (tmp_path / "b.csv").write_bytes(b"a,b\n3,4\n")
    return tmp_path


def test_fingerprint_ignores_times_and_place(folder, tmp_path_factory):
    before = _fingerprint(driver.ContentDriver, folder, "*.csv")
    os.utime(folder / "a.csv", (1, 1))
    moved = folder.rename(tmp_path_factory.mktemp("other") / "moved")
    assert _fingerprint(driver.ContentDriver, moved, "*.csv") == before


def test_fingerprint_sees_a_byte_a_name_and_a_new_file(folder):
    seen = {_fingerprint(driver.ContentDriver, folder, "*.csv")}
    (folder / "a.csv").write_bytes(b"a,b\n1,9\n")
    seen.add(_fingerprint(driver.ContentDriver, folder, "*.csv"))
    (folder / "a.csv").rename(folder / "c.csv")
    seen.add(_fingerprint(driver.ContentDriver, folder, "*.csv"))
    (folder / "d.csv").write_bytes(b"a,b\n1,9\n")
    seen.add(_fingerprint(driver.ContentDriver, folder, "*.csv"))
    assert len(seen) == 4


def test_fingerprint_sees_the_labels_that_no_pattern_names(tmp_path):
    (tmp_path / "t-images-idx3-ubyte").write_bytes(b"images")
    before = _fingerprint(driver.IdxDriver, tmp_path, "*images*")
    (tmp_path / "t-labels-idx1-ubyte.gz").write_bytes(b"labels")
    assert _fingerprint(driver.IdxDriver, tmp_path, "*images*") != before


def test_span_patterns_resolve_to_the_latest_span(tmp_path):
    for span in (1, 2):
        (tmp_path / f"day{span}").mkdir()
        (tmp_path / f"day{span}" / "a.csv").write_text(f"a\n{span}\n")
    fingerprint, span = _fingerprint(driver.ContentDriver, tmp_path, "day{SPAN}/*.csv")
    assert span == 2
    assert fingerprint == content.fingerprint(str(tmp_path), [str(tmp_path / "day2" / "a.csv")])


def test_dot_files_and_folders_are_not_data(folder):
    (folder / "._a.csv").write_bytes(b"junk")
    (folder / "old.csv").mkdir()
    assert [os.path.basename(path) for path in files.require(str(folder), "*.csv")] == ["a.csv", "b.csv"]


@pytest.mark.parametrize("name", ["b.csv", "b*"])
def test_base_may_name_the_files_themselves(folder, name):
    assert files.require(str(folder / name), "*.csv") == {str(folder / "b.csv"): 8}


def test_missing_files_are_named_with_what_is_there(folder):
    with pytest.raises(DataError, match=r"expected files that match '\*.parquet', got only a.csv, b.csv; set data.path"):
        files.require(str(folder), "*.parquet")
    with pytest.raises(DataError, match=r"nowhere: expected a folder or files, got nothing there; set data.path"):
        files.require(str(folder / "nowhere"), "*.csv")


def test_empty_file_is_named(folder):
    (folder / "c.csv").touch()
    with pytest.raises(DataError, match=r"c.csv: expected data, got an empty file"):
        files.require(str(folder), "*.csv")


@pytest.mark.parametrize("name", ["", "a.csv", "a*"])
def test_brackets_in_a_folder_name_are_no_wildcards(tmp_path, name):
    folder = tmp_path / "penguins [2024]"
    folder.mkdir()
    (folder / "a.csv").write_bytes(b"a,b\n")
    assert files.require(os.path.join(folder, name), "*.csv") == {str(folder / "a.csv"): 4}
    assert _fingerprint(driver.ContentDriver, folder, "*.csv")[0] == content.fingerprint(str(folder), [str(folder / "a.csv")])
    with pytest.raises(DataError, match=r"expected files that match '\*.parquet', got only a.csv; set data.path"):
        files.require(str(folder), "*.parquet")


def test_brackets_that_name_nothing_are_wildcards(folder):
    assert files.require(str(folder / "[b-z].csv"), "*.csv") == {str(folder / "b.csv"): 8}


@pytest.mark.parametrize("base", [".", "x.csv", "x*"])
def test_link_to_nothing_is_named_and_does_not_stop_the_driver(folder, base):
    (folder / "x.csv").symlink_to("nowhere")
    with pytest.raises(DataError, match=r"x.csv: expected a file, got a link to nothing; remove it or put back"):
        files.require(str(folder / base), "*.csv")
    assert _fingerprint(driver.ContentDriver, folder, "*.csv")[1] == 0


def test_file_that_cannot_be_read_has_a_fingerprint(folder):
    os.mkfifo(folder / "x.csv")
    paths = [str(folder / name) for name in ("x.csv", "nowhere.csv")]
    assert content.fingerprint(str(folder), paths[:1]) != content.fingerprint(str(folder), paths[1:])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_that_may_not_be_read_is_named(folder):
    (folder / "a.csv").chmod(0)
    with pytest.raises(DataError, match=r"a.csv: expected a file to read, got .*; give it to whoever runs this"):
        files.require(str(folder), "*.csv")
