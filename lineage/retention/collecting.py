"""Removing what a plan says, so that a kill at any moment leaves what the next `gc` completes or takes back.

For each batch: its directories are hidden by a rename each; one entry in {root}/audit.jsonl tells what goes, and from then on
it goes; ML Metadata is told; the directories are removed. What was hidden and is in no entry comes back.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errors import ConfigError
from lineage import audit_log, locking, reading
from lineage.durable import sync_directory
from lineage.graph import Artifact, Graph
from lineage.places import Places
from lineage.retention import directories
from lineage.retention.served import model_directories
from lineage.retention.settling import EVENT, mark_deleted
from serving import models_config

_BATCH = 500
MODEL_SECONDS = 5.0


@dataclass(frozen=True)
class Removal:
    """What goes: artifacts that have a directory, those that have none any more, directories of nobody, and all their bytes."""

    artifacts: tuple[Artifact, ...]
    gone: tuple[Artifact, ...]
    orphans: tuple[Path, ...]
    sizes: Mapping[str, int]

    @property
    def bytes(self) -> int:
        """Returns how many bytes become free."""
        return sum(self.sizes.values())


@contextmanager
def held(places: Places) -> Iterator[None]:
    """Holds the pipeline root: no run and no other gc.

    Raises:
      BusyError: one is at work.
      ConfigError: there is no such root.
    """
    if not os.path.isdir(places.root):
        raise ConfigError(f"--pipeline-root: expected a folder of artifacts, got none at {places.root}; name the right one.")
    with locking.exclusive(places.root):
        yield


@contextmanager
def releases_held(places: Places, graph: Graph) -> Iterator[None]:
    """Holds every model's serving directory, so that what is live stays what it is.

    Raises:
      BusyError: a push or release is at work.
    """
    with ExitStack() as stack:
        for folder in model_directories(places.serving_root, graph):
            stack.enter_context(models_config.locked(folder, MODEL_SECONDS))
        yield


def collect(places: Places, removal: Removal, did: Callable[[str], None] = lambda step: None) -> None:
    """Removes all of it. The caller holds the root and the models.

    Args:
      places: root and store.
      removal: of `what_goes`.
      did: told of every step: `hidden`, `logged`, `marked`, `removed`.

    Raises:
      IntegrityError: the log was altered.
      FedtfxError: ML Metadata does not answer.
    """
    things: list[Artifact | Path] = [*removal.artifacts, *removal.orphans]
    for start in range(0, len(things), _BATCH):
        part = things[start : start + _BATCH]
        batch = secrets.token_hex(8)
        artifacts = [one for one in part if isinstance(one, Artifact)]
        loose = [one for one in part if isinstance(one, Path)]
        hidden = [
            directories.hide(Path(path), batch)
            for path in dict.fromkeys([*(one.uri for one in artifacts), *map(str, loose)])
            if os.path.isdir(path)  # two artifacts may have one directory
        ]
        for parent in {path.parent for path in hidden}:
            sync_directory(parent)
        did("hidden")
        audit_log.append(places.audit_log, EVENT, **_facts(places.root, batch, artifacts, loose, removal.sizes))
        did("logged")
        mark_deleted(places.metadata, [one.id for one in artifacts])
        did("marked")
        for path in hidden:
            directories.remove(path)
        did("removed")


def what_goes(root: str, planned: Sequence[Artifact], graph: Graph, kept: dict[int, str]) -> Removal:
    """Returns what of a plan can be removed; what must not be is added to `kept`, with the reason."""
    used = {os.path.realpath(graph.artifacts[one].uri) for one in kept}
    artifacts, gone = [], []
    for artifact in planned:
        reason = directories.why_not(root, artifact.uri, graph.producer(artifact.id))
        if not reason and os.path.realpath(artifact.uri) in used:
            reason = "an artifact that stays has the same directory"
        if reason:
            kept[artifact.id] = reason
        elif directories.is_there(artifact):
            artifacts.append(artifact)
        else:
            gone.append(artifact)
    loose = directories.orphans(root, graph)
    paths = [*(one.uri for one in artifacts), *map(str, loose)]
    return Removal(tuple(artifacts), tuple(gone), tuple(loose), {path: directories.size(path) for path in paths})


def graph_of(places: Places) -> Graph:
    """Returns all that ML Metadata knows."""
    with places.opened() as opened:
        return reading.everything(opened)


def _facts(
    root: str, batch: str, artifacts: Sequence[Artifact], loose: Sequence[Path], sizes: Mapping[str, int]
) -> dict[str, Any]:
    told = {
        str(one.id): {
            "type": one.type,
            "bytes": sizes[one.uri],
            "digest": one.digest,
            "path": directories.relative(root, one.uri),
        }
        for one in artifacts
    }
    return {
        "batch": batch,
        "artifacts": told,
        "directories": [directories.relative(root, path) for path in loose],
        "bytes": sum(sizes[one.uri] for one in artifacts) + sum(sizes[str(path)] for path in loose),
    }
