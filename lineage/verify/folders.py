"""The folders of served models: whether servers load these, and what is in them that a server may take for a version."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from errors import ConfigError
from lineage.questions import served
from lineage.questions.naming import Named
from lineage.questions.served import Version
from lineage.verify.report import ALTERED, SERVED, UNPROVEN, Finding
from serving import layout, models_config
from serving.server.versions import ignored

_ENTRY = "a directory with a whole SavedModel and a plain number as its name"
_REMOVE = "find out who put it there, and remove it"
_NAME_IT = "write this folder as the model's base_path there, and see what was served meanwhile"


def folders(serving_root: str, named: Sequence[Named], *, everything: bool = False) -> Iterator[Finding]:
    """Yields a finding per model that is served from elsewhere, and per entry that only looks like a version.

    Args:
      serving_root: see `Places`.
      named: the models that are verified; those that have no version are passed over.
      everything: all models that are there or that models.config names.
    """
    versions = [one.version for one in named if one.version is not None]
    names = {
        version.model for version in versions if os.path.dirname(version.path) == os.path.join(serving_root, version.model)
    }
    where = os.path.join(serving_root, models_config.FILE)
    try:
        listed = set(models_config.states(serving_root))
    except ConfigError as error:
        yield Finding(SERVED, models_config.FILE, ALTERED, "a file that tells what is served", str(error), _NAME_IT, where)
        listed = set()
    for name in sorted(names | (listed | set(served.names(serving_root)) if everything else set())):
        inside = [version for version in versions if version.model == name]
        yield from _elsewhere(serving_root, name, inside, where)
        yield from _entries(os.path.join(serving_root, name), {version.path for version in inside})


def why_no_version(path: str) -> str:
    """Returns why an entry of a model's folder is no version that servers of ours would load."""
    folder, name = os.path.split(path)
    return _no_versions(folder).get(name, "it cannot be read, or is no version")


def _elsewhere(serving_root: str, name: str, versions: Sequence[Version], where: str) -> Iterator[Finding]:
    folder, states = os.path.join(serving_root, name), {served.judged_elsewhere(version) for version in versions}
    try:
        got = served.elsewhere(Path(folder))
    except ConfigError:
        return  # which was told
    if got:
        state = ALTERED if ALTERED in states else UNPROVEN  # of a model that has no version here, nothing is known
        yield Finding(SERVED, f"folder that {name} is served from", state, folder, got, _NAME_IT, where)


def _entries(folder: str, told: set[str]) -> Iterator[Finding]:
    """What versions are told of already is passed over."""
    for name, reason in sorted(_no_versions(folder).items()):
        path = os.path.join(folder, name)
        if path not in told:
            subject = f"entry {os.path.basename(folder)}/{name}"
            yield Finding(SERVED, subject, ALTERED, _ENTRY, f"{reason}; TensorFlow Serving may load it", _REMOVE, path)


def _no_versions(folder: str) -> dict[str, str]:
    """Entries with a number as their name -> why they are no version."""
    if not os.path.isdir(folder):
        return {}
    unreadable: list[int] = []
    found = layout.versions(folder, lambda number, _: unreadable.append(number), half_copied=True)
    whole = layout.versions(folder, lambda *_: None)
    half = {str(number): "its variables are missing" for number in set(found) - set(whole)}
    return ignored(Path(folder), found, unreadable) | half
