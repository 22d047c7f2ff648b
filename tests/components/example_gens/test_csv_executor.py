from __future__ import annotations

import csv
import gzip

import pytest
import tensorflow as tf
from tfx.components.example_gen.csv_example_gen.executor import Executor as TfxExecutor
from tfx.types import standard_artifacts

from components.example_gens import example_gen


def test_penguins_become_the_features_that_tfx_makes(test_data, tmp_path, generate, records):
    path = test_data / "penguins"
    splits = {"train": "penguins.csv", "eval": "penguins_cop*.csv"}
    for name in ("penguins.csv", "penguins_copy.csv"):
        (tmp_path / name).write_bytes((path / "penguins.csv").read_bytes())
    ours = generate("csv", tmp_path, splits)
    theirs = standard_artifacts.Examples()
    theirs.uri = str(tmp_path / "theirs")
    node = example_gen(data_format="csv", path=str(tmp_path), splits=splits, seed=1)
    TfxExecutor().Do({}, {"examples": [theirs]}, dict(node.exec_properties))
    assert len(records(ours, "train")) == 344
    assert sorted(map(_example, records(ours, "train"))) == sorted(map(_example, records(theirs, "train")))


def _example(record: bytes) -> str:
    return str(sorted((name, str(f)) for name, f in tf.train.Example.FromString(record).features.feature.items()))


def test_one_file_of_a_folder_can_be_split_by_hash(test_data, generate, rows):
    examples = generate("csv", test_data / "penguins" / "penguins.csv")
    with open(test_data / "penguins" / "penguins.csv", newline="") as file:
        species = sorted(row["species"].encode() for row in csv.DictReader(file))
    assert sorted(row["species"][0] for row in rows(examples)) == species


def test_quotes_blank_lines_byte_order_mark_and_missing_cells(tmp_path, generate, rows):
    text = 'name,size,note\n"a, b",1,"two\nlines"\n\nc,,"say ""hi"""\nd,2.5,\n' + "".join(f"x{i},1,n\n" for i in range(20))
    (tmp_path / "data.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    found = {row["name"][0]: row for row in rows(generate("csv", tmp_path))}
    assert found[b"a, b"] == {"name": [b"a, b"], "size": [1.0], "note": [b"two\nlines"]}
    assert found[b"c"] == {"name": [b"c"], "size": [], "note": [b'say "hi"']}
    assert found[b"d"]["size"] == [2.5]
    assert len(found) == 23


def test_gzipped_csv_is_read(tmp_path, generate, rows):
    (tmp_path / "data.csv").write_bytes(gzip.compress(b"n\n" + b"".join(b"%d\n" % i for i in range(30))))
    assert sorted(row["n"][0] for row in rows(generate("csv", tmp_path))) == list(range(30))


ROWS = b"".join(b"%d,x\n" % number for number in range(20))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "data.csv: expected data, got an empty file"),
        (b"\n", "data.csv line 1: expected a header"),
        (b"a,b\n", "data.csv: expected rows under the header, got none"),
        (b"a,b\n\n\n", "data.csv: expected rows under the header, got none"),
        (b"a,a\n1,2\n", "data.csv line 1: expected different column names, got 'a' twice"),
        (b"a,b\n1,2,3\n", "data.csv line 2: expected 2 fields as in the header, got 3"),
        (b"a,b\n" + ROWS + b"1\n" + ROWS, "data.csv line 22: expected 2 fields as in the header, got 1"),
        ("größe,b\n1,2\n".encode("latin-1"), "data.csv line 1: expected UTF-8, got byte 0xf6 at position 2"),
        (b"a,b\n" + ROWS + b"1,caf\xe9\n", "data.csv line 22: expected UTF-8, got byte 0xe9"),
        ("a,b\n1,2\n".encode("utf-16"), "data.csv line 1: expected UTF-8, got byte 0xff"),
        (b'a,b\n1,"2\n' + ROWS, "data.csv line 22: expected CSV, got unexpected end of data"),
        (b"a,b\n" + ROWS + b"1,\x00\n", "data.csv line 22: expected CSV, got line contains NUL"),
        (gzip.compress(b"a,b\n" + ROWS, mtime=0)[:-9], "data.csv: expected a whole gzip file"),
    ],
)
def test_bad_csv_is_one_line_with_the_place(tmp_path, refused, content, message):
    (tmp_path / "data.csv").write_bytes(content)
    assert message in refused("csv", tmp_path)


def test_files_with_different_headers_are_refused_also_across_splits(tmp_path, refused):
    (tmp_path / "a.csv").write_bytes(b"a,b\n" + ROWS)
    (tmp_path / "b.csv").write_bytes(b"a,c\n" + ROWS)
    expected = "b.csv: expected the header of"
    assert expected in refused("csv", tmp_path)
    assert expected in refused("csv", tmp_path, {"train": "a.csv", "eval": "b.csv"})
