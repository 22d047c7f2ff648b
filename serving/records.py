"""{root}/audit.jsonl: what was pushed, released and removed, and what was found that nobody had written down.

Events: `push`, `found` and `missing` of a version; the release commands, each with the state before and after; `found` with a
state, if models.config is not as the last entry left it; `altered` of a version that is served with other bytes than were
written down of it. Every entry tells which version was live after it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lineage import audit_log
from lineage.audit_log import Entry
from lineage.digests import tree_digest
from serving.models_config import Following, Held, State

FILE = "audit.jsonl"
PUSH, FOUND, MISSING, PRUNE, ALTERED = "push", "found", "missing", "prune", "altered"


@dataclass(frozen=True)
class Serving:
    """One model as it is: what models.config says of it, and its complete versions, rising."""

    state: State
    complete: tuple[int, ...]

    @property
    def live(self) -> int | None:
        """The version that a request gets which names none: the highest complete one of those that are served."""
        return max(served(self.state, self.complete), default=None)


def served(state: State, candidates: Collection[int]) -> list[int]:
    """Returns those of `candidates` that a state lets be served."""
    return [version for version in candidates if not isinstance(state, Held) or version in state.versions]


@dataclass(frozen=True)
class Altered:
    """A version that has other bytes than the log says. Digests are hex sha256 tree digests; `got` is empty if it has none."""

    version: int
    expected: str
    got: str


def in_service(now: Serving) -> list[int]:
    """Returns the complete versions that servers load, rising: those listed, or the newest that a model follows."""
    if isinstance(now.state, Following):
        return list(now.complete if now.state.newest is None else now.complete[-now.state.newest :])
    return served(now.state, now.complete)


def altered(root: str | os.PathLike[str], model_name: str, versions: Collection[int], told: Sequence[Entry]) -> list[Altered]:
    """Returns those of `versions` whose bytes are not those that the log tells of; not those that it does not know."""
    known = _known(told)
    checked = [
        (version, known[version][1], _digest(Path(root, model_name, str(version)))) for version in versions if version in known
    ]
    return [Altered(version, expected, got) for version, expected, got in checked if expected and expected != got]


def by_hand(versions: Collection[int], told: Sequence[Entry]) -> list[int]:
    """Returns those of `versions` that nobody pushed: the log holds the digest that they were found with, or none."""
    known = _known(told)
    return [version for version in versions if known.get(version, (FOUND, ""))[0] != PUSH]


def last_live(told: Sequence[Entry]) -> tuple[int, str] | None:
    """Returns the version that was live when one was for the last time, and its digest, empty if the log holds none."""
    version = next((entry.facts["live"] for entry in reversed(told) if entry.facts["live"] is not None), None)
    return None if version is None else (version, digest_of(version, told))


def digest_of(version: int, told: Sequence[Entry]) -> str:
    """Returns the digest that a version was last written down with, though it be gone; empty if there is none."""
    digests = (
        entry.facts["digest"] for entry in reversed(told) if entry.facts.get("version") == version and "digest" in entry.facts
    )
    return str(next(digests, ""))


def entries(root: str | os.PathLike[str], model_name: str) -> list[Entry]:
    """Returns the log's entries on one model, oldest first.

    Raises:
      IntegrityError: the log was altered.
    """
    return [entry for entry in audit_log.read(Path(root, FILE)) if entry.facts.get("model") == model_name]


def add(root: str | os.PathLike[str], event: str, model_name: str, live: int | None, **facts: Any) -> Entry:
    """Writes one entry on a model; `live` is the version that is live now."""
    return audit_log.append(Path(root, FILE), event, model=model_name, live=live, **facts)


def as_facts(state: State) -> dict[str, Any]:
    """Returns a state in the words of models.config."""
    if isinstance(state, Held):
        return {"policy": "specific", "versions": list(state.versions), "labels": dict(sorted(state.labels.items()))}
    if state.newest is None:
        return {"policy": "all"}
    return {"policy": "latest"} if state.newest == 1 else {"policy": "latest", "num_versions": state.newest}


def settle(root: str | os.PathLike[str], model_name: str, now: Serving) -> None:
    """Writes down what the log does not know yet: a process died before it could, or somebody worked by hand.

    The caller holds the model's lock.

    Raises:
      IntegrityError: the log was altered.
    """
    told = entries(root, model_name)
    known = _known(told)
    for version in sorted(set(now.complete) - set(known)):
        add(root, FOUND, model_name, now.live, version=version, digest=_digest(Path(root, model_name, str(version))))
    for version in sorted(set(known) - set(now.complete)):
        add(root, MISSING, model_name, now.live, version=version, digest=known[version][1])
    for bad in altered(root, model_name, in_service(now), told):
        facts = {"version": bad.version, "expected": bad.expected, "got": bad.got}
        if not any(entry.event == ALTERED and facts.items() <= entry.facts.items() for entry in told):
            add(root, ALTERED, model_name, now.live, **facts)
    if _last_state(told) != as_facts(now.state):
        add(root, FOUND, model_name, now.live, after=as_facts(now.state))


def _known(told: Sequence[Entry]) -> dict[int, tuple[str, str]]:
    """Version -> event and digest of those that are there, as far as the log knows."""
    known: dict[int, tuple[str, str]] = {}
    for entry in told:
        if entry.event == PRUNE:
            for removed in entry.facts["removed"]:
                known.pop(removed["version"], None)
        elif entry.event == MISSING:
            known.pop(entry.facts["version"], None)
        elif "version" in entry.facts and "digest" in entry.facts:
            known[entry.facts["version"]] = (entry.event, entry.facts["digest"])
    return known


def _last_state(told: list[Entry]) -> Mapping[str, Any]:
    return next((entry.facts["after"] for entry in reversed(told) if "after" in entry.facts), {"policy": "latest"})


def _digest(folder: Path) -> str:
    try:
        return tree_digest(folder)
    except (OSError, ValueError):  # gone meanwhile, or with a symbolic link in it
        return ""
