"""What the log of runs tells, whatever ML Metadata says now: fingerprints, and which node of which run made what."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from errors import IntegrityError
from lineage import audit_log
from lineage.audit_log import Entry
from lineage.forgotten import TALLY
from lineage.verify.report import ALTERED, LOG, MISSING, UNPROVEN, VERIFIED, Finding

ENDED = ("run_ended", "run_died")
_NOT_OF_THE_RUN = ("run", "pipeline", "releases", TALLY)
_REWRITE = "put back a copy of it; what it cannot tell any more is unproven"


@dataclass(frozen=True)
class Execution:
    """An execution as it was when it ended; `state` and `fingerprint` are empty while it had not, `filed` in older logs."""

    node: str
    pipeline: str
    run: str
    state: str
    fingerprint: str
    filed: str = ""


@dataclass
class RunLog:
    """The log, by what it tells of. The first word on anything counts; `contradicted` is where a later one differs."""

    path: str
    entries: list[Entry]
    problem: str = ""
    executions: dict[int, Execution] = field(default_factory=dict)
    artifacts: dict[int, tuple[str, int]] = field(default_factory=dict)
    """Fingerprint, and the execution that told of it first."""
    contexts: dict[str, str] = field(default_factory=dict)
    """Of the runs that came to their end, or died."""
    outcomes: dict[str, str] = field(default_factory=dict)
    """The same runs; empty of one that died."""
    started: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    decisions: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    deleted: set[int] = field(default_factory=set)
    lines: dict[str, Entry] = field(default_factory=dict)
    contradicted: list[str] = field(default_factory=list)

    def of_run(self, runs: Iterable[str]) -> set[int]:
        """Returns the executions of these runs."""
        wanted = set(runs)
        return {number for number, execution in self.executions.items() if execution.run in wanted}

    def made_by(self, executions: Iterable[int]) -> set[int]:
        """Returns the artifacts that were told of first with one of these."""
        wanted = set(executions)
        return {number for number, (_, execution) in self.artifacts.items() if execution in wanted}


def read(path: str) -> RunLog:
    """Reads the log; of a damaged one, the lines that are still entries by themselves."""
    try:
        found = RunLog(path, audit_log.read(path, strict=True))
    except IntegrityError as error:
        found = RunLog(path, audit_log.intact(path), str(error))
    except OSError as error:
        return RunLog(path, [], f"{path}: cannot be read ({error.strerror})")
    for entry in found.entries:
        found.lines[audit_log.digest(entry)] = entry
        try:
            _READERS.get(entry.event, _nothing)(found, entry.facts)
        except (KeyError, ValueError, TypeError, AttributeError):
            found.problem = found.problem or f"line {entry.number} does not tell what a line of {entry.event} tells"
    return found


def _nothing(found: RunLog, facts: Mapping[str, Any]) -> None:
    """Of an event that verification does not need."""


def _started(found: RunLog, facts: Mapping[str, Any]) -> None:
    found.started.setdefault(facts["run"], {name: value for name, value in facts.items() if name not in _NOT_OF_THE_RUN})


def _node(found: RunLog, facts: Mapping[str, Any]) -> None:
    number = int(facts["execution"])
    ended = Execution(
        facts["node"], facts["pipeline"], facts["run"], facts["state"], facts["fingerprint"], facts.get("filed", "")
    )
    _ended(found, number, ended)
    for artifact, fingerprint in facts["artifacts"].items():
        first, _ = found.artifacts.setdefault(int(artifact), (fingerprint, number))
        if first != fingerprint:
            found.contradicted.append(f"artifact {artifact} in run {facts['run']}")


def _canceled(found: RunLog, facts: Mapping[str, Any]) -> None:
    for number, fingerprint in facts["executions"].items():
        before = found.executions.get(int(number))
        node = before.node if before else ""
        _ended(found, int(number), Execution(node, facts["pipeline"], facts["run"], "canceled", fingerprint), again=True)


def _ended(found: RunLog, number: int, execution: Execution, *, again: bool = False) -> None:
    """An execution ends once; that it is marked as canceled is written down before it is done, so perhaps twice."""
    before = found.executions.get(number)
    if before is None or not before.fingerprint or (again and before.state == "canceled"):
        found.executions[number] = execution
    elif before.fingerprint != execution.fingerprint:
        found.contradicted.append(f"execution {number} in run {execution.run}")


def _closed(found: RunLog, facts: Mapping[str, Any]) -> None:
    found.contexts.setdefault(facts["run"], facts["context"])
    found.outcomes.setdefault(facts["run"], facts.get("outcome", ""))


def _decided(found: RunLog, facts: Mapping[str, Any]) -> None:
    found.decisions.setdefault(str(facts["decision_digest"]), []).append(facts)


def _collected(found: RunLog, facts: Mapping[str, Any]) -> None:
    found.deleted.update(map(int, facts["artifacts"]))


_READERS = {
    "run_started": _started,
    "node": _node,
    "canceled": _canceled,
    "decision": _decided,
    "run_ended": _closed,
    "run_died": _closed,
    "gc": _collected,
}


def check(found: RunLog, anchors: Mapping[str, str]) -> list[Finding]:
    """Returns what is to be said of the log itself.

    Args:
      found: the log.
      anchors: run -> digest of the line with which it ended, as ML Metadata has it; empty of one without.
    """
    return [_chain(found, anchors), *_contradictions(found), *_cut_off(found, anchors)]


def _chain(found: RunLog, anchors: Mapping[str, str]) -> Finding:
    subject = "log of runs"
    if found.problem:
        return Finding(LOG, subject, ALTERED, "an unbroken chain", found.problem, _REWRITE, found.path)
    if os.path.exists(found.path):
        return Finding(LOG, subject, VERIFIED, got=f"{len(found.entries)} lines", path=found.path)
    if any(anchors.values()):
        return Finding(LOG, subject, MISSING, "the log that ML Metadata tells of", "none", _REWRITE, found.path)
    remedy = "run the pipeline again: what ran before there was a log cannot be proved"
    return Finding(LOG, subject, UNPROVEN, "a log", "none", remedy, found.path)


def _contradictions(found: RunLog) -> list[Finding]:
    if not found.contradicted:
        return []
    what = ", ".join(found.contradicted[:3]) + ", ..." * (len(found.contradicted) > 3)
    remedy = "ML Metadata was altered before that run: put a copy of it back"
    return [Finding(LOG, "log of runs", ALTERED, "the same fingerprint in every run", f"another of {what}", remedy, found.path)]


def _cut_off(found: RunLog, anchors: Mapping[str, str]) -> list[Finding]:
    findings = []
    for run, digest in anchors.items():
        if problem := _anchor_problem(found, run, digest):
            state, got = problem
            expected = (
                f"the line {digest[:12]} with which run {run} ended" if digest else f"the last line's digest of run {run}"
            )
            findings.append(Finding(LOG, f"end of run {run} in the log", state, expected, got, _REWRITE, found.path))
    return findings


def _anchor_problem(found: RunLog, run: str, digest: str) -> tuple[str, str] | None:
    if not digest:
        return (UNPROVEN, "none in ML Metadata") if run in found.contexts else None
    entry = found.lines.get(digest)
    if entry is None:
        return ALTERED, "no such line: the log was cut off or written anew, or the digest altered"
    if entry.event not in ENDED or entry.facts.get("run") != run:
        return ALTERED, "a line of something else"
    return None
