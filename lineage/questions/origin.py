"""Where one model came from: all that an auditor asks, gathered from ML Metadata, the serving directory and the artifacts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from lineage import reading
from lineage.graph import DELETED, Graph
from lineage.places import Places
from lineage.questions import judging, making, served
from lineage.questions.decisions import in_a_word
from lineage.questions.facts import (
    Ancestor,
    Data,
    Decided,
    Evaluation,
    Facts,
    Gone,
    Judgement,
    Push,
    RunFacts,
    Schema,
    Split,
    Thing,
    Training,
    Validation,
    run_facts,
    thing,
)
from lineage.questions.naming import Named, resolve
from lineage.questions.served import Version


@dataclass(frozen=True)
class Origin(Facts):
    """Where a model came from. See `facts` for each part.

    Attributes:
      name: what it was named, or where it is served.
      pipeline: that trained it.
      served: the version that was asked for, or holds it; None if it was never pushed or all its versions are unknown here.
      model: the Model; None of a version whose bytes nobody here pushed. Then all below is empty.
      pushes: oldest first, of this version, or of the model if it is in none.
      decision: the one it was pushed by; of a model that was not pushed the newest; of a named run that run's.
      other_decisions: all others about it, oldest first: runs that took its training from the cache judged it too.
      evaluations: findings about it; those that tell numbers first.
      training: how it was trained.
      split: how its examples were divided; None of a centralised one.
      schema: of the run that trained it.
      validation: of the run that trained it.
      data: Examples that it was trained on, and what they were read from.
      ancestors: models that it went out from by a warm start, nearest first.
      trained_by: the run that trained it.
      pushed_by: the run by whose push it is live, or else that pushed it first, or the named one; not that which trained it if
        that was taken from the cache.
      things: all artifacts on the way, by id.
      gone: those whose directory is not there any more.
    """

    name: str
    pipeline: str
    served: Version | None
    model: Thing | None
    pushes: tuple[Push, ...] = ()
    decision: Decided | None = None
    other_decisions: tuple[Judgement, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()
    training: Training | None = None
    split: Split | None = None
    schema: Schema | None = None
    validation: Validation | None = None
    data: tuple[Data, ...] = ()
    ancestors: tuple[Ancestor, ...] = ()
    trained_by: RunFacts | None = None
    pushed_by: RunFacts | None = None
    things: tuple[Thing, ...] = ()
    gone: tuple[Gone, ...] = ()

    @property
    def push(self) -> Push | None:
        """The push by `pushed_by`; None if there was none."""
        run = self.pushed_by.name if self.pushed_by else ""
        return next((one for one in self.pushes if one.record.run == run), self.pushes[0] if self.pushes else None)

    @property
    def decided_in_a_word(self) -> str:
        """What was decided: `blessed`, `refused`, `forced`, `held back`; empty if nothing was."""
        if self.decision is None or self.decision.blessed is None:
            return ""
        override = str((self.decision.override or {}).get("action", ""))
        return in_a_word({"blessed": int(self.decision.blessed), "override": override})


def of_text(text: str, store: Any, places: Places) -> Origin:
    """Returns the origin of what a MODEL on the command line means.

    Raises:
      ConfigError: see `naming.resolve`.
    """
    return of(resolve(text, store, places), store)


def of(named: Named, store: Any) -> Origin:
    """Returns the origin of a model.

    Args:
      named: see `naming.resolve`.
      store: ML Metadata; see `lineage.store`.
    """
    if named.model is None:
        return Origin(named.name, "", named.version, None)
    graph = gathered(store, named)
    return of_graph(named, graph)


def gathered(store: Any, named: Named) -> Graph:
    """Returns the part of ML Metadata that tells of a model: what it was made from and in which run, what judged and pushed it.

    What it was compared with, and what was compared with it later, is not in it.
    """
    assert named.model is not None
    above = reading.upstream(store, [named.model.id])
    judged = reading.users(store, [named.model.id], "model")
    maker = above.producer(named.model.id)
    beside = reading.of_runs(store, [maker.run] if maker and maker.run else [])
    cached = [artifact.id for artifact in (*beside.of_type(*making.BESIDE), *judged.of_type(*judging.KINDS))]
    return reading.joined(above, judged, beside, reading.makers(store, cached))


def of_graph(named: Named, graph: Graph) -> Origin:
    """Returns the origin of a model that ML Metadata knows, from the part that `gathered` gave."""
    assert named.model is not None
    model, maker = named.model, graph.producer(named.model.id)
    pushes = judging.pushes(graph, model, named.version)
    training = making.training(graph, model)
    split, data = making.split(graph, model), making.data(graph, model)
    trained_by = graph.runs.get(maker.run) if maker else None
    run = named.run.name if named.run else ""
    push = next((one for one in pushes if one.record.run == run), judging.pushed_live(graph, pushes))
    pushed_by = graph.runs.get(push.record.run) if push else None
    decision, other_decisions = judging.decision(graph, model, push, run)
    found = Origin(
        name=named.name,
        pipeline=maker.pipeline if maker else "",
        served=named.version,
        model=thing(model, maker),
        pushes=pushes,
        decision=decision,
        other_decisions=other_decisions,
        evaluations=judging.evaluations(graph, model),
        training=training,
        split=split,
        schema=making.schema(graph, model),
        validation=making.validation(graph, model),
        data=data,
        ancestors=making.ancestors(graph, model),
        trained_by=run_facts(trained_by) if trained_by else None,
        pushed_by=run_facts(pushed_by) if pushed_by else None,
    )
    things = {one.id: one for one in _things(found)}
    for key in graph.upstream([model.id]):  # such as a stock Transform's graph
        things.setdefault(key, thing(graph.artifacts[key], graph.producer(key)))
    listed = tuple(things[key] for key in sorted(things))
    gone = tuple(Gone(one.id, one.type, one.uri, one.state == DELETED) for one in listed if one.there is False)
    return Origin(**{**{field.name: getattr(found, field.name) for field in fields(found)}, "things": listed, "gone": gone})


def _things(value: Any) -> Iterable[Thing]:
    if isinstance(value, Thing):
        yield value
    elif isinstance(value, tuple):
        for one in value:
            yield from _things(one)
    elif is_dataclass(value) and not isinstance(value, served.Version):
        for field in fields(value):
            yield from _things(getattr(value, field.name))
