"""{pipeline root}/audit.jsonl: what ran, what was decided and how it ended, with fingerprints of what ML Metadata says of it.

ML Metadata can be rewritten without a trace; this log cannot. Events:

    run_started  {pipeline, run, config_digest, code_version, ...: what is recorded with the run; releases, forgotten}
    node         {pipeline, run, node, execution, state, fingerprint, filed, artifacts: {id: fingerprint}}
    decision     {pipeline, run, model_id, model_digest, blessed, decision_digest, failed_checks, override, ...}
    canceled     {pipeline, run, reason, executions: {id: fingerprint}}
    run_ended    {pipeline, run, outcome, context: fingerprint, releases}
    run_died     {pipeline, run, context: fingerprint, releases}, written by the run that comes after it
    seal         {pipeline, run, key_id, line, signature} of one of the last two, and so of all that came before it

The digest of the line with which a run ends goes back into ML Metadata, so that each of the two holds the other; nobody can
write both anew without the key that signs it. `releases` is the newest line of the log of releases, held in the same way.
Whoever runs pipelines calls this with a MetadataStore and ids; nothing here depends on what starts the nodes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from errors import FedtfxError
from lineage import audit_log, forgotten, signing
from lineage.audit_log import Entry
from lineage.fingerprints import (
    ANCHOR,
    artifact_fingerprint,
    context_fingerprint,
    execution_fingerprint,
    filing_fingerprint,
)
from pipeline.environment import Environment

FILE = "audit.jsonl"
RUN_STARTED, NODE, DECISION = "run_started", "node", "decision"
CANCELED, RUN_ENDED, RUN_DIED, SEAL = "canceled", "run_ended", "run_died", "seal"
PUSHED, REFUSED, FAILED, INTERRUPTED = "pushed", "refused", "failed", "interrupted"

_UNFINISHED = ("new", "running")
_GATE, _BLESSING, _PUSHED_MODEL = "components.GateDecision", "ModelBlessing", "PushedModel"
_DECIDED = (
    "model_id",
    "model_digest",
    "blessed",
    "passed",
    "failed_checks",
    "override",
    "override_by",
    "override_reason",
    "override_until",
)


@dataclass(frozen=True)
class RunLog:
    """The log as one run writes it.

    Attributes:
      root: the pipeline root, which is there.
      pipeline: name of the pipeline.
      run: name of the run in ML Metadata.
      serving_root: whose log of releases is held too; empty for none.
      signing_key: file of the private key that a run's end is signed with; None for none.

    Every method raises IntegrityError if the log was altered, BusyError if it is locked for too long, and FedtfxError if it
    cannot be written.
    """

    root: str
    pipeline: str
    run: str
    serving_root: str = ""
    signing_key: str | None = None

    @classmethod
    def of(cls, environment: Environment, pipeline: str, run: str) -> RunLog:
        """The log of a run in its environment."""
        return cls(environment.root, pipeline, run, environment.serving_root, environment.signing_key)

    @property
    def path(self) -> str:
        """The file."""
        return os.path.join(self.root, FILE)

    def started(self, facts: Mapping[str, str | int]) -> None:
        """The run begins; `facts` are what is recorded with it. To be called before anything is done."""
        self.entries()
        begun = forgotten.tally(self.root, self.pipeline)
        self._append(RUN_STARTED, **facts, **self._releases(), **({forgotten.TALLY: begun} if begun else {}))

    def node(self, store: Any, node_id: str, execution_id: int) -> None:
        """A node's execution ended, whatever came of it; a decision in its outputs gets an entry of its own."""
        [execution] = store.get_executions_by_id([execution_id])
        events = store.get_events_by_execution_ids([execution_id])
        outputs = _outputs(store, events)
        state = _state(execution)
        self._append(
            NODE,
            node=node_id,
            execution=execution_id,
            state=state,
            fingerprint="" if state in _UNFINISHED else execution_fingerprint(execution, events),
            filed=filing_fingerprint(store.get_contexts_by_execution(execution_id)),
            artifacts={str(artifact.id): artifact_fingerprint(artifact) for artifact in outputs},
        )
        if state == "complete":
            for decision in (artifact for artifact in outputs if artifact.type == _GATE):
                self._append(DECISION, **_decided(decision, outputs))

    def canceled(self, executions: Mapping[int, tuple[Any, Iterable[Any]]], reason: str) -> None:
        """Executions of this run are marked as canceled; each is given as it is going to be, with its events."""
        told = {str(number): execution_fingerprint(execution, events) for number, (execution, events) in executions.items()}
        self._append(CANCELED, reason=reason, executions=told)

    def ended(self, store: Any, outcome: str = "") -> None:
        """The run is over: pushed or refused, as ML Metadata tells, unless `outcome` says that it failed or was interrupted.

        Writes the line's digest into the run's context, and signs it. Does nothing if the run never came to be in ML Metadata.

        Raises:
          ConfigError: the signing key cannot be used any more; all but the signature is written.
        """
        self._close(store, RUN_ENDED, outcome=outcome or _outcome(store, self.run))

    def _close(self, store: Any, event: str, **facts: Any) -> None:
        context = store.get_context_by_type_and_name("pipeline_run", self.run)
        if context is not None:
            entry = self._append(event, **facts, context=context_fingerprint(context), **self._releases())
            context.custom_properties[ANCHOR].string_value = audit_log.digest(entry)
            store.put_contexts([context])
            self._seal(audit_log.digest(entry))

    def _seal(self, line: str) -> None:
        if self.signing_key is not None:
            key = signing.load_private(self.signing_key)
            self._append(SEAL, key_id=key.key_id, line=line, signature=signing.sign_digest(line, key))

    def _releases(self) -> dict[str, dict[str, str]]:
        """The newest line of the log of releases; nothing of one that is not there, or which `verify` complains of."""
        with suppress(OSError):
            if self.serving_root and (line := audit_log.newest(os.path.join(self.serving_root, FILE))):
                return {"releases": {"root": self.serving_root, "line": line}}
        return {}

    def close_dead(self, store: Any) -> None:
        """Writes down which runs of this pipeline never came to their end. To be called while no other run can be under way."""
        mine = [entry for entry in self.entries() if entry.facts.get("pipeline") == self.pipeline]
        ended = {entry.facts.get("run") for entry in mine if entry.event in (RUN_ENDED, RUN_DIED)}
        for entry in mine:
            if entry.event == RUN_STARTED and entry.facts.get("run") not in ended:
                replace(self, run=str(entry.facts["run"]))._close(store, RUN_DIED)

    def entries(self) -> list[Entry]:
        """Returns all entries, of all runs."""
        try:
            return audit_log.read(self.path)
        except OSError as error:
            raise _unusable(self.path, "read", error) from error

    def _append(self, event: str, **facts: Any) -> Entry:
        try:
            return audit_log.append(self.path, event, pipeline=self.pipeline, run=self.run, **facts)
        except OSError as error:
            raise _unusable(self.path, "written", error) from error


