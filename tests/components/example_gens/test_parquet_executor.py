from __future__ import annotations

import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

TABLE = {
    "label": list(range(40)),
    "weight": [0.0, 1.5, None, -2.0] * 10,
    "flag": [False, True] * 20,
    "name": ["", "é", "b", "c"] * 10,
    "image": [b"\xff\x00"] * 40,
    "tokens": [[0, 1], [], None, [2]] * 10,
}


def _write(path, columns=TABLE, **options) -> None:
    pq.write_table(pa.table(columns), path, **options)


def test_every_kind_of_value_survives_zeros_and_bytes_included(tmp_path, generate, rows):
    _write(tmp_path / "a.parquet", row_group_size=7)
    found = {row["label"][0]: row for row in rows(generate("parquet", tmp_path))}
    assert sorted(found) == list(range(40))
    assert found[0] == {
        "label": [0],
        "weight": [0.0],
        "flag": [0],
        "name": [b""],
        "image": [b"\xff\x00"],
        "tokens": [0, 1],
    }
    assert found[1]["tokens"] == found[2]["tokens"] == found[2]["weight"] == []
    assert (found[1]["flag"], found[1]["name"]) == ([1], ["é".encode()])


def test_categories_are_stored_as_their_text(tmp_path, generate, rows):
    _write(tmp_path / "a.parquet", {"kind": pa.array(["x", "y"] * 20).dictionary_encode(), "n": list(range(40))})
    assert {row["kind"][0] for row in rows(generate("parquet", tmp_path))} == {b"x", b"y"}


def test_cut_file_is_one_line(tmp_path, refused):
    _write(tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(content[:-20])
    assert "a.parquet: expected a whole Parquet file, got" in refused("parquet", tmp_path)


def test_other_file_is_one_line(tmp_path, refused):
    (tmp_path / "a.parquet").write_bytes(b"label,weight\n1,2\n")
    assert "a.parquet: expected a whole Parquet file, got" in refused("parquet", tmp_path)


def test_damage_in_the_middle_is_one_line(tmp_path, refused):
    _write(tmp_path / "a.parquet", {"text": [f"text {i} " * 50 for i in range(2000)]}, use_dictionary=False)
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    content[4:400] = b"\xff" * 396
    (tmp_path / "a.parquet").write_bytes(bytes(content))
    assert "a.parquet: expected a whole Parquet file, got" in refused("parquet", tmp_path)


def test_missing_file_is_one_line(tmp_path, refused):
    assert "expected files that match '*.parquet', got an empty folder" in refused("parquet", tmp_path)


@pytest.mark.parametrize("values", [[datetime.date(2020, 1, 1)], [{"a": 1}], [[[1]]]], ids=["date", "struct", "list_of_lists"])
def test_column_that_no_feature_can_hold_is_named(tmp_path, refused, values):
    _write(tmp_path / "a.parquet", {"when": values * 20})
    assert "a.parquet column 'when': expected integers, floats" in refused("parquet", tmp_path)


@pytest.mark.parametrize("values", [[[1, None]], [2**64 - 1]], ids=["null_in_list", "too_large"])
def test_value_that_no_feature_can_hold_is_one_line(tmp_path, refused, values):
    _write(tmp_path / "a.parquet", {"n": pa.array(values * 20, pa.uint64() if isinstance(values[0], int) else None)})
    assert "a.parquet row group 0: expected values that fit a feature" in refused("parquet", tmp_path)


def test_files_with_different_columns_are_refused(tmp_path, refused):
    _write(tmp_path / "a.parquet", {"n": [1] * 20})
    _write(tmp_path / "b.parquet", {"n": [1.5] * 20})
    assert "b.parquet: expected the columns of" in refused("parquet", tmp_path)
