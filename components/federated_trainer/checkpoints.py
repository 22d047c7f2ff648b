"""What a training that dies goes on from: one file per checkpoint, complete or not there, whose name holds its digest.

{folder}/attempt-000040-3f2a....npz    arrays, and the facts as JSON in the array `facts`
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

logger = logging.getLogger(__name__)
_NAME = re.compile(r"attempt-(\d{6,})-([0-9a-f]{64})\.npz")
_FACTS = "facts"


@dataclass(frozen=True)
class Checkpoint:
    """State after `number` attempts at rounds: named arrays, and JSON-friendly facts."""

    number: int
    arrays: Mapping[str, np.ndarray]
    facts: Mapping[str, Any]


class Checkpoints:
    """The checkpoints of one training in `folder`, of which the newest `keep` are kept."""

    def __init__(self, folder: str | os.PathLike[str], keep: int) -> None:
        self.folder, self._keep = Path(folder), keep

    def save(self, checkpoint: Checkpoint) -> None:
        """Writes a checkpoint: under another name, synced, then renamed; then removes what is too old."""
        _make_private(self.folder)
        content = _packed(checkpoint)
        temporary = self.folder / f".{checkpoint.number}.tmp"
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        digest = hashlib.sha256(content).hexdigest()
        os.replace(temporary, self.folder / f"attempt-{checkpoint.number:06d}-{digest}.npz")
        _sync(self.folder)
        for path in self._files()[self._keep :]:
            path.unlink()

    def latest(self) -> Checkpoint | None:
        """Returns the newest checkpoint that is whole; one that is not is passed over with a warning."""
        for path in self._files():
            content = path.read_bytes()
            number, digest = _parsed(path)
            if hashlib.sha256(content).hexdigest() == digest:
                return _unpacked(number, content)
            logger.warning("checkpoint %s is not what was written; taking the one before", path.name)
        return None

    def clear(self) -> None:
        """Removes the folder and all in it; first its name, so that no part of it is ever found without the rest."""
        gone = self.folder.with_name(f".{self.folder.name}.gone")
        shutil.rmtree(gone, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            os.replace(self.folder, gone)
            _sync(self.folder.parent)
        shutil.rmtree(gone, ignore_errors=True)

    def _files(self) -> list[Path]:
        """Newest first."""
        found = [path for path in self.folder.glob("attempt-*.npz") if _NAME.fullmatch(path.name)]
        return sorted(found, key=_parsed, reverse=True)


def secret(folder: str | os.PathLike[str]) -> bytes:
    """Returns 32 random bytes of the operating system, the same ones until the folder is cleared; nobody else may read them."""
    path = Path(folder, "key")
    _make_private(Path(folder))
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    temporary = path.with_name(".key.tmp")
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(os.urandom(32))
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    _sync(Path(folder))
    return path.read_bytes()


def _make_private(folder: Path) -> None:
    """What is kept there tells of single clients: nobody else may look."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def _packed(checkpoint: Checkpoint) -> bytes:
    facts = np.frombuffer(json.dumps(dict(checkpoint.facts)).encode(), np.uint8)
    buffer = BytesIO()
    np.savez(buffer, **{_FACTS: facts}, **{f"array:{name}": array for name, array in checkpoint.arrays.items()})
    return buffer.getvalue()


def _unpacked(number: int, content: bytes) -> Checkpoint:
    with np.load(BytesIO(content), allow_pickle=False) as stored:
        facts = json.loads(stored[_FACTS].tobytes())
        arrays = {name.removeprefix("array:"): stored[name] for name in stored.files if name != _FACTS}
    return Checkpoint(number, arrays, facts)


def _parsed(path: Path) -> tuple[int, str]:
    found = _NAME.fullmatch(path.name)
    assert found is not None
    return int(found[1]), found[2]


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
