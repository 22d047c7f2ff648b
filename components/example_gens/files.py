"""Input files: which ones a pattern means, and their bytes (unzipped on the way)."""

from __future__ import annotations

import glob
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from errors import DataError

_CHUNK = 1 << 20
# Magic number and method "deflate", the only one (RFC 1952). Told by content, because browsers unzip downloads silently.
_GZIP = b"\x1f\x8b\x08"
# What gzip raises for a stream that is cut or damaged.
BROKEN_STREAM = (EOFError, zlib.error, gzip.BadGzipFile)


def find(base: str, pattern: str) -> dict[str, int]:
    """Returns path and size in bytes of the files that match, sorted by path; dot files (`._a.csv`) do not count.

    If nothing does, `base` itself may name the files, with or without wildcards: `data/penguins.csv`, `data/part-*.csv`.
    """
    base = _literal(base)
    return _matching(FileSystems.join(base, pattern)) or _matching(base)


def _literal(base: str) -> str:
    """Returns `base` so that no part of it that exists under its very name is taken for a wildcard: `data [1]`, say."""
    if "://" in base:
        return base
    existing, rest = base, ""
    while existing and not os.path.lexists(existing):
        existing, _, last = existing.rpartition(os.sep)
        rest = os.sep + last + rest
    return glob.escape(existing) + rest if existing or base.startswith(os.sep) else base


def _matching(pattern: str) -> dict[str, int]:
    [result] = FileSystems.match([pattern])
    sizes = {file.path: file.size_in_bytes for file in result.metadata_list}
    return {path: sizes[path] for path in sorted(sizes) if not _hidden(path) and not os.path.isdir(path)}


def _hidden(path: str) -> bool:
    return os.path.basename(path).startswith(".")


def require(base: str, pattern: str) -> dict[str, int]:
    """As `find`, for at least one file, none empty, and all readable.

    Raises:
      DataError: there is no such folder, nothing in it matches, or a file has no bytes, cannot be read or leads nowhere.
    """
    found = find(base, pattern)
    if broken := _broken_links(base, pattern):
        raise DataError(f"{broken[0]}: expected a file, got a link to nothing; remove it or put back what it leads to")
    if not found:
        raise DataError(_why_nothing(base, pattern))
    for path, size in found.items():
        if not size:
            raise DataError(f"{path}: expected data, got an empty file; remove it or write it again")
        _check_readable(path)
    return found


def _broken_links(base: str, pattern: str) -> list[str]:
    """Beam passes over them in silence, and examples would be missing."""
    literal = _literal(base)
    paths = glob.glob(os.path.join(literal, pattern)) or glob.glob(literal)
    return sorted(path for path in paths if not os.path.exists(path) and not _hidden(path))


def _check_readable(path: str) -> None:
    try:
        with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            file.read(1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"{path}: expected a file to read, got {reason!r}; give it to whoever runs this") from error


def _why_nothing(base: str, pattern: str) -> str:
    there = [os.path.relpath(path, base) for path in _matching(FileSystems.join(_literal(base), "*"))]
    if there:
        shown = ", ".join(there[:5]) + (", ..." if len(there) > 5 else "")
        return f"{base}: expected files that match {pattern!r}, got only {shown}; set data.path, or patterns in data.splits"
    if "://" in base or os.path.isdir(base):
        return f"{base}: expected files that match {pattern!r}, got an empty folder; put the data there or set data.path"
    return f"{base}: expected a folder or files, got nothing there; set data.path"


@contextmanager
def opened(path: str) -> Iterator[IO[bytes]]:
    """Opens a file for reading, unzipping it if its content is gzip."""
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as raw:
        zipped = raw.read(len(_GZIP)) == _GZIP
        raw.seek(0)
        if zipped:
            with gzip.GzipFile(fileobj=raw) as unzipped, io.BufferedReader(unzipped, _CHUNK) as buffered:
                yield buffered
        else:
            yield raw
