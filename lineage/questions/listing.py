"""Runs and models in lists, newest first; only as much of ML Metadata is read as is shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from lineage import reading
from lineage.graph import Artifact, Graph
from lineage.places import Places
from lineage.questions import judging, runs, served
from lineage.questions.facts import Facts
from lineage.questions.naming import MODEL
from lineage.questions.plain import plain
from lineage.questions.runs import RunLine
from lineage.questions.served import Version

T = TypeVar("T")
_FIRST_PAGE, _PAGE = 25, 200
"""Few at first, because mostly no more is shown."""
_ASIDE = ("baseline", "base_model")
"""Inputs that only have a model for others to be measured beside, or to go out from."""


@dataclass(frozen=True)
class ModelLine(Facts):
    """A model.

    Attributes:
      id: the Model in ML Metadata; None of a version whose bytes nobody here pushed.
      name: under which it is served; of one that never was, its pipeline.
      pipeline: that trained it.
      run: that trained it.
      node: that trained it.
      created: ISO 8601, UTC; of what nobody here pushed empty.
      state: `live` or `deleted`, in ML Metadata.
      versions: those that hold it, or held it; see `served.Version`.
      live: whether one of them is live.
      labels: of all of them.
      decision: see `runs.RunLine`; the newest one.
      metric: see `runs.RunLine`.
      value: see `runs.RunLine`.
      digest: the tree digest that it was published with; empty if none was recorded.
    """

    id: int | None
    name: str
    pipeline: str
    run: str
    node: str
    created: str
    state: str
    versions: tuple[Version, ...]
    live: bool
    labels: tuple[str, ...]
    decision: str
    metric: str
    value: float | None
    digest: str


def run_lines(
    store: Any, places: Places, *, pipeline: str = "", state: str = "", limit: int = 0, live: bool = False
) -> list[RunLine]:
    """Returns runs, newest first.

    Args:
      store: ML Metadata.
      places: where the serving directory and the run's lock lie.
      pipeline: only this one's.
      state: only those in it, or with this decision.
      limit: how many at most; 0 for all.
      live: only those whose model is live.
    """
    alive = {version.name for version in versions_of(store, places) if version.live} if live else set()
    found: list[RunLine] = []
    for line in _all_runs(store, places.root):
        if pipeline in ("", line.pipeline) and state in ("", line.state, line.decision) and (not live or line.pushed in alive):
            found.append(line)
            if len(found) == limit:
                break
    return found


def _all_runs(store: Any, root: str) -> Iterator[RunLine]:
    newest_first = reading.runs(store)[::-1]
    seen: set[str] = set()
    for page in _pages(newest_first):
        graph = reading.of_runs(store, [run.name for run in page])
        for run in page:
            executions = graph.of_run(run.name)
            pipeline = executions[0].pipeline if executions else ""
            yield runs.line(run, graph, pipeline not in seen, root)
            seen.add(pipeline)


def model_lines(
    store: Any, places: Places, *, pipeline: str = "", state: str = "", limit: int = 0, live: bool = False
) -> list[ModelLine]:
    """Returns models, newest first: those that were judged or pushed, and those that nothing else was measured beside.

    Args:
      store: ML Metadata.
      places: where the serving directory lies.
      pipeline: only this one's.
      state: a decision: `blessed`, `refused`, `forced`, `held back`.
      limit: how many at most; 0 for all.
      live: only those that are.
    """
    versions = versions_of(store, places)
    known = Known(store, versions)
    found = [known.unknown(version) for version in versions if not version.pushes and (version.live or not live)]
    found = [line for line in found if pipeline in ("", line.name) and not state]
    for line in known.lines(live):
        if pipeline in ("", line.pipeline, line.name) and state in ("", line.decision):
            found.append(line)
        if len(found) == limit:
            break
    return found[: limit or None]


class Known:
    """What tells of all models, in few calls; the rest is asked for a page of models at a time."""

    def __init__(self, store: Any, versions: Sequence[Version]) -> None:
        self.store = store
        self.versions: dict[int, list[Version]] = {}
        self.decisions: dict[int, Artifact] = {}
        told = {one.id: _told(one) for one in reading.of_type(store, served.PUSHED_MODEL)}
        for version in versions:
            for number in dict.fromkeys(told.get(pushed.id) or _taken(store, pushed) for pushed in version.pushes):
                self.versions.setdefault(number, []).append(version)
        for decided in reading.of_type(store, judging.BLESSING, judging.DECISION):
            if (number := _told(decided)) and "blessed" in decided.properties:
                before = self.decisions.get(number)
                better = before is None or decided.type == judging.DECISION or before.type == judging.BLESSING
                self.decisions[number] = decided if better else self.decisions[number]
        self.named = {*told.values(), *self.versions, *self.decisions}

    def lines(self, live: bool) -> Iterator[ModelLine]:
        """Yields a line per model, newest first; of `live` ones only if that is asked."""
        models = reading.of_type(self.store, MODEL)[::-1]
        if live:
            models = [one for one in models if any(version.live for version in self.versions.get(one.id, ()))]
        for page in _pages(models):
            graph = self._around(page)
            yield from (self._line(model, graph) for model in page if model.id in self.named or not _beside(graph, model))

    def lines_of(self, models: Sequence[Artifact]) -> list[ModelLine]:
        """Returns a line for each of these models, in their order."""
        graph = self._around(models)
        return [self._line(model, graph) for model in models]

    def _around(self, models: Sequence[Artifact]) -> Graph:
        numbers = [model.id for model in models]
        return reading.joined(reading.makers(self.store, numbers), reading.users(self.store, numbers, *_ASIDE, "model"))

    def _line(self, model: Artifact, graph: Graph) -> ModelLine:
        maker, versions = graph.producer(model.id), tuple(self.versions.get(model.id, ()))
        decided = self.decisions.get(model.id)
        about = [one for _, one in sorted(graph.artifacts.items()) if one.id == model.id or _told(one) == model.id]
        metric, value = runs.main_metric(about)
        pipeline = maker.pipeline if maker else ""
        return ModelLine(
            id=model.id,
            name=versions[0].model if versions else pipeline,
            pipeline=pipeline,
            run=maker.run if maker else "",
            node=maker.node or maker.type if maker else "",
            created=plain(model.created),
            state=model.state,
            versions=versions,
            live=any(version.live for version in versions),
            labels=tuple(label for version in versions for label in version.labels),
            decision=runs.in_a_word(decided.properties) if decided else "",
            metric=metric,
            value=value,
            digest=model.digest,
        )

    def unknown(self, version: Version) -> ModelLine:
        """A version that nobody here pushed."""
        return ModelLine(
            None,
            version.model,
            "",
            "",
            "",
            "",
            "live",
            (version,),
            version.live,
            version.labels,
            "",
            "",
            None,
            version.recorded,
        )


def _pages(some: Sequence[T]) -> Iterator[Sequence[T]]:
    yield some[:_FIRST_PAGE]
    for start in range(_FIRST_PAGE, len(some), _PAGE):
        yield some[start : start + _PAGE]


def versions_of(store: Any, places: Places) -> list[Version]:
    """Returns all versions of all models of the serving root."""
    return [version for model in served.all_models(places, served.pushes(store)) for version in model.versions]


def _told(one: Artifact) -> int:
    return int(one.properties.get("model_id") or one.properties.get("current_model_id") or 0)


def _taken(store: Any, pushed: Artifact) -> int:
    """The model that a stock Pusher took in, which its record does not tell."""
    graph = reading.makers(store, [pushed.id])
    maker = graph.producer(pushed.id)
    return next((one.id for one in graph.inputs(maker.id).get("model", [])), 0) if maker else 0


def _beside(graph: Graph, model: Artifact) -> bool:
    keys = {use.key for use in graph.uses if use.artifact == model.id and not use.output}
    return not keys.isdisjoint(_ASIDE)
