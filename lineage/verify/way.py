"""What is on the way from models back to the source data: artifacts, executions and runs, by ML Metadata and by the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lineage import reading
from lineage.graph import COMPLETE, Artifact, Graph
from lineage.questions.naming import MODEL, Named
from lineage.questions.served import PUSHED_MODEL
from lineage.verify.told import Told


@dataclass(frozen=True)
class Way:
    """What is verified.

    Attributes:
      named: the models, as they were asked for.
      models: ids of the Model artifacts, also of some that are not there any more.
      graph: a part of ML Metadata, or all of it.
      artifacts: ids, also of some that ML Metadata does not know any more.
      executions: the same of executions.
      runs: names.
      needed: artifacts that a live version was made of, or was let through by.
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
        return (maker.node or maker.type.rpartition(".")[2]) if maker else ""


def way(store: Any, told: Told, named: Sequence[Named], *, everything: bool = False) -> Way:
    """Returns the way from models back.

    It holds whole runs: those in which something was made that the model came from, in which it was judged, and in which it was
    pushed. Statistics or anomalies are no input of a model, and are evidence nevertheless.

    Args:
      store: ML Metadata.
      told: the log of runs.
      named: the models.
      everything: all that ML Metadata and the log know, whatever the models.
    """
    models = _models(named)
    if everything:
        graph = reading.everything(store)
        runs = {run.name for run in reading.runs(store)} | set(told.started)
        models |= {artifact.id for artifact in graph.of_type(MODEL)}
        executions = set(graph.executions) | set(told.executions)
        artifacts = set(graph.artifacts) | set(told.artifacts)
    else:
        graph = _back(store, models | {pushed.id for one in named if one.version for pushed in one.version.pushes})
        runs = _runs(graph, told)
        graph = reading.joined(graph, reading.of_runs(store, sorted(runs)))
        graph = reading.joined(graph, reading.makers(store, graph.artifacts))
        runs |= _runs(graph, told)
        executions = set(graph.executions) | told.of_run(runs)
        artifacts = set(graph.artifacts) | told.made_by(executions)
    live = [one for one in named if one.version and one.version.live]
    return Way(
        tuple(named),
        frozenset(models),
        graph,
        frozenset(artifacts),
        frozenset(executions),
        frozenset(runs),
        frozenset(_needed(graph, live)),
    )


def _back(store: Any, start: set[int]) -> Graph:
    """What these were made from, and every use of them as the model that it is about."""
    return reading.joined(reading.upstream(store, start), reading.users(store, start, "model"))


def _runs(graph: Graph, told: Told) -> set[str]:
    """In which something was executed that was not taken from the cache, by ML Metadata or by the log."""
    found = {one.run for one in graph.executions.values() if one.state == COMPLETE}
    logged = (told.executions.get(number) for number in graph.executions)
    return (found | {one.run for one in logged if one is not None and one.state == COMPLETE}) - {""}


def _needed(graph: Graph, live: Sequence[Named]) -> set[int]:
    models = _models(live)
    about = {
        artifact.id
        for artifact in graph.of_type("components.GateDecision", "ModelBlessing", PUSHED_MODEL)
        if models & {artifact.properties.get("model_id"), artifact.properties.get("current_model_id")}
    }
    return graph.upstream(models) | about


def _models(named: Sequence[Named]) -> set[int]:
    """The models by id, also by what their pushes say, for one that ML Metadata has no more."""
    told = {int(push.properties.get("model_id", 0)) for one in named if one.version for push in one.version.pushes}
    return ({one.model.id for one in named if one.model} | told) - {0}
