"""What a verification covers: all on the way from models back to the source data, by ML Metadata and by the log of runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lineage import reading
from lineage.graph import COMPLETE, GATE_DECISION, MODEL, MODEL_BLESSING, PUSHED_MODEL, Artifact, Graph
from lineage.questions.naming import Named
from lineage.verify.run_log import RunLog


@dataclass(frozen=True)
class Scope:
    """What is verified.

    Attributes:
      named: the models, as they were asked for.
      models: ids of the Model artifacts, also of some that are not there any more.
      graph: a part of ML Metadata, or all of it.
      artifacts: ids, also of some that ML Metadata does not know any more.
      executions: the same of executions.
      runs: names.
      needed: artifacts that a model was made of, or was let through by, that was named, or that is live where all is verified.
    """

    named: tuple[Named, ...]
    models: frozenset[int]
    graph: Graph
    artifacts: frozenset[int]
    executions: frozenset[int]
    runs: frozenset[str]
    needed: frozenset[int]

    def of_type(self, *types: str) -> list[Artifact]:
        """Returns the artifacts of these types, oldest first."""
        return [artifact for artifact in self.graph.of_type(*types) if artifact.id in self.artifacts]

    def node(self, artifact: int) -> str:
        """Returns the node that made an artifact; empty if that is not known."""
        maker = self.graph.producer(artifact)
        return maker.label if maker else ""


def scope_of(store: Any, log: RunLog, named: Sequence[Named], *, everything: bool = False) -> Scope:
    """Returns the way from models back.

    It holds whole runs: those in which something was made that the model came from, in which it was judged, and in which it was
    pushed. Statistics or anomalies are no input of a model, and are evidence nevertheless.

    Args:
      store: ML Metadata.
      log: the log of runs.
      named: the models.
      everything: all that ML Metadata and the log know, whatever the models.
    """
    models = _models(named)
    if everything:
        graph = reading.everything(store)
        runs = {run.name for run in reading.runs(store)} | set(log.started)
        models |= {artifact.id for artifact in graph.of_type(MODEL)}
        executions = set(graph.executions) | set(log.executions)
        artifacts = set(graph.artifacts) | set(log.artifacts)
    else:
        graph = _back(store, models | {pushed.id for one in named if one.version for pushed in one.version.pushes})
        runs = _runs(graph, log)
        graph = reading.joined(graph, reading.of_runs(store, sorted(runs)))
        graph = reading.joined(graph, reading.makers(store, graph.artifacts))
        runs |= _runs(graph, log)
        executions = set(graph.executions) | log.of_run(runs) | reading.publishers(store, graph.artifacts)
        artifacts = set(graph.artifacts) | log.made_by(set(graph.executions) | log.of_run(runs))
    vouched = [one for one in named if not everything or (one.version and one.version.live)]
    return Scope(
        tuple(named),
        frozenset(models),
        graph,
        frozenset(artifacts),
        frozenset(executions),
        frozenset(runs),
        frozenset(_needed(graph, vouched)),
    )


def _back(store: Any, start: set[int]) -> Graph:
    """What these were made from, and every use of them as the model that it is about."""
    return reading.joined(reading.upstream(store, start), reading.users(store, start, "model"))


def _runs(graph: Graph, log: RunLog) -> set[str]:
    """In which something was executed that was not taken from the cache, by ML Metadata or by the log."""
    found = {one.run for one in graph.executions.values() if one.state == COMPLETE}
    logged = (log.executions.get(number) for number in graph.executions)
    return (found | {one.run for one in logged if one is not None and one.state == COMPLETE}) - {""}


def _needed(graph: Graph, vouched: Sequence[Named]) -> set[int]:
    models = _models(vouched)
    about = {
        artifact.id for artifact in graph.of_type(GATE_DECISION, MODEL_BLESSING, PUSHED_MODEL) if artifact.model_id in models
    }
    return graph.upstream(models) | about


def _models(named: Sequence[Named]) -> set[int]:
    """The models by id, also by what their pushes say, for one that ML Metadata has no more."""
    pushed = {push.model_id or 0 for one in named if one.version for push in one.version.pushes}
    return ({one.model.id for one in named if one.model} | pushed) - {0}