def _unusable(path: str, what: str, error: OSError) -> FedtfxError:
    return FedtfxError(
        f"{path}: expected the log of runs, got a file that cannot be {what} ({error.strerror}); make room for it, or let this"
        " user write it."
    )


def _outputs(store: Any, events: Iterable[Any]) -> list[Any]:
    ids = {event.artifact_id for event in events if event.type in (event.OUTPUT, event.DECLARED_OUTPUT)}
    return list(store.get_artifacts_by_id(sorted(ids))) if ids else []


def _state(execution: Any) -> str:
    return str(type(execution).State.Name(execution.last_known_state).lower())


def _decided(decision: Any, outputs: Iterable[Any]) -> dict[str, str | int]:
    """What a GateDecision says in ML Metadata, and the digest of its decision.json, which the blessing beside it carries."""
    said = {name: _value(decision, name) for name in _DECIDED if name in decision.custom_properties}
    blessings = (artifact for artifact in outputs if artifact.type == _BLESSING)
    return {**said, "decision_digest": next((_value(one, "decision_digest") for one in blessings), "")}


def _value(artifact: Any, name: str) -> str | int:
    value = artifact.custom_properties[name]
    told: str | int = getattr(value, value.WhichOneof("value") or "string_value")
    return told


def _outcome(store: Any, run: str) -> str:
    context = store.get_context_by_type_and_name("pipeline_run", run)
    executions = [one.id for one in store.get_executions_by_context(context.id)] if context is not None else []
    events = store.get_events_by_execution_ids(executions) if executions else []
    pushed = [one for one in _outputs(store, events) if one.type == _PUSHED_MODEL]
    return PUSHED if any(one.custom_properties["pushed"].int_value == 1 for one in pushed) else REFUSED
