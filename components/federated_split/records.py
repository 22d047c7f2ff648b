"""Reads TFRecord files, plain or gzipped, and refuses damaged ones.

tf.data is not used, because it silently drops the tail of a file that was cut on a record boundary or in a header.
"""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, cast

import google_crc32c

from errors import DataError

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")


def read_records(path: str) -> Iterator[bytes]:
    """Yields the records of a TFRecord file, gzipped when its name ends in .gz; both checksums of each are verified.

    The format is described at https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details.

    Raises:
      DataError: the file is cut or damaged.
    """
    try:
        with _open(path) as file:
            while header := file.read(_HEADER.size):
                yield _record(file, header, path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(path) from error


def _open(path: str) -> BinaryIO:
    if path.endswith(".gz"):
        # Three small reads per record: the C buffer in front makes them cheap.
        return cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, gzip.open(path)), 1 << 20))
    return open(path, "rb", buffering=1 << 20)


def _record(file: BinaryIO, header: bytes, path: str) -> bytes:
    if len(header) != _HEADER.size:
        raise _damaged(path)
    length, checksum = _HEADER.unpack(header)
    if _masked_crc(header[:8]) != checksum:
        raise _damaged(path)
    record = file.read(length)
    footer = file.read(_FOOTER.size)
    if len(footer) != _FOOTER.size or _masked_crc(record) != _FOOTER.unpack(footer)[0]:
        raise _damaged(path)
    return record


def _masked_crc(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _damaged(path: str) -> DataError:
    return DataError(f"expected whole TFRecords in {path}, found a cut or damaged one; write the file again.")
