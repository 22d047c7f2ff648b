"""What may lie in a SavedModel's directory, from the directory alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from serving.layout import SAVED_MODEL

KERAS_METADATA = "keras_metadata.pb"
# Larger protocol buffers cannot be written by TensorFlow, and reading one takes a multiple of it.
_MAX_PROTO = 1 << 30
_MAX_SHOWN = 10


def problems(directory: Path) -> list[str]:
    """Returns why the directory is not a plain SavedModel: links, special files, no or too large a saved_model.pb."""
    strange = [path for path, mode in _entries(directory) if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)]
    found = [f"{path.relative_to(directory).as_posix()!r} is neither a file nor a directory" for path in strange[:_MAX_SHOWN]]
    if not (directory / SAVED_MODEL).is_file():
        return [*found, f"there is no {SAVED_MODEL}"]
    for name in (SAVED_MODEL, KERAS_METADATA):
        path = directory / name
        if path.is_file() and path.lstat().st_size > _MAX_PROTO:
            found.append(f"{name} is larger than {_MAX_PROTO >> 20} MiB")
    return found


def size(directory: Path) -> int:
    """Bytes of all files."""
    return sum(path.lstat().st_size for path, mode in _entries(directory) if stat.S_ISREG(mode))


def _entries(directory: Path) -> Iterator[tuple[Path, int]]:
    for folder, folders, names in os.walk(directory):
        for path in (Path(folder, name) for name in sorted([*folders, *names])):
            yield path, path.lstat().st_mode
