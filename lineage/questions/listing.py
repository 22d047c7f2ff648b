"""Runs and models in lists, newest first; only as much of ML Metadata is read as is shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from errors import ConfigError
from lineage import reading
from lineage.graph import GATE_DECISION, MODEL, MODEL_BLESSING, PUSHED_MODEL, Artifact, Graph
from lineage.jsonable import jsonable
from lineage.places import Places
from lineage.questions import decisions, runs, served
from lineage.questions.facts import Facts, Judgement
from lineage.questions.runs import RunLine
from lineage.questions.served import Version

T = TypeVar("T")
_FIRST_PAGE, _PAGE = 25, 200
"""Few at first, because mostly no more is shown."""
_ASIDE = ("baseline", "base_model")
"""Inputs that only have a model for others to be measured beside, or to go out from."""
_TELLING = ("model", "federated_model", "central_model")
"""Inputs of what tells of a model: the last two of a RunReport, which keeps the numbers when the evaluation is gone."""


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
      decision: see `runs.RunLine`; the one it was pushed by, and of a model that was not pushed the newest.
      other_decisions: all others about it, oldest first.
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
    other_decisions: tuple[Judgement, ...]
    metric: str
    value: float | None
    digest: str


def check_pipeline(store: Any, places: Places, pipeline: str) -> None:
    """Accepts a pipeline that has runs, or under whose name something is served; or none.

    Raises:
      ConfigError: there is no such pipeline.
    """
    if not pipeline:
        return
    known = set(reading.pipelines(store)) | set(served.names(places.serving_root))
    if pipeline not in known:
        names = ", ".join(sorted(known - {""})) or "none"
        raise ConfigError(f"--pipeline: expected one of {names}, got {pipeline!r}; name one of them, or leave it out.")


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
        self.decisions: dict[int, list[Artifact]] = {}
        self.pushes: dict[int, list[Artifact]] = {}
        pushed = reading.of_type(store, PUSHED_MODEL)
        graph = reading.makers(store, [one.id for one in pushed if one.model_id is None])  # of stock pushes, which name none
        of_push = {one.id: one.model_id or (graph.model_of(one.id) if one.id in graph.artifacts else None) for one in pushed}
        for one in pushed:
            if one.properties.get("pushed") == 1:
                self.pushes.setdefault(of_push.get(one.id) or 0, []).append(one)
        for version in versions:
            for model in dict.fromkeys(of_push.get(push.id) or 0 for push in version.pushes):
                self.versions.setdefault(model, []).append(version)
        for kind in (MODEL_BLESSING, GATE_DECISION):
            found: dict[int, list[Artifact]] = {}
            for decided in reading.of_type(store, kind):
                if (number := decided.model_id) and "blessed" in decided.properties:
                    found.setdefault(number, []).append(decided)
            self.decisions |= found  # a gate's decision tells more than its blessing
        self.named = {*of_push.values(), *self.versions, *self.decisions}

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
        several = [one.id for number in numbers if len(found := self.decisions.get(number, ())) > 1 for one in found]
        made = reading.makers(self.store, [*numbers, *several])
        return reading.joined(made, reading.users(self.store, numbers, *_ASIDE, *_TELLING))

    def _line(self, model: Artifact, graph: Graph) -> ModelLine:
        maker, versions = graph.producer(model.id), tuple(self.versions.get(model.id, ()))
        judged = self.decisions.get(model.id, [])
        decided = decisions.deciding(judged, self._pushed(model, versions))
        about = [one for _, one in sorted(graph.artifacts.items()) if one.id == model.id or one.model_id == model.id]
        metric, value = runs.main_metric(about)
        pipeline = maker.pipeline if maker else ""
        return ModelLine(
            id=model.id,
            name=versions[0].model if versions else pipeline,
            pipeline=pipeline,
            run=maker.run if maker else "",
            node=maker.node or maker.type if maker else "",
            created=jsonable(model.created),
            state=model.state,
            versions=versions,
            live=any(version.live for version in versions),
            labels=tuple(label for version in versions for label in version.labels),
            decision=decisions.in_a_word(decided.properties) if decided else "",
            other_decisions=decisions.others(graph, judged, decided) if decided else (),
            metric=metric,
            value=value,
            digest=model.digest,
        )

    def _pushed(self, model: Artifact, versions: Sequence[Version]) -> Artifact | None:
        """The push by which the version is live that holds a model, or the newest that is there; or else its first push."""
        best = max(versions, key=lambda version: (version.live, version.there, version.number), default=None)
        mine = self.pushes.get(model.id, [])
        into = {one.id for one in best.pushes} if best else set()
        return decisions.pushed_live([one for one in mine if one.id in into] or mine)

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
            (),
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


def _beside(graph: Graph, model: Artifact) -> bool:
    keys = {use.key for use in graph.uses if use.artifact == model.id and not use.output}
    return not keys.isdisjoint(_ASIDE)
