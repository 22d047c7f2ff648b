"""{root}/audit.jsonl: what was pushed, released and removed, and what was found that nobody had written down.

Events: `push`, `found` and `missing` of a version; the release commands, each with the state before and after; `found` with a
state, if models.config is not as the last entry left it. Every entry tells which version was live after it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lineage import audit_log
from lineage.audit_log import Entry
from lineage.digests import tree_digest
from serving.models_config import Held, State

FILE = "audit.jsonl"
PUSH, FOUND, MISSING, PRUNE = "push", "found", "missing", "prune"


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
        add(root, MISSING, model_name, now.live, version=version, digest=known[version])
    if _last_state(told) != as_facts(now.state):
        add(root, FOUND, model_name, now.live, after=as_facts(now.state))


def _known(told: list[Entry]) -> dict[int, str]:
    """Version -> digest of those that are there, as far as the log knows."""
    known: dict[int, str] = {}
    for entry in told:
        if entry.event == PRUNE:
            for removed in entry.facts["removed"]:
                known.pop(removed["version"], None)
        elif entry.event == MISSING:
            known.pop(entry.facts["version"], None)
        elif "version" in entry.facts and "digest" in entry.facts:
            known[entry.facts["version"]] = entry.facts["digest"]
    return known


def _last_state(told: list[Entry]) -> Mapping[str, Any]:
    return next((entry.facts["after"] for entry in reversed(told) if "after" in entry.facts), {"policy": "latest"})


def _digest(folder: Path) -> str:
    try:
        return tree_digest(folder)
    except (OSError, ValueError):  # gone meanwhile, or with a symbolic link in it
        return ""
