"""The IDX format of MNIST: images and labels in two files, big-endian headers, plain or gzipped.

Layout: two zero bytes, a type (0x08 is uint8), the number of dimensions, one uint32 per dimension, then the values. Source:
"The IDX file format", on the MNIST database's page by Y. LeCun, C. Cortes and C. Burges.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from typing import IO

import numpy as np
from apache_beam.io.filesystems import FileSystems

from components.example_gens import files
from components.example_gens.content import labels_beside
from errors import DataError

_TYPES = {0x08: "uint8", 0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
_UINT8 = 0x08
_CHUNK = 1 << 20


def existing_labels(images: str) -> list[str]:
    """Returns the labels files that lie beside an images file, the one that is zipped as it is first; may be empty."""
    return [path for path in labels_beside(images) if FileSystems.exists(path)]


def labels_of(images: str) -> str:
    """Returns the labels file of an images file: same name with `labels-idx1` for `images-idx3`, with or without .gz.

    Raises:
      DataError: the name does not hold `images-idx3`, or there is no such labels file.
    """
    if found := existing_labels(images):
        return found[0]
    if not re.search(r"images.idx3", os.path.basename(images)):
        raise DataError(f"{images}: expected a name with 'images-idx3', to find the labels by; rename it or set data.splits")
    raise DataError(f"{images}: expected a labels file beside it ('labels-idx1' for 'images-idx3'), got none; put it there")


def check_pair(images: str) -> None:
    """Reads an images file and its labels file to their ends.

    Raises:
      DataError: a header is wrong, a file is cut or too long, or there are more labels than images or fewer.
    """
    labels = labels_of(images)
    counts = [_check_size(images, 3), _check_size(labels, 1)]
    if counts[0] != counts[1]:
        raise DataError(f"{labels}: expected {counts[0]} labels, as many as images, got {counts[1]}; get both files again")


def count_images(images: str) -> int:
    """Returns the number of images that an images file's header announces."""
    with files.opened(images) as file:
        return _read_shape(file, images, 3)[0]


def _check_size(path: str, rank: int) -> int:
    """Returns the count in the header after comparing the values' bytes with what it announces."""
    with files.opened(path) as file:
        shape = _read_shape(file, path, rank)
        expected = int(np.prod(shape, dtype=np.int64))
        try:
            got = sum(len(chunk) for chunk in iter(lambda: file.read(_CHUNK), b""))
        except files.BROKEN_STREAM as error:
            raise DataError(f"{path}: expected a whole gzip file, got {error}; get the file again") from error
    if got != expected:
        raise DataError(f"{path}: expected {expected} bytes after the header for shape {shape}, got {got}; get the file again")
    return shape[0]


def read_range(images: str, start: int, count: int) -> Iterator[tuple[np.ndarray, int]]:
    """Yields (uint8 [height, width], label) of `count` images from the `start`-th on, in the order of the file.

    Raises:
      DataError: a header is wrong. Sizes are not checked again; see `check_pair`.
    """
    labels_path = labels_of(images)
    with files.opened(labels_path) as file:
        offset = start + _skip_header(file, labels_path, 1)
        file.seek(offset)
        labels = file.read(count)
    with files.opened(images) as file:
        _, height, width = _read_shape(file, images, 3)
        file.seek(file.tell() + start * height * width)
        for label in labels:
            yield np.frombuffer(file.read(height * width), np.uint8).reshape(height, width), label


def _skip_header(file: IO[bytes], path: str, rank: int) -> int:
    _read_shape(file, path, rank)
    return file.tell()


def _read_shape(file: IO[bytes], path: str, rank: int) -> list[int]:
    """Reads the header and returns the dimensions."""
    size = 4 + 4 * rank
    try:
        head = file.read(size)
    except files.BROKEN_STREAM as error:
        raise DataError(f"{path}: expected a whole gzip file, got {error}; get the file again") from error
    if len(head) < size:
        raise DataError(f"{path}: expected an IDX header of {size} bytes, got a file of {len(head)}; get the file again")
    zeros, kind, got = struct.unpack(">HBB", head[:4])
    if zeros or kind not in _TYPES or got != rank:
        raise DataError(
            f"{path}: expected IDX magic 0x{_UINT8:06x}{rank:02x}, got 0x{head[:4].hex()}; is it an IDX{rank} file?"
        )
    if kind != _UINT8:
        raise DataError(f"{path}: expected IDX values of type uint8, got {_TYPES[kind]}; convert them to 0..255")
    return list(struct.unpack(f">{rank}I", head[4:]))
