"""What a training that dies goes on from: one file per checkpoint, complete or not there, whose name holds its digest.

{state_dir}/checkpoints/{identity}/attempt-000040-3f2a....npz   arrays, and the facts as JSON in the array `facts`
                                   done                         empty: the training has ended; its last checkpoint is kept until
                                                                its model is published, because that may still fail
                                   key, noise_multiplier        of a training with privacy
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from errors import TrainingError
from lineage.durable import sync_directory

logger = logging.getLogger(__name__)
_NAME = re.compile(r"attempt-(\d{6,})-([0-9a-f]{64})\.npz")
_FACTS = "facts"
_DONE = "done"
_KEPT_SECONDS = 30 * 24 * 3600  # how long a training that died may be gone on with


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
        """Writes a checkpoint: under another name, synced, then renamed; then removes what is too old.

        Raises:
          TrainingError: the folder cannot be written to.
        """
        content = _packed(checkpoint)
        digest = hashlib.sha256(content).hexdigest()
        with writing("checkpoints", self.folder):
            make_private(self.folder)
            _write(self.folder / f"attempt-{checkpoint.number:06d}-{digest}.npz", content, f".{checkpoint.number}.tmp")
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

    def done(self) -> None:
        """Marks the training as ended, so that `sweep` may remove the folder.

        Raises:
          TrainingError: the folder cannot be written to.
        """
        kept(self.folder, _DONE, bytes)

    def _files(self) -> list[Path]:
        """Newest first."""
        found = [path for path in self.folder.glob("attempt-*.npz") if _NAME.fullmatch(path.name)]
        return sorted(found, key=_parsed, reverse=True)


def folder_of(state_dir: str | os.PathLike[str], identity: str) -> Path:
    """Returns the folder of the checkpoints of the training `identity`."""
    return Path(state_dir, "checkpoints", identity)


def sweep(state_dir: str | os.PathLike[str], keep: str | None = None) -> list[Path]:
    """Removes the folders of trainings that ended, and of those that died and that nobody went on with for 30 days.

    To be called when no training runs but `keep`, and no model of another one is still to be published.

    Args:
      state_dir: of the trainings.
      keep: the identity whose folder stays whatever is in it.

    Returns:
      The folders of other trainings that died; they can still be gone on with.
    """
    parent = folder_of(state_dir, "none").parent
    found = sorted(path for path in parent.glob("*") if path.is_dir() and path.name != keep)
    for gone in (path for path in found if path.name.endswith(".gone")):
        shutil.rmtree(gone, ignore_errors=True)
    died = [path for path in found if not path.name.endswith(".gone")]
    for path in died:
        if (path / _DONE).exists() or path.stat().st_mtime < time.time() - _KEPT_SECONDS:
            _remove(path)
    return [path for path in died if path.exists()]


def _remove(folder: Path) -> None:
    """Removes the folder and all in it; first its name, so that no part of it is ever found without the rest."""
    gone = folder.with_name(f".{folder.name}.gone")
    try:
        os.replace(folder, gone)
        sync_directory(folder.parent)
    except OSError as error:  # a pity, and no reason to stop a training
        logger.warning("the folder %s is not needed any more and cannot be removed: %s", folder, error)
    shutil.rmtree(gone, ignore_errors=True)


@contextlib.contextmanager
def writing(what: str, folder: str | os.PathLike[str]) -> Iterator[None]:
    """Turns what the operating system has against writing `what` to `folder` into one line.

    Raises:
      TrainingError: instead of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"the {what} in {os.fspath(folder)} cannot be written or read: {error.strerror or error}; expected a folder that is"
            " ours, with space left. Mend that and run it again."
        ) from error


def kept(folder: str | os.PathLike[str], name: str, make: Callable[[], bytes]) -> bytes:
    """Returns what is kept under `name` in a training's folder; if there is nothing yet, what `make` gives, kept from now on.

    It is on disk when this returns; nobody else may read it.

    Raises:
      TrainingError: the folder cannot be written to.
    """
    path = Path(folder, name)
    with writing("state of the training", folder):
        make_private(Path(folder))
        with contextlib.suppress(FileNotFoundError):
            return path.read_bytes()
        content = make()
        _write(path, content, f".{name}.tmp")
        return content


def secret(folder: str | os.PathLike[str]) -> bytes:
    """Returns 32 random bytes of the operating system, the same ones until the folder is removed."""
    return kept(folder, "key", lambda: os.urandom(32))


def _write(path: Path, content: bytes, temporary_name: str) -> None:
    """Writes a file, private and synced, that is there as a whole or not at all."""
    temporary = path.with_name(temporary_name)
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_directory(path.parent)


def make_private(folder: Path) -> None:
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
