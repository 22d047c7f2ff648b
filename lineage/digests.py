"""Content digests: of a file, of a directory tree, of the source code a result depends on."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

_CHUNK = 1 << 20
_ROOT = Path(__file__).parents[1]
_OURS = ("components", "lineage", "modeling", "pipeline", "serving", "errors.py", "local_runner.py")


def file_digest(path: str | os.PathLike[str], *, follow: bool = True) -> str:
    """Returns the hex sha256 of a file's bytes, read in chunks of 1 MiB.

    Raises:
      OSError: it cannot be read.
      ValueError: see `regular_file`.
    """
    sha = hashlib.sha256()
    with regular_file(path, follow=follow) as file:
        while chunk := file.read(_CHUNK):
            sha.update(chunk)
    return sha.hexdigest()


def regular_file(path: str | os.PathLike[str], *, follow: bool = False) -> BinaryIO:
    """Opens a file for reading and never waits: a pipe would hold us up for ever, and a device may do things when it is opened.

    Args:
      path: of the file.
      follow: whether it may be a symbolic link to one.

    Raises:
      OSError: it cannot be opened.
      ValueError: it is no regular file.
    """
    _check_regular(os.stat(path, follow_symlinks=follow), path)
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    file = open(os.open(path, flags), "rb")  # noqa: SIM115  # the caller closes it
    try:
        _check_regular(os.fstat(file.fileno()), path)  # it may be another one since
    except ValueError:
        file.close()
        raise
    return file


def _check_regular(about: os.stat_result, path: str | os.PathLike[str]) -> None:
    if not stat.S_ISREG(about.st_mode):
        raise ValueError(f"expected a regular file, got another kind: {os.fspath(path)} ({stat.filemode(about.st_mode)})")


def _plain_digest(path: Path) -> str:
    return file_digest(path, follow=False)


def tree_digest(root: str | os.PathLike[str], of_file: Callable[[Path], str] = _plain_digest) -> str:
    """Returns the hex sha256 over a directory's files: relative POSIX path and sha256 of each, sorted by path.

    Times, owners, modes and empty directories do not count. A symbolic link is an error, be it the root itself, because what
    it points to can change without the tree changing; links above the root are not looked at. What is neither a file nor a
    directory is one too, and never opened.

    Args:
      root: the directory.
      of_file: the hex sha256 of one file's bytes, for who knows it already.

    Raises:
      FileNotFoundError: `root` is not a directory.
      ValueError: the tree is or holds a symbolic link, or holds what is neither a regular file nor a directory.
    """
    base = Path(root)
    if base.is_symlink():
        raise ValueError(f"symbolic link in a digested tree: {base}")
    if not base.is_dir():
        raise FileNotFoundError(f"no directory to digest at {base}")
    sha = hashlib.sha256()
    for path in sorted(_files(base)):
        sha.update(f"{path}\0{of_file(base / path)}\n".encode(errors="surrogateescape"))
    return sha.hexdigest()


def _files(base: Path) -> Iterable[str]:
    for folder, folders, names in os.walk(base, onerror=_raise):
        for path in (Path(folder, name) for name in (*folders, *names)):
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                raise ValueError(f"symbolic link in a digested tree: {path}")
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise ValueError(f"neither a regular file nor a directory in a digested tree: {path} ({stat.filemode(mode)})")
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
