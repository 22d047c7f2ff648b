"""What a MODEL on the command line means: a path, NAME, NAME/VERSION, VERSION, id:N or run:NAME."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errors import ConfigError
from lineage import reading
from lineage.graph import GATE_DECISION, MODEL, MODEL_BLESSING, PUSHED_MODEL, Artifact, Run
from lineage.places import Places
from lineage.questions import served
from lineage.questions.served import Served, Version
from serving import layout

HELP = (
    "a served folder (of a version, or of a model: its live version), the folder of an artifact, NAME (its live version),"
    " NAME/VERSION, VERSION, id:N (of an artifact), or run:NAME"
)
_GUESSES = 3


@dataclass(frozen=True)
class Named:
    """What was named.

    Attributes:
      text: as it was given.
      model: the Model artifact; None of a version whose bytes nobody here pushed.
      version: the served version, with the digest of its bytes; None if the model was never pushed, or its versions are gone.
      run: the run by which it was named, None if it was not.
    """

    text: str
    model: Artifact | None
    version: Version | None = None
    run: Run | None = None

    @property
    def name(self) -> str:
        """What to call it: `digits/1700000000`, or `id:11`."""
        if self.version is not None:
            return self.version.name
        return f"id:{self.model.id}" if self.model else self.text


def resolve(text: str, store: Any, places: Places) -> Named:
    """Returns what a MODEL on the command line means.

    What starts with `/`, `.` or `~` is a path; anything else is a model's name if one has it, and a path otherwise.

    Args:
      text: see `HELP`.
      store: ML Metadata; see `lineage.store`.
      places: where the serving directory lies.

    Raises:
      ConfigError: it is nothing of this; says what comes nearest.
    """
    kind, _, rest = text.partition(":")
    if kind == "id":
        return _by_id(text, rest, store, places)
    if kind == "run":
        return _by_run(text, rest, store, places)
    pushed = served.pushes(store)
    by_name = None if text.startswith(("/", ".", "~")) else _by_name(text.rstrip("/"), store, places, pushed)
    if by_name is not None:
        return by_name
    if (named := _by_path(text, store, places, pushed)) is not None:
        return named
    if any(run.name == text for run in reading.runs(store)):
        return _by_run(text, text, store, places)
    raise _unknown(text, served.all_models(places, pushed), pushed)


def of_artifact(artifact: Artifact, store: Any, places: Places, text: str = "") -> Named:
    """Returns the model that an artifact is, or tells of, such as a PushedModel or a decision, and the version that holds it.

    Raises:
      ConfigError: it is no model, and tells of none.
    """
    text = text or f"id:{artifact.id}"
    model = artifact if artifact.type == MODEL else model_of(store, artifact)
    if model is None:
        raise ConfigError(
            f"{text}: expected a model, got {artifact.type} {artifact.id}; see what came of it with"
            f" `python -m lineage impact id:{artifact.id}`."
        )
    return Named(text, model, _version_of(model, artifact, store, places))


def model_of(store: Any, artifact: Artifact) -> Artifact | None:
    """Returns the model that an artifact is about, such as a PushedModel or a decision; None if that is not known."""
    number = artifact.model_id
    if number is None and artifact.type == PUSHED_MODEL:
        graph = reading.makers(store, [artifact.id])
        number = graph.model_of(artifact.id) if artifact.id in graph.artifacts else None
    return next((one for one in reading.by_id(store, [number]) if one.type == MODEL), None) if number else None


def _by_id(text: str, rest: str, store: Any, places: Places) -> Named:
    number = int(rest) if rest.isascii() and rest.isdecimal() and len(rest) < 19 else 0
    found = reading.by_id(store, [number]) if number else []
    if not found:
        raise ConfigError(
            f"{text}: expected the id of an artifact in ML Metadata, got another; see `python -m lineage list --models`."
        )
    return of_artifact(found[0], store, places, text)


def _by_run(text: str, rest: str, store: Any, places: Places) -> Named:
    run = run_named(store, rest, text)
    graph = reading.of_runs(store, [run.name])
    made = graph.outputs_of_run(run.name)
    # What was pushed or judged, and not the baseline beside it; stock pipelines have one model.
    for kind in (PUSHED_MODEL, GATE_DECISION, MODEL_BLESSING, MODEL):
        for artifact in reversed([one for one in made if one.type == kind]):
            model = artifact if artifact.type == MODEL else model_of(store, artifact)
            if model is not None:
                version = _version_of(model, artifact, store, places)
                return Named(text, model, version, run)
    raise ConfigError(
        f"{text}: expected a run that made a model, got one that made none; see how far it came with"
        " `python -m lineage list --runs`."
    )


def run_named(store: Any, name: str, text: str = "") -> Run:
    """Returns the run of this name, or the only one whose name begins with it.

    Raises:
      ConfigError: there is none, or more than one; says what comes nearest.
    """
    known = {run.name: run for run in reading.runs(store)}
    begun = [one for one in known if name and one.startswith(name)]
    if name in known or len(begun) == 1:
        return known[name if name in known else begun[0]]
    raise ConfigError(f"{text or name}: expected a run, got {name!r}; {_nearest(name, begun or known)}.")


def _by_name(text: str, store: Any, places: Places, pushed: Sequence[Artifact]) -> Named | None:
    """NAME, NAME/VERSION or VERSION; None if no model has it."""
    known = set(served.names(places.serving_root))
    if text in known:
        return _live(text, store, served.model(places.serving_root, text, pushed), pushed)
    name, slash, number = text.rpartition("/")
    known |= {place[0] for one in pushed if (place := served.place(one))}
    if not (number.isascii() and number.isdecimal()) or (slash and name not in known):
        return None
    models = [served.model(places.serving_root, one, pushed) for one in sorted(known) if not slash or one == name]
    found = [version for model in models if (version := model.version(int(number))) is not None]
    if len(found) > 1:
        raise ConfigError(f"{text}: expected a version of one model, got one of {', '.join(v.name for v in found)}; name one.")
    if found:
        return _of_version(text, found[0], store, pushed)
    # Its directory may be another machine's, or gone with the log.
    told = [one for one in pushed if (place := served.place(one)) and place[1] == int(number) and name in ("", place[0])]
    return Named(text, model_of(store, told[-1])) if told else None


def _live(text: str, store: Any, model: Served, pushed: Sequence[Artifact]) -> Named:
    live = model.version(model.live)
    if live is None:
        there = ", ".join(str(version.number) for version in model.versions) or "none"
        raise ConfigError(
            f"{text}: expected a model with a live version, got none"
            f"{f' ({model.problem})' if model.problem else ''}; name one of its versions ({there}) as {model.name}/VERSION."
        )
    return _of_version(text, live, store, pushed)


def _of_version(text: str, version: Version, store: Any, pushed: Sequence[Artifact]) -> Named:
    version = served.checked(version, pushed)
    model = model_of(store, version.pushes[0]) if version.pushes else None
    return Named(text, model, version)


def _by_path(text: str, store: Any, places: Places, pushed: Sequence[Artifact]) -> Named | None:
    path = Path(os.path.abspath(os.path.expanduser(text)))
    for base in dict.fromkeys((path, Path(os.path.realpath(path)))):
        if (named := _by_served_path(text, base, store, places, pushed)) is not None:
            return named
        if (artifact := artifact_at(store, base)) is not None:
            return of_artifact(artifact, store, places, text)
    return _by_bytes(text, path, store, pushed)


def _by_served_path(text: str, path: Path, store: Any, places: Places, pushed: Sequence[Artifact]) -> Named | None:
    """A path in the serving root, or in another one: there too a model's folder is known by the versions in it."""
    known = served.names(places.serving_root)
    root = Path(os.path.realpath(places.serving_root))
    if path in (root, Path(places.serving_root)) and len(known) == 1:
        return _live(text, store, served.model(str(root), known[0], pushed), pushed)
    for folder in (path, *path.parents):
        inside = folder.parent in (root, Path(places.serving_root)) and folder.name in known
        if not inside and not layout.versions(folder, lambda *_: None):
            continue
        model = served.model(str(folder.parent), folder.name, pushed)
        below = path.relative_to(folder).parts
        if not below:
            return _live(text, store, model, pushed)
        number = int(below[0]) if below[0].isascii() and below[0].isdecimal() else None
        if (version := model.version(number)) is not None:
            return _of_version(text, version, store, pushed)
    return None


