"""ML Metadata held against the log of runs: artifacts, executions with their events and where they are filed, runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ml_metadata.proto import metadata_store_pb2

from lineage.fingerprints import artifact_fingerprint, context_fingerprint, execution_fingerprint
from lineage.graph import DELETED, UNFINISHED
from lineage.verify.report import ALTERED, EXECUTION, MISSING, RECORD, RUN, UNPROVEN, VERIFIED, Finding, joined
from lineage.verify.told import Execution, Told
from lineage.verify.way import Way

_IDS = 500
_COPY = "put back a copy of ML Metadata from before, or run the pipeline again"
_OLDER = "it was made before there was a log, or by something else: run the pipeline again to have it on record"
_NOT_TOLD = "the log of runs does not tell of it"


def artifacts(store: Any, told: Told, way: Way) -> Iterator[Finding]:
    """Yields a finding per artifact: whether ML Metadata still says of it what it said when it was published."""
    there = {one.id: one for one in _paged(store.get_artifacts_by_id, way.artifacts)}
    for number in sorted(way.artifacts):
        expected, _ = told.artifacts.get(number, ("", 0))
        one = there.get(number)
        subject = f"{one.type} {number}" if one is not None else f"artifact {number}"
        node = way.node(number)
        got = "" if one is None else artifact_fingerprint(one)
        subject = joined([subject, f"made by {node}" if node else ""])
        if one is not None and _state(one) == DELETED and number not in told.deleted:
            yield Finding(RECORD, subject, ALTERED, "state live", "state deleted, which no gc wrote down", _COPY)
        else:
            yield _finding(RECORD, subject, expected, got)


def executions(store: Any, told: Told, way: Way) -> Iterator[Finding]:
    """Yields a finding per execution that ended."""
    there = {one.id: one for one in _paged(store.get_executions_by_id, way.executions)}
    events: dict[int, list[Any]] = {number: [] for number in there}
    for event in _paged(store.get_events_by_execution_ids, there):
        events[event.execution_id].append(event)
    for number in sorted(way.executions):
        one, expected = there.get(number), told.executions.get(number)
        state = _state(one) if one is not None else ""
        if state in UNFINISHED and (expected is None or not expected.fingerprint):
            continue  # it is under way, or died: there is nothing yet to hold it against
        filed = _filed(store, way, number) if one is not None else {}
        node = expected.node if expected else filed.get("node", "")
        subject = joined([f"execution {number}", node])
        got = "" if one is None else execution_fingerprint(one, events[number])
        yield _elsewhere(subject, expected, filed, state) or _finding(
            EXECUTION, subject, expected.fingerprint if expected else "", got
        )


def _elsewhere(subject: str, expected: Execution | None, filed: Mapping[str, str], state: str) -> Finding | None:
    """That an execution counts as another node's or run's, or has another state, is more than that something differs."""
    if expected is None or not filed:
        return None
    wanted = {"run": expected.run, "pipeline": expected.pipeline, **({"node": expected.node} if expected.node else {})}
    if expected.fingerprint:
        wanted["state"] = expected.state
    got = {"state": state, **filed}
    for name, value in wanted.items():
        if got.get(name, "") != value:
            return Finding(EXECUTION, subject, ALTERED, f"{name} {value}", f"{name} {got.get(name) or 'none'}", _COPY)
    return None


def runs(store: Any, told: Told, way: Way) -> Iterator[Finding]:
    """Yields a finding per run."""
    for name in sorted(way.runs):
        context = store.get_context_by_type_and_name("pipeline_run", name)
        expected = told.contexts.get(name, "")
        got = "" if context is None else context_fingerprint(context)
        if context is not None and not expected and name in told.started:
            yield _begun(name, told.started[name], context)
        else:
            yield _finding(RUN, f"run {name}", expected, got)


def _begun(name: str, facts: Mapping[str, Any], context: Any) -> Finding:
    """Of a run that has no end in the log, what it began with."""
    there = {key: getattr(value, value.WhichOneof("value")) for key, value in context.custom_properties.items()}
    for key, value in facts.items():
        if there.get(key) != value:
            return Finding(RUN, f"run {name}", ALTERED, f"{key} {value}", f"{key} {there.get(key, 'none')}", _COPY)
    remedy = "wait for its end; if it died, the next run of its pipeline writes that down"
    return Finding(RUN, f"run {name}", UNPROVEN, "its end in the log of runs", "only its beginning", remedy)


def _finding(kind: str, subject: str, expected: str, got: str) -> Finding:
    if not got:
        what = f"fingerprint {expected[:12]}" if expected else "a record in ML Metadata"
        return Finding(kind, subject, MISSING, what, "none in ML Metadata", _COPY)
    if not expected:
        return Finding(kind, subject, UNPROVEN, "a fingerprint in the log", _NOT_TOLD, _OLDER)
    state = VERIFIED if expected == got else ALTERED
    return Finding(kind, subject, state, f"fingerprint {expected[:12]}", got[:12], "" if state == VERIFIED else _COPY)


def _filed(store: Any, way: Way, number: int) -> dict[str, str]:
    """Under which run, pipeline and node an execution is filed in ML Metadata now."""
    known = way.graph.executions.get(number)
    if known is not None:
        return {"run": known.run, "pipeline": known.pipeline, "node": known.node}
    names = {context.type: context.name for context in store.get_contexts_by_execution(number)}
    pipeline = names.get("pipeline", "")
    node = names.get("node", "").removeprefix(f"{pipeline}.")
    return {"run": names.get("pipeline_run", ""), "pipeline": pipeline, "node": node}


def _state(one: Any) -> str:
    number = one.state if isinstance(one, metadata_store_pb2.Artifact) else one.last_known_state
    return str(type(one).State.Name(number).lower())


def _paged(ask: Any, ids: Iterable[int]) -> list[Any]:
    wanted = sorted(ids)
    return [one for start in range(0, len(wanted), _IDS) for one in ask(wanted[start : start + _IDS])]
