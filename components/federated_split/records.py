"""Reads TFRecord files, plain or gzipped, and refuses damaged ones.

tf.data is not used, because it silently drops the tail of a file that was cut on a record boundary or in a header.
"""

from __future__ import annotations

import functools
import io
import os
import struct
import zlib
from collections.abc import Iterator
from typing import Any, cast

import google_crc32c

from errors import DataError

_HEADER = struct.Struct("<QI")
_FOOTER_BYTES = 4
_MASK_DELTA = 0xA282EAD8
_CHUNK = 1 << 20
# Protocol buffers cannot be longer.
_MAX_RECORD = (1 << 31) - 1
# Headers already found right, by their bytes: records of one length share them. Bounded, as any file may come.
_MAX_KNOWN = 1 << 16


def read_records(path: str) -> Iterator[bytes]:
    """Yields the records of a TFRecord file, gzipped when its name ends in .gz; both checksums of each are verified.

    The format is described at https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details. Memory: a few
    MiB, or one record.

    Raises:
      DataError: the file is missing, cut inside a record or damaged; a plain file that is cut between two records is not
        recognised.
    """
    with _opened(path) as file:
        parts = iter(functools.partial(file.read, _CHUNK), b"")
        yield from _split(_unzipped(parts, path) if path.endswith(".gz") else parts, path)


def _opened(path: str) -> io.FileIO:
    try:
        return open(path, "rb", buffering=0)
    except FileNotFoundError:
        raise _missing(path) from None


def _unzipped(parts: Iterator[bytes], path: str) -> Iterator[bytes]:
    """Unzips a gzip stream of one or more members; in larger steps, and so faster, than the gzip module does."""
    member = _member()
    for part in parts:
        while part:
            if member.eof:
                member = _member()
            try:
                yield member.decompress(part, 4 * _CHUNK)
            except zlib.error as error:
                raise _damaged(path) from error
            part = member.unconsumed_tail or member.unused_data
    if not member.eof:
        raise _damaged(path)


def _member() -> Any:
    return zlib.decompressobj(wbits=31)  # 31: with a gzip header and trailer, whose checksum is verified.


def _split(parts: Iterator[bytes], path: str) -> Iterator[bytes]:
    """Cuts the stream into records. One look-up, one slice and one checksum per record: the hottest loop of the division."""
    known: dict[bytes, int] = {}
    checksum = google_crc32c.value
    buffer, at, wanted = b"", 0, _HEADER.size
    while (buffer := _filled(buffer, at, wanted, parts)) and len(buffer) >= wanted:
        at = 0
        while True:
            start = at + _HEADER.size
            header = buffer[at:start]
            length = known.get(header)
            if length is None:
                if len(header) < _HEADER.size:
                    wanted = _HEADER.size
                    break
                if len(known) >= _MAX_KNOWN:
                    known.clear()
                length = known[header] = _length(header, path)
            end = start + length
            footer = buffer[end : end + _FOOTER_BYTES]
            if len(footer) < _FOOTER_BYTES:
                wanted = _HEADER.size + length + _FOOTER_BYTES
                break
            record = buffer[start:end]
            crc = checksum(record)
            if (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF != int.from_bytes(footer, "little"):
                raise _damaged(path)
            yield record
            at = end + _FOOTER_BYTES
    if buffer:
        raise _damaged(path)


def _filled(buffer: bytes, at: int, wanted: int, parts: Iterator[bytes]) -> bytes:
    """Returns what is left of the buffer from `at`, with parts added until it is `wanted` bytes long or the parts end."""
    pieces = [buffer[at:]]
    missing = wanted - len(pieces[0])
    while missing > 0 and (part := next(parts, None)) is not None:
        pieces.append(part)
        missing -= len(part)
    return b"".join(pieces)


def _length(header: bytes, path: str) -> int:
    length, checksum = cast(tuple[int, int], _HEADER.unpack(header))
    if _masked_crc(header[:8]) != checksum or length > _MAX_RECORD:
        raise _damaged(path)
    return length


def _masked_crc(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def _damaged(path: str) -> DataError:
    return DataError(f"expected whole TFRecords in {path}, found a cut or damaged one; write the file again.")


def _missing(path: str) -> DataError:
    return DataError(f"expected TFRecords in {path}, found no such file; put it back or run ExampleGen again.")


def unzipped_size(path: str) -> int:
    """Returns about how many bytes the records of a file have, without reading it.

    A gzip file ends in the size of its last member modulo 4 GiB (RFC 1952, section 2.3.1): right for what TensorFlow and Beam
    write, an underestimate at worst, never below the size on disk.

    Raises:
      DataError: there is no such file.
    """
    try:
        size = os.path.getsize(path)
    except FileNotFoundError:
        raise _missing(path) from None
    if not path.endswith(".gz") or size < _FOOTER_BYTES:
        return size
    with open(path, "rb") as file:
        file.seek(-_FOOTER_BYTES, os.SEEK_END)
        return max(size, int.from_bytes(file.read(_FOOTER_BYTES), "little"))
