"""What came of some data: every model that was trained on it, or went out from one that was, and which are live now."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errors import ConfigError
from lineage import reading
from lineage.graph import COMPLETE, EXAMPLES, FEDERATED_EXAMPLES, MODEL, PUSHED_MODEL, Artifact, Graph
from lineage.places import Places
from lineage.questions import judging, naming
from lineage.questions.facts import Facts, Thing, local, thing
from lineage.questions.listing import Known, ModelLine, versions_of
from lineage.questions.making import parsed

_TRAINED, _WARM, _ITSELF, _COMPARED = "trained on it", "warm start from id:{}", "this model itself", "measured with it only"
_TWINS = 20
"""Digests that are looked for elsewhere, at most: one call each."""
_DIGEST = re.compile(r"[0-9a-f]{8,64}")
_STOP = (*judging.KINDS, "ModelRun")
"""What tells of a model and is in no later one. A schema is: a stock trainer takes it in, or a Transform before it."""


@dataclass(frozen=True)
class Came(Facts):
    """A model, and how it came of what was asked about.

    Attributes:
      model: the model; see `listing.ModelLine`.
      how: in words.
      through: ids of the artifacts on the way, from what was asked about to the model.
    """

    model: ModelLine
    how: str
    through: tuple[int, ...]


@dataclass(frozen=True)
class Impact(Facts):
    """What came of some data.

    Attributes:
      asked: what was asked about; a client is not named.
      artifacts: those that it was found to be, or be in.
      same_files: other artifacts with the very files of one of these; what came of them is not told here.
      models: those that came of it, newest first.
      possible: those of which that cannot be told: the client may be in a group, or the split's index is gone.
      compared: those that came of other data and were measured with this, or beside this model; it is not in them.
      live: `{model}/{version}` of what is live of `models`.
      possibly_live: the same of `possible`.
    """

    asked: str
    artifacts: tuple[Thing, ...]
    same_files: tuple[Thing, ...]
    models: tuple[Came, ...]
    possible: tuple[Came, ...]
    compared: tuple[Came, ...]
    live: tuple[str, ...]
    possibly_live: tuple[str, ...]


def of_text(text: str, store: Any, places: Places) -> Impact:
    """Returns what came of a path, or of an artifact.

    Args:
      text: a file or folder of source data; an artifact's directory, or a file in it; id:N; the first 8 to 64 hex digits of an
        artifact's digest; or a MODEL, see `naming.HELP`.
      store: ML Metadata.
      places: where the serving directory lies.

    Raises:
      ConfigError: it is none of them.
    """
    start = _models_of(store, _start(text, store, places))
    graph = _below(store, start)
    ways = _ways(graph, start)
    compared = _compared(graph, start, ways)
    return _impact(text, start, graph, ways, {}, compared, store, places)


def of_client(client: str, store: Any, places: Places, pipeline: str | None = None) -> Impact:
    """Returns what came of a client's data. The client is looked up in the splits' indexes and is in nothing that is returned.

    Args:
      client: its id, or `hash:` and its keyed hash; see `lineage.clients`.
      store: ML Metadata.
      places: where the pipeline root lies.
      pipeline: only in this one's splits; None: in all.

    Raises:
      FedtfxError: see `lineage.clients.splits_holding`.
    """
    from lineage import clients

    graph = reading.everything(store)
    holding = clients.splits_holding(places.root, graph, client, pipeline)
    held = _with_examples(graph, holding.held)
    doubtful = _with_examples(graph, (*holding.possible, *holding.unknown))
    # From the examples on, which hold the client surely, but not through a split that was made without it.
    ways = _ways(graph, held, barred=holding.clear)
    possible = {number: way for number, way in _ways(graph, doubtful, holding.clear).items() if number not in ways}
    splits = [one for one in held if one.type == FEDERATED_EXAMPLES]
    return _impact("a client", splits, graph, ways, possible, {}, store, places)


def _with_examples(graph: Graph, splits: Iterable[int]) -> list[Artifact]:
    """Splits, and the Examples they divide: a model that is trained on pooled examples holds the client too."""
    splits = set(splits)
    above = sorted(graph.upstream(splits))
    return [graph.artifacts[one] for one in above if one in splits or graph.artifacts[one].type == EXAMPLES]


def _start(text: str, store: Any, places: Places) -> list[Artifact]:
    kind, _, rest = text.partition(":")
    if kind == "id" and rest.isascii() and rest.isdecimal() and len(rest) < 19:
        if found := reading.by_id(store, [int(rest)]):
            return found
        raise ConfigError(f"{text}: expected the id of an artifact in ML Metadata, got none that it knows.")
    path = Path(os.path.abspath(os.path.expanduser(text)))
    found = read_from(store, path)
    if (inside := naming.artifact_at(store, path)) is not None:
        found.append(inside)
    if not found and _DIGEST.fullmatch(text):
        found = reading.with_digest(store, text)
    return found or _named(text, store, places)


def _named(text: str, store: Any, places: Places) -> list[Artifact]:
    try:
        named = naming.resolve(text, store, places)
    except ConfigError as error:
        sources = sorted({source for source, _, _ in sources_of(store)})
        known = f"; data was read from {', '.join(sources[:3])}" if sources else ""
        raise ConfigError(
            f"{text}: expected source data, the folder of an artifact, id:N, 8 or more digits of a digest, or a model; nothing"
            f" was read from there and nothing lies there{known}."
        ) from error
    if named.model is None:
        raise ConfigError(f"{text}: expected a model that ML Metadata knows, got one whose bytes nobody here pushed.")
    return [named.model]


def sources_of(store: Any) -> list[tuple[str, tuple[str, ...], Artifact]]:
    """Returns folder or file, patterns below it, and the Examples that were read from there; not of data without a path."""
    examples = reading.of_type(store, EXAMPLES)
    graph = reading.makers(store, [one.id for one in examples])
    found = []
    for one in examples:
        maker = graph.producer(one.id)
        base = local(str(maker.properties.get("input_base") or "")) if maker else None
        if maker and base:
            config = parsed(maker.properties.get("input_config"))
            splits = config.get("splits", []) if isinstance(config, Mapping) else []
            patterns = tuple(str(split.get("pattern", "*")) for split in splits if isinstance(split, Mapping))
            found.append((base, patterns, one))
    return found


def read_from(store: Any, path: Path) -> list[Artifact]:
    """Returns the Examples that were read from a file, from a folder, or from anything in a folder."""
    paths = {str(path), os.path.realpath(path)}
    return [one for base, patterns, one in sources_of(store) if any(_covers(base, patterns, given) for given in paths)]


def _covers(base: str, patterns: Sequence[str], path: str) -> bool:
    for folder in {os.path.abspath(base), os.path.realpath(base)}:
        if fnmatch.fnmatchcase(path, folder) or folder.startswith(path.rstrip("/") + "/"):
            return True
        if path.startswith(folder.rstrip("/") + "/"):
            below = os.path.relpath(path, folder)
            return not patterns or any(_matches(pattern, below) for pattern in patterns)
    return False


def _matches(pattern: str, below: str) -> bool:
    """A file that the pattern finds, or a folder with such; {SPAN}, {VERSION} and the parts of dates stand for anything."""
    wanted = re.sub(r"\{[A-Z]+(:\d+)?\}", "*", pattern).split("/")
    given = below.split("/")
    if len(given) > len(wanted):
        return False
    return all(fnmatch.fnmatchcase(part, want) for part, want in zip(given, wanted, strict=False))


def _models_of(store: Any, start: Sequence[Artifact]) -> list[Artifact]:
    """A PushedModel stands for its Model."""
    found = [naming.model_of(store, one) or one if one.type == PUSHED_MODEL else one for one in start]
    return list({one.id: one for one in found}.values())


def _below(store: Any, start: Sequence[Artifact]) -> Graph:
    """What was made of these, step by step; not what findings led to, because a finding is in no model."""
    graphs = [reading.makers(store, [one.id for one in start])]
    seen, ahead = {one.id for one in start}, [one.id for one in start]
    while ahead:
        graph = reading.users(store, ahead)
        graphs.append(graph)
        made = {one.id for _, one in _made(graph, ahead) if one.type not in _STOP}
        ahead = sorted(made - seen)
        seen |= made
    return reading.joined(*graphs)


def _made(graph: Graph, of: Iterable[int]) -> Iterable[tuple[int, Artifact]]:
    """What complete executions made of any of these, with one of which."""
    for number in of:
        for user in graph.users(number):
            if user.state == COMPLETE:
                yield from ((number, one) for some in graph.outputs(user.id).values() for one in some)


def _ways(graph: Graph, start: Sequence[Artifact], barred: Iterable[int] = ()) -> dict[int, tuple[int, ...]]:
    """Model -> the shortest way to it, from what was asked about to itself."""
    ways: dict[int, tuple[int, ...]] = {one.id: (one.id,) for one in start}
    barred = set(barred)
    ahead = list(ways)
    while ahead:
        step = []
        for before, one in _made(graph, ahead):
            if one.type not in _STOP and one.id not in ways and one.id not in barred and graph.producer(one.id) is not None:
                ways[one.id] = (*ways[before], one.id)
                step.append(one.id)
        ahead = step
    return {number: way for number, way in ways.items() if number in graph.artifacts and graph.artifacts[number].type == MODEL}


def _compared(graph: Graph, start: Sequence[Artifact], ways: Mapping[int, Any]) -> dict[int, tuple[int, ...]]:
    """Models that came of other data and were measured with what was asked about."""
    found: dict[int, tuple[int, ...]] = {}
    for one in start:
        for user in graph.users(one.id):
            for model in graph.inputs(user.id).get("model", []) if user.state == COMPLETE else []:
                if model.id not in ways and model.id not in found:
                    found[model.id] = (one.id, model.id)
    return found


def _impact(
    asked: str,
    start: Sequence[Artifact],
    graph: Graph,
    ways: Mapping[int, tuple[int, ...]],
    possible: Mapping[int, tuple[int, ...]],
    compared: Mapping[int, tuple[int, ...]],
    store: Any,
    places: Places,
) -> Impact:
    known = Known(store, versions_of(store, places))

    def came(some: Mapping[int, tuple[int, ...]], how: str = "") -> tuple[Came, ...]:
        models = [graph.artifacts[number] for number in sorted(some, reverse=True)]
        lines = known.lines_of(models)
        return tuple(
            Came(line, how or _how(graph, some[one.id]), some[one.id]) for one, line in zip(models, lines, strict=True)
        )

    surely, perhaps = came(ways), came(possible)
    things = tuple(thing(one, graph.producer(one.id)) for one in start)
    return Impact(
        asked, things, _twins(store, start), surely, perhaps, came(compared, _COMPARED), _live(surely), _live(perhaps)
    )


def _twins(store: Any, start: Sequence[Artifact]) -> tuple[Thing, ...]:
    """The same data that was read again, or divided again, is another artifact."""
    known, digests = {one.id for one in start}, {one.digest for one in start if _DIGEST.fullmatch(one.digest)}
    found = [one for digest in sorted(digests)[:_TWINS] for one in reading.with_digest(store, digest)]
    return tuple(thing(one, None) for one in found if one.id not in known and one.type != PUSHED_MODEL)


def _how(graph: Graph, way: Sequence[int]) -> str:
    models = [number for number in way if graph.artifacts[number].type == MODEL]
    if len(way) == 1:
        return _ITSELF
    return _TRAINED if len(models) == 1 else _WARM.format(models[-2])


def _live(found: Sequence[Came]) -> tuple[str, ...]:
    return tuple(version.name for one in found for version in one.model.versions if version.live)
