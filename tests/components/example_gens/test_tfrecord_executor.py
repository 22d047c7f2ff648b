from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf

from components.example_gens.examples import image_example, serialized

RECORDS = [image_example(b"\xff%d" % number, number) for number in range(50)]


def _write(path: Path, records: list[bytes], compression: str = "") -> Path:
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in records:
            writer.write(record)
    return path


@pytest.mark.parametrize(("name", "compression"), [("data.tfrecord", ""), ("data.tfrecord.gz", "GZIP"), ("tfrecord", "GZIP")])
def test_examples_come_through_unchanged(tmp_path, generate, records, name, compression):
    _write(tmp_path / name, RECORDS, compression)
    examples = generate("tfrecord", tmp_path)
    assert sorted(records(examples, "train") + records(examples, "eval")) == sorted(RECORDS)


def test_split_does_not_depend_on_how_the_writer_ordered_features(tmp_path, generate, records):
    def of(names: list[str]) -> list[bytes]:
        feature = {name: tf.train.Feature(int64_list=tf.train.Int64List(value=[1])) for name in names}
        parts = [tf.train.Example(features=tf.train.Features(feature={name: feature[name]})) for name in names]
        # Concatenated messages merge, and the bytes keep the order of the parts.
        return [part.SerializeToString() for part in parts]

    for folder, names in (("ab", ["a", "b"]), ("ba", ["b", "a"])):
        (tmp_path / folder).mkdir()
        _write(tmp_path / folder / "tfrecord", [*RECORDS, b"".join(of(names))])
    one, other = generate("tfrecord", tmp_path / "ab"), generate("tfrecord", tmp_path / "ba")
    assert records(one, "train") == records(other, "train")
    assert records(one, "eval") == records(other, "eval")


@pytest.mark.parametrize("compression", ["", "GZIP"])
@pytest.mark.parametrize("keep", [0.3, 0.9, -1, -5])
def test_cut_file_is_one_line(tmp_path, refused, compression, keep):
    path = _write(tmp_path / "tfrecord", RECORDS, compression)
    content = path.read_bytes()
    path.write_bytes(content[: keep if keep < 0 else int(len(content) * keep)])
    assert "tfrecord: expected a whole TFRecord file, got damaged bytes or none after" in refused("tfrecord", tmp_path)


@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_flipped_byte_is_one_line(tmp_path, refused, compression):
    path = _write(tmp_path / "tfrecord", RECORDS, compression)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    assert "tfrecord: expected a whole TFRecord file" in refused("tfrecord", tmp_path)


def test_file_of_another_kind_is_one_line(tmp_path, refused):
    (tmp_path / "tfrecord").write_bytes(b"label,weight\n" + b"1,2\n" * 10)
    assert "got damaged bytes or none after 0 records" in refused("tfrecord", tmp_path)


def test_missing_file_is_one_line(tmp_path, refused):
    assert "expected files that match '*tfrecord*', got an empty folder" in refused("tfrecord", tmp_path)


SEQUENCE = tf.train.SequenceExample(
    context=tf.train.Features(feature={"a": tf.train.Feature(int64_list=tf.train.Int64List(value=[1]))}),
    feature_lists=tf.train.FeatureLists(feature_list={"b": tf.train.FeatureList(feature=[tf.train.Feature()])}),
).SerializeToString()


@pytest.mark.parametrize(
    ("record", "got"),
    [
        (b"\xff\xff\xff", "other bytes"),
        (SEQUENCE, "another protocol buffer"),
        (serialized(tf.train.Example()), "one without features"),
    ],
)
@pytest.mark.parametrize("position", [0, 30])
def test_record_that_is_no_example_is_named(tmp_path, refused, record, got, position):
    _write(tmp_path / "tfrecord", [*RECORDS[:position], record, *RECORDS[position:]])
    assert f"record {position}: expected a tf.Example, got {got}; write tf.train.Example" in refused("tfrecord", tmp_path)
