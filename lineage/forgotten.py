"""Who is to be left out, without saying who: keyed hashes of client ids.

    {pipeline root}/.clients/key                 32 random bytes that only their owner may read
    {pipeline root}/.clients/{pipeline}.jsonl    an entry of `lineage.audit_log` for each forgotten client of a pipeline

The hash is HMAC-SHA256 (RFC 2104) under that key of pipeline and id: without the key nobody can try ids on it, and one person
has another hash in each pipeline. Whoever holds the key can, so it is neither an anonymous id nor for anybody else to see.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from errors import ConfigError, IntegrityError
from lineage import audit_log
from lineage.durable import sync_directory
from lineage.locking import locked

FOLDER = ".clients"
EVENT = "forget"
LOG = "audit.jsonl"
TALLY = "forgotten"
"""Fact of `run_started`: how many entries the list had, and their digest."""
_KEY = "key"
_KEY_BYTES = 32
_OWN = b"the key itself"  # no client of any pipeline: a pipeline's name is not empty


@dataclass(frozen=True)
class Omission:
    """What a node is told of whom to leave out; it can be written into ML Metadata.

    Attributes:
      root: the pipeline root, on a file system that all workers share.
      pipeline: whose list.
      features: of the examples, whose values were the forgotten clients' ids; whichever an example has counts.
      count: how many entries of the list count: it may grow while the node runs.
      digest: hex sha256 over these, so that a cache notices another list.
    """

    root: str
    pipeline: str
    features: tuple[str, ...]
    count: int
    digest: str

    def as_text(self) -> str:
        """Returns it as `of` reads it."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def of(cls, text: str) -> Omission:
        """Reads what `as_text` wrote."""
        fields = json.loads(text)
        return cls(**{**fields, "features": tuple(fields["features"])})

    def check(self) -> Callable[[str], bool]:
        """Returns what tells of a client id whether it is to be left out.

        Raises:
          IntegrityError: the list, or its key, is not the one that the node was told of.
          ConfigError: others may read the key.
        """
        return _check(self)


def omission(root: str | os.PathLike[str], pipeline: str) -> Omission | None:
    """Returns whom a pipeline's nodes are to leave out; None if nobody was forgotten.

    The features are those that named the clients when they were forgotten: who divides the examples in another way later does
    not bring anybody back.

    Raises:
      IntegrityError: the list was altered, or lacks somebody whom the log of the root tells of.
    """
    told = entries(root, pipeline)
    _check_complete(root, pipeline, told, audit_log.read(Path(root, LOG)))
    features = tuple(sorted({str(entry.facts["feature"]) for entry in told}))
    return Omission(str(root), pipeline, features, len(told), _digest(told)) if told else None


def tally(root: str | os.PathLike[str], pipeline: str) -> dict[str, str | int]:
    """Returns how many entries a pipeline's list has and their digest, for the log of runs; nothing if nobody was forgotten.

    Raises:
      IntegrityError: the list was altered.
    """
    told = entries(root, pipeline)
    return {"count": len(told), "digest": _digest(told)} if told else {}


def check(root: str | os.PathLike[str], pipeline: str, log: Sequence[audit_log.Entry]) -> int:
    """Holds a pipeline's list against its key and the log of runs, and returns how many entries it has.

    Raises:
      IntegrityError: the list or its key was altered, or the list or the log lacks what the other tells.
      ConfigError: others may read the key.
      OSError: the list cannot be read.
    """
    told = entries(root, pipeline)
    _check_complete(root, pipeline, told, log)
    if told:
        _check_key(told, _name_of(read_key(root)), Path(root, FOLDER, _KEY))
    if missing := {entry.facts["client"] for entry in told} - _logged(pipeline, log):
        raise IntegrityError(
            f"{Path(root, LOG)}: expected a line for each of {len(told)} forgotten clients, got {len(missing)} fewer; put the"
            " log back from a copy, or forget them again, which writes the line."
        )
    return len(told)


def keyed_hash(key: bytes, pipeline: str, client: str) -> str:
    """Returns what stands for a client of a pipeline, in hex."""
    return hmac.digest(key, f"{pipeline}\0{client}".encode(errors="surrogateescape"), "sha256").hex()


def make_key(root: str | os.PathLike[str]) -> bytes:
    """Returns the key; made if there is none, and nobody was forgotten yet.

    Raises:
      IntegrityError: clients were forgotten with a key that is gone.
      ConfigError: others may read it.
    """
    folder = Path(root, FOLDER)
    folder.mkdir(mode=0o700, exist_ok=True)
    with locked(folder / ".lock"):
        if not (folder / _KEY).exists():
            if any(folder.glob("*.jsonl")):
                raise _lost(folder / _KEY, "no file")
            _write(folder / _KEY, secrets.token_bytes(_KEY_BYTES))
        return read_key(root)


