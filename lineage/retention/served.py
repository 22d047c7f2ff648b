"""The versions on the disk of serving directories, and the models in ML Metadata that they are: what must not be removed.

`questions.served` tells of the same to people, also of versions that are gone, and goes on where a file cannot be read. Here
that is an error, half a copied version counts, and so do serving directories elsewhere that were pushed to.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lineage.digests import tree_digest
from lineage.graph import PUSHED_MODEL, Artifact, Graph
from lineage.questions.served import place
from serving import layout, models_config, statements


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

    @property
    def why(self) -> str:
        """Why what it was made from stays."""
        return f"{self.model}/{self.number} is {self.state}"


def model_directories(serving_root: str | os.PathLike[str], graph: Graph) -> list[str]:
    """Returns the models' directories: those in the serving root, and those that ML Metadata says were pushed to."""
    root = Path(serving_root)
    here = [path for path in root.iterdir() if _has_versions(path)] if root.is_dir() else []
    named = (Path(folder) for one in pushes(graph) if (folder := folder_of(one)))
    return _real((*here, *named))


def versions(serving_root: str | os.PathLike[str], graph: Graph) -> list[Version]:
    """Returns every complete version, and half a copied one too.

    Raises:
      ConfigError: a models.config cannot be read.
      OSError: a version cannot be looked at.
    """
    return [
        _version(Path(folder), number, graph)
        for folder in _real(map(Path, (*model_directories(serving_root, graph), *_loaded_from(serving_root))))
        for number in layout.versions(folder, half_copied=True)
    ]


def pushes(graph: Graph) -> list[Artifact]:
    """Returns the PushedModels that tell where they went, or at least that they went somewhere."""
    facts = ("pushed_destination", "pushed")
    return [one for one in graph.of_type(PUSHED_MODEL) if any(one.properties.get(fact) for fact in facts)]


def folder_of(pushed: Artifact) -> str:
    """Returns the model's folder that something was pushed to; empty if nobody can tell: a relative one is relative to what?"""
    destination = str(pushed.properties.get("pushed_destination", ""))
    return os.path.dirname(os.path.abspath(destination)) if os.path.isabs(destination) else ""


def _has_versions(folder: Path) -> bool:
    return folder.is_dir() and any(entry.name.isdecimal() for entry in folder.iterdir())


def _loaded_from(serving_root: str | os.PathLike[str]) -> list[str]:
    """The folders that models.config has servers load models from; on this machine they need not be there."""
    listed = (models_config.base_path(serving_root, name) or "" for name in models_config.states(serving_root))
    return [path for path in listed if os.path.isabs(path)]


def _real(folders: Iterable[Path]) -> list[str]:
    return sorted({os.path.realpath(path) for path in folders if path.is_dir() and not path.name.startswith(".")})


def _version(folder: Path, number: int, graph: Graph) -> Version:
    now = layout.serving(folder)
    held = now.state if isinstance(now.state, models_config.Held) else None
    path = folder / str(number)
    pushed = pushes(graph)
    # The same version of a model of this name, wherever: the serving directory may have been moved.
    same = [one for one in pushed if place(one) == (folder.name, number)] or _alike(path, pushed)
    models = {model for one in same if (model := graph.model_of(one.id)) is not None}
    return Version(
        model=folder.name,
        number=number,
        path=str(path),
        pushed=tuple(one.id for one in same),
        models=tuple(sorted(models)),
        live=now.live == number,
        labels=tuple(sorted(label for label, labelled in (held.labels if held else {}).items() if labelled == number)),
        listed=held is not None and number in held.versions,
        signed=statements.path(folder, number).is_file(),
    )


def _alike(path: Path, pushed: Iterable[Artifact]) -> list[Artifact]:
    try:
        digest = tree_digest(path)
    except ValueError:  # a symbolic link, which nobody of ours pushed
        return []
    return [one for one in pushed if one.digest == digest]
