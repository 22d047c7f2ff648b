import gzip
import struct
from pathlib import Path

import google_crc32c
import pytest
import tensorflow as tf

from components.federated_split.records import read_records, unzipped_size
from errors import DataError

RECORDS = [b"", b"a", b"b" * 100_000, b"c" * 7, *(bytes([number]) * 1000 for number in range(100)), b"d" * 3_000_000, b"e"]


@pytest.fixture(params=["", ".gz"], ids=["plain", "gzipped"])
def path(request, tmp_path: Path) -> Path:
    path = tmp_path / f"data{request.param}"
    with tf.io.TFRecordWriter(str(path), "GZIP" if request.param else "") as writer:
        for record in RECORDS:
            writer.write(record)
    return path


def test_records_are_those_that_tensorflow_wrote(path: Path) -> None:
    assert list(read_records(str(path))) == RECORDS


@pytest.mark.parametrize("left", [3, 14, 60_000], ids=["header", "boundary of a checksum", "payload"])
def test_a_cut_record_is_refused(tmp_path: Path, path: Path, left: int) -> None:
    data = gzip.decompress(path.read_bytes()) if path.suffix else path.read_bytes()
    path.write_bytes(gzip.compress(data[:left]) if path.suffix else data[:left])
    with pytest.raises(DataError, match=path.name):
        list(read_records(str(path)))


def test_gzip_members_one_after_the_other_are_one_stream(path: Path) -> None:
    data = gzip.decompress(path.read_bytes()) if path.suffix else path.read_bytes()
    joined = path.with_name("joined.gz")
    joined.write_bytes(b"".join(gzip.compress(data[at : at + 70_000]) for at in range(0, len(data), 70_000)))
    assert list(read_records(str(joined))) == RECORDS


def test_size_is_told_without_reading(path: Path) -> None:
    whole = len(gzip.decompress(path.read_bytes())) if path.suffix else path.stat().st_size
    assert unzipped_size(str(path)) == whole


def test_a_length_that_no_record_can_have_is_refused(tmp_path: Path) -> None:
    length = struct.pack("<Q", 1 << 40)
    crc = google_crc32c.value(length)
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    path = tmp_path / "data"
    path.write_bytes(length + struct.pack("<I", masked) + b"x" * 100)
    with pytest.raises(DataError, match="found a cut or damaged one"):
        list(read_records(str(path)))


def test_a_gzip_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.gz"
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for record in RECORDS[:4]:
            writer.write(record)
    data = path.read_bytes()
    for length in range(1, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(DataError, match=path.name):
            list(read_records(str(path)))


def test_a_flipped_bit_is_refused(path: Path) -> None:
    data = bytearray(gzip.decompress(path.read_bytes()) if path.suffix else path.read_bytes())
    data[50_000] ^= 1
    path.write_bytes(gzip.compress(bytes(data)) if path.suffix else bytes(data))
    with pytest.raises(DataError, match=path.name):
        list(read_records(str(path)))
