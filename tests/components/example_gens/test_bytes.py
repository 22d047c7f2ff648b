"""Equal examples are equal bytes, whatever order the input has its columns in: sides and order of examples hang on it."""

from __future__ import annotations

import csv

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

NAMES = [f"column {letter}" for letter in "hcadgebf"]


def write_csv(path, names) -> None:
    with open(path / "a.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, *([row * 10 + NAMES.index(name) for name in names] for row in range(40))])


def write_parquet(path, names) -> None:
    columns = {name: [row * 10 + NAMES.index(name) for row in range(40)] for name in names}
    pq.write_table(pa.table(columns), path / "a.parquet")


@pytest.mark.slow
@pytest.mark.parametrize(("data_format", "write"), [("csv", write_csv), ("parquet", write_parquet)], ids=["csv", "parquet"])
def test_the_order_of_columns_does_not_show_in_the_bytes(data_format, write, tmp_path, generate, records) -> None:
    found = []
    for number, names in enumerate((NAMES, NAMES[::-1], sorted(NAMES))):
        folder = tmp_path / str(number)
        folder.mkdir()
        write(folder, names)
        found.append(records(generate(data_format, folder), "train"))
    assert found[0] == found[1] == found[2]


def test_features_of_an_image_are_in_the_order_of_their_names(generate, records) -> None:
    for record in records(generate("digits"), "eval"):
        assert record == tf.train.Example.FromString(record).SerializeToString(deterministic=True)
