"""What a serving root holds: the versions of each model, which is live, and which PushedModel each one is, by its bytes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from errors import FedtfxError
from lineage import audit_log, reading
from lineage.audit_log import Entry
from lineage.digests import tree_digest
from lineage.graph import PUSHED_MODEL, Artifact
from lineage.jsonable import jsonable
from lineage.places import Places
from serving import layout, models_config, records, statements

PUSHED, BY_HAND, PRUNED, LOST = "pushed", "by hand", "pruned", "lost"
UNCHECKED, AS_PUSHED, ALTERED, UNPROVEN, GONE = "unchecked", "as pushed", "altered", "unproven", "gone"


@dataclass(frozen=True)
class Version:
    """A version of a served model, there or gone.

    Attributes:
      model: name under which it is served.
      number: the version.
      path: its directory.
      live: whether it answers requests that name no version.
      in_service: whether servers load it at all.
      labels: its labels, sorted.
      there: whether it is complete on the disk.
      how: `pushed`; `by hand`, if nobody pushed it; of what is not there any more `pruned` or `lost`.
      recorded: the tree digest that the log of releases or its push tells; empty without.
      digest: the tree digest of the bytes; empty while they are unchecked, and if they have none.
      bytes: `unchecked`; `as pushed`, `altered`, `unproven` (nothing to hold them against) or `gone` by `checked`.
      statement: file of its signed statement; None if there is none.
      pushes: PushedModel artifacts that tell of it, oldest first; by its place and digest, or else by its digest alone.
      elsewhere: the folder that models.config has the model served from, if it is not the one that this version is in, so that
        servers load something else; empty otherwise.
    """

    model: str
    number: int
    path: str
    live: bool
    in_service: bool
    labels: tuple[str, ...]
    there: bool
    how: str
    recorded: str
    digest: str
    bytes: str
    statement: str | None
    pushes: tuple[Artifact, ...] = ()
    elsewhere: str = ""

    @property
    def name(self) -> str:
        """`{model}/{version}`."""
        return f"{self.model}/{self.number}"

    def as_json(self) -> dict[str, Any]:
        """Returns the documented layout, without the pushes but for their ids."""
        facts = {key: value for key, value in vars(self).items() if key not in ("number", "pushes")}
        return jsonable({"version": self.number, **facts, "pushes": [pushed.id for pushed in self.pushes]})


@dataclass(frozen=True)
class Served:
    """A model's serving directory.

    Attributes:
      name: of the model.
      path: the directory.
      policy: as models.config has it: policy, versions, labels.
      live: the version that answers requests which name none; None if there is none.
      versions: all that are there, and those that are gone, rising.
      problem: why models.config or the log of releases cannot be read; empty if they can.
    """

    name: str
    path: str
    policy: dict[str, Any]
    live: int | None
    versions: tuple[Version, ...]
    problem: str = ""

    def version(self, number: int | None) -> Version | None:
        """Returns one of the versions."""
        return next((version for version in self.versions if version.number == number), None)

    def as_json(self) -> dict[str, Any]:
        """Returns the documented layout."""
        return {
            "name": self.name,
            "path": self.path,
            **self.policy,
            "live": self.live,
            "problem": self.problem,
            "versions": [version.as_json() for version in self.versions],
        }


def pushes(store: Any) -> list[Artifact]:
    """Returns the PushedModel artifacts of models that went into a serving directory, oldest first."""
    return [pushed for pushed in reading.of_type(store, PUSHED_MODEL) if pushed.properties.get("pushed") == 1]


def place(pushed: Artifact) -> tuple[str, int] | None:
    """Returns name and version that a PushedModel was pushed to, wherever its serving root was then; None if it does not tell.

    Stock TFX does: `pushed_destination` is the version's directory.
    """
    parts = str(pushed.properties.get("pushed_destination", "")).rstrip("/").rsplit("/", 2)
    return (parts[-2], int(parts[-1])) if len(parts) > 1 and parts[-1].isascii() and parts[-1].isdecimal() else None


def names(serving_root: str) -> list[str]:
    """Returns the models of a serving root: those with a version, and with a folder and an entry in models.config."""
    root = Path(serving_root)
    if not root.is_dir():
        return []
    folders = {path.name for path in root.iterdir() if path.is_dir() and layout.versions(path, lambda *_: None)}
    try:
        listed = set(models_config.states(root))
    except FedtfxError:
        listed = set()
    return sorted(folders | {name for name in listed if (root / name).is_dir()})


def all_models(places: Places, pushed: Sequence[Artifact]) -> list[Served]:
    """Returns every model of the serving root; see `model`."""
    return [model(places.serving_root, name, pushed) for name in names(places.serving_root)]


def lost_models(places: Places, pushed: Sequence[Artifact]) -> list[Served]:
    """Returns the models whose folder is gone altogether, though models.config, the log of releases or a push tells of them."""
    root = Path(places.serving_root)
    listed = _told([], lambda: set(models_config.states(root)), set())
    log = _told([], lambda: audit_log.read(root / records.FILE), [])
    logged = {str(entry.facts["model"]) for entry in log if "model" in entry.facts}
    into = {to[0] for one in pushed if (to := place(one)) and _into(root / to[0], one)}
    known = sorted((listed | logged | into) - set(names(places.serving_root)))
    return [model(places.serving_root, name, pushed) for name in known]


def model(serving_root: str, name: str, pushed: Sequence[Artifact]) -> Served:
    """Returns what a model's serving directory holds, by what was written down of it; no model is read.

    Args:
      serving_root: TF-Serving's base folder.
      name: of the model.
      pushed: all pushes; see `pushes`.
    """
    folder = Path(serving_root, name)
    problem: list[str] = []
    now = _told(problem, lambda: layout.serving(folder), records.Serving(models_config.Following(), ()))
    log = _told(problem, lambda: records.entries(serving_root, name), [])
    index = _Index(pushed)
    there = set(now.complete) | set(layout.versions(folder, lambda *_: None))
    numbers = there | {entry.facts["version"] for entry in log if isinstance(entry.facts.get("version"), int)}
    numbers |= {to[1] for one in pushed if _into(folder, one) and (to := place(one))}  # the log may be gone too
    numbers |= set(now.state.versions) if isinstance(now.state, models_config.Held) else set()
    base = _told(problem, lambda: elsewhere(folder), "")
    found = (_version(folder, number, now, log, index, number in there) for number in sorted(numbers))
    versions = tuple(replace(version, elsewhere=base) for version in found)
    return Served(name, str(folder), records.as_facts(now.state), now.live, versions, " ".join(problem))


def checked(version: Version, pushed: Sequence[Artifact]) -> Version:
    """Returns a version with the digest of its bytes, whether they are those that were pushed, and the pushes of such bytes.

    If they were altered, the pushes stay those of what should be there.
    """
    got = digest_of(version.path)
    if not version.there:
        return replace(version, bytes=GONE, digest=got)
    expected = version.recorded if version.how == PUSHED else ""
    if expected and got != expected:
        return replace(version, digest=got, bytes=ALTERED)
    by_bytes = _Index(pushed).matching(version.model, version.number, got) if got else ()
    same = any(one.digest == got for one in by_bytes)
    return replace(
        version, digest=got, bytes=AS_PUSHED if expected or same else UNPROVEN, pushes=by_bytes if same else version.pushes
    )


def elsewhere(folder: Path) -> str:
    """Returns the folder that models.config has a model served from, if it is not its own; else empty.

    Another name of the same folder is its own: the root may be mounted, or be reached through a link.

    Raises:
      ConfigError: models.config cannot be read.
    """
    base = models_config.base_path(folder.parent, folder.name)
    return "" if base is None or os.path.realpath(base) == os.path.realpath(folder) else base


def judged_elsewhere(version: Version) -> str:
    """Returns `altered` if servers load another folder of this machine than the one that a version is in, else empty.

    `unproven` if that folder is not on this machine, or is the one that the version was pushed to: then this is a copy.
    """
    if not version.elsewhere:
        return ""
    pushed_to = {os.path.dirname(str(one.properties.get("pushed_destination", ""))) for one in version.pushes}
    return ALTERED if os.path.isdir(version.elsewhere) and version.elsewhere not in pushed_to else UNPROVEN


def digest_of(folder: str) -> str:
    """Returns a folder's tree digest; empty if it has none, being gone, or being or holding what `tree_digest` refuses."""
    try:
        return tree_digest(folder)
    except (OSError, ValueError):
        return ""


