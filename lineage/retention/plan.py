"""What may go and what stays, and why: a function of the graph and of what is to be kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lineage.graph import (
    COMPLETE,
    GATE_DECISION,
    LIVE,
    MODEL_BLESSING,
    PUSHED_MODEL,
    RUN_REPORT,
    UNFINISHED,
    Artifact,
    Graph,
    Run,
)
from lineage.retention.served import Version
from lineage.retention.unseen import Unseen

RECORDS = (GATE_DECISION, MODEL_BLESSING, "InfraBlessing", PUSHED_MODEL, RUN_REPORT)
"""Small, and what an auditor asks for when the rest is gone: they stay for ever."""

COMPARED = ("served", "served_model", "baseline_model")
"""Inputs of executions that measure a model beside another one."""

Reasons = Mapping[int, str]


@dataclass(frozen=True)
class Plan:
    """`remove`: artifacts that may go, oldest first. `kept`: id of every other artifact that is live -> why it stays."""

    remove: tuple[Artifact, ...]
    kept: Reasons


def planned(graph: Graph, roots: Reasons, pipeline: str | None = None) -> Plan:
    """Returns what may go: live artifacts that a COMPLETE execution made, that are no records, and that no root depends on.

    Args:
      graph: all that ML Metadata knows.
      roots: artifact id -> why it stays; what it was made from and what was found out about it stays too.
      pipeline: only its artifacts may go.
    """
    needed = closure(graph, roots)
    kept: dict[int, str] = {}
    remove = []
    for artifact in graph.artifacts.values():
        if artifact.state != LIVE:
            continue
        if why := _why_kept(graph, artifact, needed, pipeline):
            kept[artifact.id] = why
        else:
            remove.append(artifact)
    return Plan(tuple(sorted(remove, key=lambda one: one.id)), kept)


def roots_of(graph: Graph, versions: Iterable[Version | Unseen], runs: Mapping[str, str]) -> dict[int, str]:
    """Returns the roots of what is served, with all that came of the runs that made and pushed it, and of runs to be kept.

    Args:
      graph: all that ML Metadata knows.
      versions: on the disk of serving directories, where a release can make any of them live, or perhaps elsewhere.
      runs: name -> why it is kept.
    """
    roots: dict[int, str] = {}
    for version in sorted(versions, key=lambda one: not one.live):
        for one in (*version.pushed, *version.models):
            maker = graph.producer(one)
            roots.setdefault(one, version.why)
            if maker is not None:
                roots = {**dict.fromkeys(_of_run(graph, maker.run), version.why), **roots}
    for run, why in runs.items():
        roots = {**dict.fromkeys(_of_run(graph, run), why), **roots}
    return roots


def kept_runs(graph: Graph, newest: int, since: float | None, named: Iterable[str]) -> dict[str, str]:
    """Returns the runs that stay, and why: unfinished, named, among the newest of their pipeline, or younger than `since`.

    Args:
      graph: all that ML Metadata knows.
      newest: how many of each pipeline.
      since: seconds since 1970, or None.
      named: runs that somebody wants to keep.
    """
    kept = {
        execution.run: f"run {execution.run} is not finished"
        for execution in graph.executions.values()
        if execution.state in UNFINISHED
    }
    for name in named:
        kept.setdefault(name, f"run {name} is to be kept")
    for runs in _by_pipeline(graph.runs.values()).values():
        for place, run in enumerate(runs):
            if place < newest:
                kept.setdefault(run.name, f"run {run.name} is among the newest {newest} of {run.pipeline}")
            elif since is not None and run.created.timestamp() >= since:
                kept.setdefault(run.name, f"run {run.name} is young enough")
    return kept


def closure(graph: Graph, roots: Reasons) -> dict[int, str]:
    """Returns what roots depend on, and why: what they were made from, and what came out beside any of it.

    A model that another was only compared with stays, but not for its sake what that was trained on.
    """
    found: dict[int, str] = {}
    compared: dict[int, str] = {}
    for root, why in roots.items():
        ahead = [root]
        while ahead:
            one = ahead.pop()
            if one not in found and one in graph.artifacts:
                found[one] = why
                for maker in _makers(graph, one):
                    ahead.extend(_taken(graph, maker, compared=False))
                    compared |= dict.fromkeys(_taken(graph, maker, compared=True), why)
    return {**compared, **found}


def _makers(graph: Graph, artifact: int) -> Iterator[int]:
    return (execution.id for execution in graph.publications(artifact) if execution.state == COMPLETE)


def _taken(graph: Graph, execution: int, *, compared: bool) -> Iterator[int]:
    """Its inputs that only were compared with, or else all other ones and its outputs."""
    sides = [(key in COMPARED, several) for key, several in graph.inputs(execution).items()]
    sides += [(False, several) for several in graph.outputs(execution).values()]
    return (one.id for only, several in sides for one in several if only == compared)


def _of_run(graph: Graph, run: str) -> Iterator[int]:
    """What a run's executions took in to work on, also those that failed or go on, and put out."""
    for execution in graph.of_run(run):
        yield from _taken(graph, execution.id, compared=False)


def _by_pipeline(runs: Iterable[Run]) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda one: one.id, reverse=True):
        found.setdefault(run.pipeline, []).append(run)
    return found


def _why_kept(graph: Graph, artifact: Artifact, needed: Reasons, pipeline: str | None) -> str:
    if artifact.id in needed:
        return needed[artifact.id]
    if artifact.type in RECORDS:
        return "a record"
    maker = graph.producer(artifact.id)
    if maker is None:
        return "no execution that completed made it"
    if pipeline is not None and maker.pipeline != pipeline:
        return f"it is of pipeline {maker.pipeline}"
    return ""
