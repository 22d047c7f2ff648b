"""ML Metadata held against the log of runs: artifacts, executions with their events and where they are filed, runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ml_metadata.proto import metadata_store_pb2

from lineage import reading
from lineage.fingerprints import artifact_fingerprint, context_fingerprint, execution_fingerprint, filing_fingerprint
from lineage.graph import DELETED, LIVE, UNFINISHED
from lineage.verify.report import ALTERED, EXECUTION, MISSING, RECORD, RUN, UNPROVEN, VERIFIED, Finding, joined
from lineage.verify.run_log import Execution, RunLog
from lineage.verify.scope import Scope

_COPY = "put back a copy of ML Metadata from before, or run the pipeline again"
_OLDER = "it was made before there was a log, or by something else: run the pipeline again to have it on record"
# Outcomes of runs whose every execution is in the log. One that was interrupted may have been so just before that line.
_TOLD_OF_ALL = ("pushed", "refused", "failed")
_NOT_TOLD = "the log of runs does not tell of it"


def artifacts(store: Any, log: RunLog, scope: Scope) -> Iterator[Finding]:
    """Yields a finding per artifact: whether ML Metadata still says of it what it said when it was published."""
    there = {one.id: one for one in reading.in_chunks(store.get_artifacts_by_id, sorted(scope.artifacts))}
    for number in sorted(scope.artifacts):
        expected, _ = log.artifacts.get(number, ("", 0))
        one = there.get(number)
        subject = f"{one.type} {number}" if one is not None else f"artifact {number}"
        node = scope.node(number)
        got = "" if one is None else artifact_fingerprint(one)
        subject = joined([subject, f"made by {node}" if node else ""])
        if one is not None and (problem := _state_problem(_state(one), removed=number in log.deleted)):
            yield Finding(RECORD, subject, ALTERED, "state live", problem, _COPY)
        else:
            yield _finding(RECORD, subject, expected, got)


def _state_problem(state: str, *, removed: bool) -> str:
    if state == LIVE or (state == DELETED and removed):
        return ""
    return f"state {state}" + ", which no gc wrote down" * (state == DELETED)


def executions(store: Any, log: RunLog, scope: Scope) -> Iterator[Finding]:
    """Yields a finding per execution that ended, or of which the log says, or cannot say, that it should have."""
    there = {one.id: one for one in reading.in_chunks(store.get_executions_by_id, sorted(scope.executions))}
    events: dict[int, list[Any]] = {number: [] for number in there}
    for event in reading.in_chunks(store.get_events_by_execution_ids, sorted(there)):
        events[event.execution_id].append(event)
    contexts = reading.contexts_of(store, sorted(there))
    for number in sorted(scope.executions):
        one, expected = there.get(number), log.executions.get(number)
        state = _state(one) if one is not None else ""
        filed = _filed(contexts[number]) if one is not None else {}
        node = expected.node if expected else filed.get("node", "")
        made = sorted(event.artifact_id for event in events.get(number, ()) if reading.is_output(event))
        outputs = f"with output {', '.join(map(str, made))}" if made and expected is None else ""
        subject = joined([f"execution {number}", node, outputs])
        if expected is None and one is not None and (found := _unknown(subject, filed["run"], state, log)):
            yield found
            continue
        if state in UNFINISHED and (expected is None or not expected.fingerprint):
            if filed["run"] in log.contexts:
                yield Finding(EXECUTION, subject, ALTERED, "its end, for its run is over", f"state {state}", _COPY)
            continue  # it is under way, or died: there is nothing yet to hold it against
        got = "" if one is None else execution_fingerprint(one, events[number])
        yield (
            _elsewhere(subject, expected, filed, state)
            or _filed_otherwise(subject, expected, contexts.get(number))
            or _finding(EXECUTION, subject, expected.fingerprint if expected else "", got)
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


def _unknown(subject: str, run: str, state: str, log: RunLog) -> Finding | None:
    """Of an execution that the log does not tell of, though it should: nothing if its run is still under way."""
    if log.outcomes.get(run) in _TOLD_OF_ALL or (run in log.contexts and state in UNFINISHED):
        return Finding(EXECUTION, subject, ALTERED, f"one that the log of runs tells of in run {run}", "no word of it", _COPY)
    if state in UNFINISHED and run not in log.started:
        return Finding(EXECUTION, subject, UNPROVEN, "a run that the log tells of", f"run {run or 'none'}, {state}", _OLDER)
    return None


def _filed_otherwise(subject: str, expected: Execution | None, contexts: Sequence[Any] | None) -> Finding | None:
    """That an execution is filed under more or other than run, pipeline and node: TFX's cache finds it by such a context."""
    if contexts is None or expected is None or not expected.filed or filing_fingerprint(contexts) == expected.filed:
        return None
    got = ", ".join(sorted(f"{context.type} {context.name[:40]}" for context in contexts))
    return Finding(EXECUTION, subject, ALTERED, f"filed with fingerprint {expected.filed[:12]}", f"filed under {got}", _COPY)


def runs(store: Any, log: RunLog, scope: Scope) -> Iterator[Finding]:
    """Yields a finding per run."""
    for name in sorted(scope.runs):
        context = store.get_context_by_type_and_name("pipeline_run", name)
        expected = log.contexts.get(name, "")
        got = "" if context is None else context_fingerprint(context)
        if context is not None and not expected and name in log.started:
            yield _begun(name, log.started[name], context)
        else:
            yield _finding(RUN, f"run {name}", expected, got)


def _begun(name: str, facts: Mapping[str, Any], context: Any) -> Finding:
    """Of a run that has no end in the log, what it began with."""
    there = reading.values(context)
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


def _filed(contexts: Sequence[Any]) -> dict[str, str]:
    """Under which run, pipeline and node an execution is filed in ML Metadata now."""
    names = {context.type: context.name for context in contexts}
    pipeline = names.get("pipeline", "")
    node = names.get("node", "").removeprefix(f"{pipeline}.")
    return {"run": names.get("pipeline_run", ""), "pipeline": pipeline, "node": node}


def _state(one: Any) -> str:
    number = one.state if isinstance(one, metadata_store_pb2.Artifact) else one.last_known_state
    return str(type(one).State.Name(number).lower())