class _Index:
    """Pushes by the place that they went to, and by the digest of what was pushed."""

    def __init__(self, pushed: Iterable[Artifact]) -> None:
        self.by_place: dict[tuple[str, int] | None, list[Artifact]] = {}
        self.by_digest: dict[str, list[Artifact]] = {}
        for one in pushed:
            self.by_place.setdefault(place(one), []).append(one)
            self.by_digest.setdefault(one.digest, []).append(one)

    def matching(self, name: str, number: int, digest: str) -> tuple[Artifact, ...]:
        """The pushes to a place, of these bytes if they have a digest; else those of these bytes to any other place."""
        here = [one for one in self.by_place.get((name, number), ()) if not digest or one.digest in ("", digest)]
        return tuple(here or (self.by_digest.get(digest, ()) if digest else ()))


def _told(problem: list[str], ask: Any, otherwise: Any) -> Any:
    try:
        return ask()
    except FedtfxError as error:
        if str(error) not in problem:
            problem.append(str(error))
        return otherwise


def _into(folder: Path, pushed: Artifact) -> bool:
    return os.path.dirname(str(pushed.properties.get("pushed_destination", ""))) == os.path.abspath(folder)


def _version(folder: Path, number: int, now: records.Serving, log: Sequence[Entry], pushed: _Index, there: bool) -> Version:
    path = folder / str(number)
    # A push's word before the log's: a log that was written anew tells the digests that it was begun with.
    here = pushed.by_place.get((folder.name, number), [])
    told = [one.digest for one in here if one.digest]
    recorded = told[-1] if told else records.digest_of(number, log)
    mine = pushed.matching(folder.name, number, recorded)
    statement = str(statements.path(folder, number))
    labels = now.state.labels if isinstance(now.state, models_config.Held) else {}
    return Version(
        model=folder.name,
        number=number,
        path=str(path),
        live=there and number == now.live,
        in_service=there and number in records.in_service(now),
        labels=tuple(sorted(label for label, labelled in labels.items() if labelled == number)),
        there=there,
        how=_how(number, log, here) if there else _why_gone(number, log),
        recorded=recorded,
        digest="",
        bytes=UNCHECKED if there else GONE,
        statement=statement if os.path.isfile(statement) else None,
        pushes=mine,
    )


def _how(number: int, log: Sequence[Entry], here: Sequence[Artifact]) -> str:
    """The log tells of a push, or ML Metadata does: a push may have died before it wrote into the log."""
    return PUSHED if here or number not in records.by_hand([number], log) else BY_HAND


def _why_gone(number: int, log: Sequence[Entry]) -> str:
    pruned = {removed["version"] for entry in log if entry.event == records.PRUNE for removed in entry.facts["removed"]}
    return PRUNED if number in pruned else LOST
