"""What input files hold, without Beam: what they mean to the cache, and to who looks later whether they are still those."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
from collections.abc import Iterable, Iterator

_CHUNK = 1 << 20


def fingerprint(base: str, paths: Iterable[str]) -> str:
    """Returns the hex sha256 over (path relative to `base`, size in bytes, sha256 of the bytes) of each file, sorted by path.

    Times, owners and modes do not count, so `touch` changes nothing and one changed byte does. A file that cannot be read
    counts as such, because a driver must not fail.
    """
    sha = hashlib.sha256()
    for path in sorted(set(paths)):
        try:
            size, digest = _content(path)
        except OSError:
            size, digest = -1, "unreadable"
        sha.update(f"{os.path.relpath(path, base)}\0{size}\0{digest}\n".encode())
    return sha.hexdigest()


def local_files(base: str, pattern: str) -> list[str]:
    """Returns the files on this machine that `files.find` finds; `**` in a pattern is not understood.

    If none match, `base` itself may name the files.
    """
    return sorted(_matching(base, pattern.split("/"))) or sorted(_matching(*os.path.split(base), literally=True))


def labels_beside(images: str) -> list[str]:
    """Returns the names that the labels file of an IDX images file may have, the one that is zipped as it is first."""
    folder, name = os.path.split(images)
    labels, changed = re.subn(r"images(.)idx3", r"labels\1idx1", name)
    if not changed:
        return []
    other = labels[:-3] if labels.endswith(".gz") else labels + ".gz"
    return [os.path.join(folder, candidate) for candidate in (labels, other)]


def _matching(folder: str, parts: list[str] | str, *, literally: bool = False) -> Iterator[str]:
    if isinstance(parts, str):
        parts = [parts]
    first, *rest = parts
    names = sorted(os.listdir(folder or ".")) if os.path.isdir(folder or ".") else []
    exact = literally and first in names  # a name that is there is no pattern
    for name in names:
        path = os.path.join(folder, name)
        if name != first if exact else not fnmatch.fnmatchcase(name, first):
            continue
        if rest:
            yield from _matching(path, rest)
        elif not name.startswith(".") and not os.path.isdir(path) and os.path.exists(path):
            yield path


def _content(path: str) -> tuple[int, str]:
    sha, size = hashlib.sha256(), 0
    for chunk in _chunks(path):
        sha.update(chunk)
        size += len(chunk)
    return size, sha.hexdigest()


def _chunks(path: str) -> Iterator[bytes]:
    if "://" in path:
        from apache_beam.io.filesystem import CompressionTypes
        from apache_beam.io.filesystems import FileSystems

        opened = FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    elif os.path.isfile(path):
        opened = open(path, "rb")  # noqa: SIM115  # closed below, as the other
    else:
        raise OSError(f"{path} is no regular file")  # reading a pipe would wait for ever
    with opened as raw:
        while chunk := raw.read(_CHUNK):
            yield chunk
