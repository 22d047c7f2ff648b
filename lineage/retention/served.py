"""The versions on the disk of serving directories, and the models in ML Metadata that they are."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lineage.digests import tree_digest
from lineage.graph import Artifact, Graph
from serving import layout, models_config

_STATEMENT = ".intoto.jsonl"


@dataclass(frozen=True)
class Version:
    """A complete version.

    Attributes:
      model: name of its model.
      number: the version.
      path: its directory.
      pushed: ids of the PushedModels that put it there, or found it there; none if nobody pushed it from here.
      models: ids of the Models that it is.
      live: whether a request that names no version gets it.
      labels: that it has.
      listed: whether models.config lists it.
      signed: whether a statement lies beside it.
    """

    model: str
    number: int
    path: str
    pushed: tuple[int, ...]
    models: tuple[int, ...]
    live: bool
    labels: tuple[str, ...]
    listed: bool
    signed: bool

    @property
    def state(self) -> str:
        """What it is, in a word or two."""
        words = ["live"] if self.live else []
        words += [f"labelled {label}" for label in self.labels]
        words += ["listed"] if self.listed and not words else []
        return ", ".join(words) or ("signed" if self.signed else "on the disk")


def model_directories(serving_root: str | os.PathLike[str], graph: Graph) -> list[str]:
    """Returns the models' directories: those in the serving root, and those that ML Metadata says were pushed to."""
    root = Path(serving_root)
    here = [path for path in root.iterdir() if _has_versions(path)] if root.is_dir() else []
    named = (Path(str(one.properties["pushed_destination"])).parent for one in _pushed(graph))
    found = {os.path.realpath(path) for path in (*here, *named) if path.is_dir() and not path.name.startswith(".")}
    return sorted(found)


def versions(serving_root: str | os.PathLike[str], graph: Graph) -> list[Version]:
    """Returns every complete version, and half a copied one too.

    Raises:
      ConfigError: a models.config cannot be read.
      OSError: a version cannot be looked at.
    """
    pushed = _pushed(graph)
    return [
        _version(Path(folder), number, pushed)
        for folder in model_directories(serving_root, graph)
        for number in layout.versions(folder, half_copied=True)
    ]


def _has_versions(folder: Path) -> bool:
    return folder.is_dir() and any(entry.name.isdecimal() for entry in folder.iterdir())


def _pushed(graph: Graph) -> list[Artifact]:
    return [one for one in graph.of_type("PushedModel") if one.properties.get("pushed_destination")]


def _version(folder: Path, number: int, pushed: Iterable[Artifact]) -> Version:
    now = layout.serving(folder)
    held = now.state if isinstance(now.state, models_config.Held) else None
    path = folder / str(number)
    same = [one for one in pushed if _is(one, path)] or _alike(path, pushed)
    models = {int(one.properties["model_id"]) for one in same if "model_id" in one.properties}
    return Version(
        model=folder.name,
        number=number,
        path=str(path),
        pushed=tuple(one.id for one in same),
        models=tuple(sorted(models)),
        live=now.live == number,
        labels=tuple(sorted(label for label, labelled in (held.labels if held else {}).items() if labelled == number)),
        listed=held is not None and number in held.versions,
        signed=(folder / f"{number}{_STATEMENT}").is_file(),
    )


def _alike(path: Path, pushed: Iterable[Artifact]) -> list[Artifact]:
    try:
        digest = tree_digest(path)
    except ValueError:  # a symbolic link, which nobody of ours pushed
        return []
    return [one for one in pushed if one.digest == digest]


def _is(pushed: Artifact, path: Path) -> bool:
    """The same place, or the same version of a model of this name: the serving directory may have been moved."""
    return Path(str(pushed.properties["pushed_destination"])).parts[-2:] == path.parts[-2:]
