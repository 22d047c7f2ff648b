"""Content digests: of a file, of a directory tree, of the source code a result depends on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

_CHUNK = 1 << 20
_ROOT = Path(__file__).parents[1]
_OURS = ("components", "lineage", "modeling", "pipeline", "serving", "errors.py", "local_runner.py")


def file_digest(path: str | os.PathLike[str]) -> str:
    """Returns the hex sha256 of a file's bytes, read in chunks of 1 MiB."""
    sha = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            sha.update(chunk)
    return sha.hexdigest()


def tree_digest(root: str | os.PathLike[str], of_file: Callable[[Path], str] = file_digest) -> str:
    """Returns the hex sha256 over a directory's files: relative POSIX path and sha256 of each, sorted by path.

    Times, owners, modes and empty directories do not count. A symbolic link is an error, because what it points to can change
    without the tree changing.

    Args:
      root: the directory.
      of_file: the hex sha256 of one file's bytes, for who knows it already.

    Raises:
      FileNotFoundError: `root` is not a directory.
      ValueError: the tree holds a symbolic link.
    """
    base = Path(root)
    if not base.is_dir():
        raise FileNotFoundError(f"no directory to digest at {base}")
    sha = hashlib.sha256()
    for path in sorted(_files(base)):
        sha.update(f"{path}\0{of_file(base / path)}\n".encode(errors="surrogateescape"))
    return sha.hexdigest()


def _files(base: Path) -> Iterable[str]:
    for folder, folders, names in os.walk(base, onerror=_raise):
        for path in (Path(folder, name) for name in (*folders, *names)):
            if path.is_symlink():
                raise ValueError(f"symbolic link in a digested tree: {path}")
        yield from (Path(folder, name).relative_to(base).as_posix() for name in names)


def _raise(error: OSError) -> None:
    """os.walk would leave out a folder that cannot be read."""
    raise error


def code_digest(*places: str | os.PathLike[str]) -> str:
    """Returns the first 16 hex digits of the sha256 over the Python sources of files and packages (searched recursively).

    Own components carry it as their `code_version` parameter: TFX's cache key holds an executor's class path but not its
    code, so without it a cached result would survive an edit.
    """
    sha = hashlib.sha256()
    for place in sorted(Path(p) for p in places):
        sources = [place] if place.is_file() else sorted(place.rglob("*.py"))
        if not sources:
            raise FileNotFoundError(f"no Python source at {place}")
        for source in sources:
            relative = source.name if source == place else source.relative_to(place).as_posix()
            sha.update(f"{place.name}/{relative}\0{file_digest(source)}\n".encode())
    return sha.hexdigest()[:16]


def own_code_digest() -> str:
    """Returns `code_digest` of all our sources: what is recorded with every run as `code_version`."""
    return code_digest(*(_ROOT / name for name in _OURS if (_ROOT / name).exists()))