def artifact_at(store: Any, path: Path) -> Artifact | None:
    """Returns the newest artifact whose directory a path is or lies in, though it be gone; None if there is none."""
    for folder in (path, *path.parents):
        if found := reading.at(store, str(folder)):
            return found[-1]
    return None


def _by_bytes(text: str, path: Path, store: Any, pushed: Sequence[Artifact]) -> Named | None:
    """A copy of a version, wherever it is."""
    digest = served.digest_of(str(path)) if (path / layout.SAVED_MODEL).is_file() else ""
    found = [one for one in pushed if digest and one.digest == digest]
    if not found:
        return None
    name, number = served.place(found[0]) or (path.parent.name, 0)
    version = Version(
        name, number, str(path), False, False, (), True, served.BY_HAND, digest, digest, served.AS_PUSHED, None, tuple(found)
    )
    return Named(text, model_of(store, found[0]), version)


def _version_of(model: Artifact, told: Artifact, store: Any, places: Places) -> Version | None:
    """The version that holds a model: the live one if it does, or else the newest that is there, or was."""
    pushed = served.pushes(store)
    mine = {one.id for one in pushed if one.model_id == model.id or one.id == told.id}
    names = {place[0] for one in pushed if one.id in mine and (place := served.place(one))} & set(
        served.names(places.serving_root)
    )
    models = [served.model(places.serving_root, name, pushed) for name in sorted(names)]
    found = [version for one in models for version in one.versions if mine & {pushed.id for pushed in version.pushes}]
    best = max(found, key=lambda version: (version.live, version.there, version.number), default=None)
    return served.checked(best, pushed) if best else None


def _unknown(text: str, models: Iterable[Served], pushed: Sequence[Artifact]) -> ConfigError:
    known = [word for model in models for word in (model.name, *(version.name for version in model.versions))]
    known += [f"{place[0]}/{place[1]}" for one in pushed if (place := served.place(one))]
    return ConfigError(
        f"{text or 'nothing'}: expected a model: a served folder, the folder of an artifact, NAME, NAME/VERSION, VERSION, id:N"
        f" or run:NAME; got what is none of them; {_nearest(text, dict.fromkeys(known))}."
    )


def _nearest(text: str, known: Iterable[str]) -> str:
    known = list(known)
    if not known:
        return "there is none yet: run a pipeline first, or look at --pipeline-root and --serving-root"
    near = difflib.get_close_matches(text, known, n=_GUESSES, cutoff=0.5) or known[-_GUESSES:]
    return f"did you mean {' or '.join(near)}"
