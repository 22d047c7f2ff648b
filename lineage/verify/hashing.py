"""Digests of files and directories, each file read once, with progress for who waits."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from lineage.digests import file_digest, tree_digest

_SILENT_SECONDS, _EVERY_SECONDS = 1.0, 0.2


class Hashes:
    """Remembers what it read; the files must not change meanwhile.

    Args:
      did: told of the bytes read so far, after every file.
    """

    def __init__(self, did: Callable[[int], None] = lambda total: None) -> None:
        self._did = did
        self._files: dict[str, str] = {}
        self._read = 0

    def file(self, path: str | os.PathLike[str]) -> str:
        """Returns `file_digest` of a file that is no link.

        Raises:
          OSError: it cannot be read.
          ValueError: it is no regular file.
        """
        name = os.path.abspath(path)
        if name not in self._files:
            self._files[name] = file_digest(name, follow=False)
            self._read += os.path.getsize(name)
            self._did(self._read)
        return self._files[name]

    def tree(self, folder: str | os.PathLike[str]) -> tuple[str, str]:
        """Returns `tree_digest` of a directory and an empty text, or an empty digest and why there is none."""
        try:
            return tree_digest(folder, self.file), ""
        except (OSError, ValueError) as error:
            return "", " ".join(str(error).split())


def written_since(folder: str, moment: float, at_most: int = 3) -> list[str]:
    """Returns files of a directory that were written after a moment (seconds since the epoch), relative to it, sorted."""
    found = []
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and path.stat().st_mtime > moment:
            found.append(path.relative_to(folder).as_posix())
    return [*found[:at_most], *(["..."] if len(found) > at_most else [])]


class Progress:
    """Says on stderr how much was read, once that takes longer; nothing if nobody sees it."""

    def __init__(self) -> None:
        self._began, self._said = time.monotonic(), 0.0
        self._shown = sys.stderr.isatty()

    def __call__(self, total: int) -> None:
        """Told of the bytes read so far."""
        now = time.monotonic()
        if self._shown and now - self._began > _SILENT_SECONDS and now - self._said > _EVERY_SECONDS:
            self._said = now
            print(f"\rhashed {total / 1e6:,.0f} MB", end="", file=sys.stderr, flush=True)

    def done(self) -> None:
        """Clears the line."""
        if self._said:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
