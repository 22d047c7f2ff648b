"""New pictures in a directory, each once it is completely written: what a webcam or a scanner leaves there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from errors import DataError

SUFFIXES = {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp"}
_POLL_SECONDS = 0.1
_SETTLED_POLLS = 3
# A file that does not end as its kind should is either still being written or has something after its end.
_GIVE_UP_POLLS = 50
_ENDS = {b"\x89PNG": b"IEND\xaeB`\x82", b"\xff\xd8\xff": b"\xff\xd9"}


@dataclass
class _Seen:
    """A file's size and time of change, and for how many looks they have been the same."""

    state: tuple[int, int]
    polls: int = 0
    reported: bool = False


def new_pictures(directory: Path, stop: threading.Event) -> Iterator[Path]:
    """The path of each picture that appears or is written anew, until `stop` is set.

    What is there when this is called is not new. Remembers only files that are there, so memory is bounded.
    """
    return _appearing(directory, {path: _Seen(state, reported=True) for path, state in _states(directory).items()}, stop)


def _appearing(directory: Path, seen: dict[Path, _Seen], stop: threading.Event) -> Iterator[Path]:
    while not stop.wait(_POLL_SECONDS):
        states = _states(directory)
        seen = {path: _next(seen.get(path), state) for path, state in states.items()}
        for path, file in seen.items():
            if not file.reported and file.polls >= _SETTLED_POLLS and (_is_whole(path) or file.polls >= _GIVE_UP_POLLS):
                file.reported = True
                yield path


def _next(before: _Seen | None, state: tuple[int, int]) -> _Seen:
    if before is None or before.state != state:
        return _Seen(state)
    before.polls += 1
    return before


def _states(directory: Path) -> dict[Path, tuple[int, int]]:
    states = {}
    try:
        paths = sorted(directory.iterdir())
    except OSError as error:
        raise DataError(f"cannot read {directory}: {error.strerror}; make it again and start anew.") from None
    for path in paths:
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            try:
                about = path.stat()
            except FileNotFoundError:
                continue
            if path.is_file():
                states[path] = (about.st_size, about.st_mtime_ns)
    return states


def _is_whole(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(4)
            file.seek(-min(path.stat().st_size, 64), 2)
            tail = file.read()
    except OSError:  # gone, or emptied, meanwhile
        return False
    end = next((end for magic, end in _ENDS.items() if start.startswith(magic)), None)
    return bool(start) and (end is None or end in tail)