def read_key(root: str | os.PathLike[str]) -> bytes:
    """Returns the key.

    Raises:
      IntegrityError: there is none.
      ConfigError: others may read it.
    """
    file = Path(root, FOLDER, _KEY)
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise _lost(file, error.strerror or "no file") from None
    with open(descriptor, "rb") as content:
        if os.fstat(content.fileno()).st_mode & 0o077:
            raise ConfigError(f"{file}: expected a key that only its owner may read, got one open to others; `chmod 600` it.")
        key = content.read()
    if len(key) != _KEY_BYTES:
        raise _lost(file, f"{len(key)} bytes")
    return key


def entries(root: str | os.PathLike[str], pipeline: str) -> list[audit_log.Entry]:
    """Returns a pipeline's list, oldest first; facts: `client`, the keyed hash, `feature`, which names it, `key`, to tell keys.

    Raises:
      IntegrityError: the list was altered.
    """
    return audit_log.read(_file(root, pipeline))


def pipelines(root: str | os.PathLike[str]) -> list[str]:
    """Returns the pipelines that have a list, sorted."""
    return sorted(file.stem for file in Path(root, FOLDER).glob("*.jsonl"))


def add(root: str | os.PathLike[str], pipeline: str, client: str, feature: str) -> bool:
    """Puts a client on a pipeline's list, by its keyed hash and the feature that names it; False if it is there already.

    Raises:
      IntegrityError: the list was altered, or goes with another key.
      BusyError: another process is at it for too long.
    """
    with locked(Path(root, FOLDER, f".{pipeline}.lock")):
        told, own = entries(root, pipeline), _name_of(read_key(root))
        _check_key(told, own, Path(root, FOLDER, _KEY))
        if any((entry.facts["client"], entry.facts["feature"]) == (client, feature) for entry in told):
            return False
        audit_log.append(_file(root, pipeline), EVENT, client=client, feature=feature, key=own)
    return True


@functools.lru_cache(maxsize=4)
def _check(omission: Omission) -> Callable[[str], bool]:
    told = entries(omission.root, omission.pipeline)[: omission.count]
    if _digest(told) != omission.digest:
        raise IntegrityError(
            f"{_file(omission.root, omission.pipeline)}: expected the {omission.count} forgotten clients that this run began"
            " with, found others; run again."
        )
    key = read_key(omission.root)
    _check_key(told, _name_of(key), Path(omission.root, FOLDER, _KEY))
    left_out = frozenset(str(entry.facts["client"]) for entry in told)
    return lambda client: keyed_hash(key, omission.pipeline, client) in left_out


def _check_complete(
    root: str | os.PathLike[str], pipeline: str, told: Sequence[audit_log.Entry], log: Sequence[audit_log.Entry]
) -> None:
    """A list that was removed, or cut off at its end, looks like one; the log that is for everybody to read knows better."""
    if missing := _logged(pipeline, log) - {entry.facts["client"] for entry in told}:
        raise IntegrityError(
            f"{_file(root, pipeline)}: expected all forgotten clients that {LOG} tells of, got {len(missing)} fewer; put"
            " the file back from a copy."
        )
    for entry in log:
        begun = entry.facts.get(TALLY) if entry.facts.get("pipeline") == pipeline else None
        if isinstance(begun, dict) and begun != {
            "count": (count := len(told[: int(begun["count"])])),
            "digest": _digest(told[:count]),
        }:
            raise IntegrityError(
                f"{_file(root, pipeline)}: expected the {begun['count']} forgotten clients that run {entry.facts.get('run')}"
                f" began with, got {count or 'none'}{' others' * (count == begun['count'])}; put the file back from a copy."
            )


def _logged(pipeline: str, log: Sequence[audit_log.Entry]) -> set[str]:
    """The clients that the log says were forgotten, by their keyed hashes."""
    told = (entry.facts for entry in log if entry.event == EVENT)
    return {str(facts.get("client")) for facts in told if facts.get("pipeline") == pipeline}


def _check_key(told: Sequence[audit_log.Entry], own: str, file: Path) -> None:
    if any(entry.facts["key"] != own for entry in told):
        raise _lost(file, "another")


def _name_of(key: bytes) -> str:
    """Tells one key from another, and nothing about it."""
    return hmac.digest(key, _OWN, "sha256").hex()[:16]


def _digest(told: Sequence[audit_log.Entry]) -> str:
    return hashlib.sha256("".join(f"{entry.facts['client']} {entry.facts['feature']}\n" for entry in told).encode()).hexdigest()


def _file(root: str | os.PathLike[str], pipeline: str) -> Path:
    return Path(root, FOLDER, f"{pipeline}.jsonl")


def _write(file: Path, content: bytes) -> None:
    part = file.with_name(f".{file.name}.part")
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as new:
        new.write(content)
        new.flush()
        os.fsync(new.fileno())
    part.replace(file)
    sync_directory(file.parent)


def _lost(file: Path, got: str) -> IntegrityError:
    return IntegrityError(
        f"{file}: expected the key that clients were forgotten with, got {got}; put it back from a copy: without it nobody can"
        " tell whom to leave out."
    )
