"""The log of runs on a real ML Metadata file: what it tells, and that nothing runs without it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2 as proto

from errors import FedtfxError, IntegrityError
from lineage import audit_log, forgotten, signing
from lineage.fingerprints import artifact_fingerprint, context_fingerprint, execution_fingerprint, filing_fingerprint
from pipeline.run_log import RunLog

Execution = proto.Execution


class Recorded:
    """A store that holds one run of one pipeline, as TFX files it, and the log of that run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        config = proto.ConnectionConfig()
        config.sqlite.filename_uri = str(root / "metadata.sqlite")
        config.sqlite.connection_mode = 3
        self.store = mlmd.MetadataStore(config)
        self.log = RunLog(str(root), "digits", "run-1")
        self.run_type = self.store.put_context_type(proto.ContextType(name="pipeline_run"))
        self.node_type = self.store.put_execution_type(proto.ExecutionType(name="Node"))

    def begin(self) -> int:
        run = proto.Context(type_id=self.run_type, name="run-1")
        run.custom_properties["seed"].int_value = 42
        return self.store.put_contexts([run])[0]

    def execute(self, run: int, kind: str, state: int = Execution.COMPLETE, **properties: int | str) -> tuple[int, int]:
        """Returns the ids of an execution and of its output."""
        artifact = proto.Artifact(type_id=self.store.put_artifact_type(proto.ArtifactType(name=kind)), uri=f"/{kind}")
        for name, value in properties.items():
            setattr(artifact.custom_properties[name], "int_value" if isinstance(value, int) else "string_value", value)
        execution = Execution(type_id=self.node_type, last_known_state=state)
        event = proto.Event(type=proto.Event.OUTPUT)
        event.path.steps.add().key = "output"
        [context] = self.store.get_contexts_by_id([run])
        number, [made], _ = self.store.put_execution(execution, [(artifact, event)], [context])
        return number, made

    @property
    def told(self) -> list[tuple[str, dict]]:
        return [(entry.event, dict(entry.facts)) for entry in audit_log.read(self.log.path, strict=True)]


@pytest.fixture
def recorded(tmp_path):
    return Recorded(tmp_path)


def test_run_is_told_from_beginning_to_end_with_the_fingerprints_of_what_it_recorded(recorded):
    recorded.log.started({"seed": 42, "code_version": "abc"})
    run = recorded.begin()
    made, model = recorded.execute(run, "Model")
    recorded.log.node(recorded.store, "Trainer", made)
    pushed, _ = recorded.execute(run, "PushedModel", pushed=1)
    recorded.log.node(recorded.store, "Pusher", pushed)
    recorded.log.ended(recorded.store)

    about = {"pipeline": "digits", "run": "run-1"}
    events = [event for event, _ in recorded.told]
    facts = [facts for _, facts in recorded.told]
    assert events == ["run_started", "node", "node", "run_ended"]
    assert facts[0] == {**about, "seed": 42, "code_version": "abc"}
    [execution] = recorded.store.get_executions_by_id([made])
    [artifact] = recorded.store.get_artifacts_by_id([model])
    assert facts[1] == {
        **about,
        "node": "Trainer",
        "execution": made,
        "state": "complete",
        "fingerprint": execution_fingerprint(execution, recorded.store.get_events_by_execution_ids([made])),
        "filed": filing_fingerprint(recorded.store.get_contexts_by_execution(made)),
        "artifacts": {str(model): artifact_fingerprint(artifact)},
    }
    [context] = recorded.store.get_contexts_by_id([run])
    assert facts[3] == {**about, "outcome": "pushed", "context": context_fingerprint(context)}


def test_last_line_of_a_run_is_held_by_ml_metadata(recorded):
    recorded.log.started({})
    run = recorded.begin()
    recorded.log.ended(recorded.store, "failed")
    [context] = recorded.store.get_contexts_by_id([run])
    [*_, last] = audit_log.read(recorded.log.path)
    assert context.custom_properties["audit_digest"].string_value == audit_log.digest(last)
    assert last.facts["outcome"] == "failed"


def test_run_without_a_push_was_refused(recorded):
    recorded.log.started({})
    run = recorded.begin()
    recorded.execute(run, "PushedModel", pushed=0)
    recorded.log.ended(recorded.store)
    assert recorded.told[-1][1]["outcome"] == "refused"


def test_decision_has_an_entry_of_its_own_when_it_is_made_and_none_when_it_failed(recorded):
    run = recorded.begin()
    facts = {"blessed": 1, "model_id": 7, "model_digest": "ab", "override": "force", "override_by": "ada", "unrelated": "x"}
    made, _ = recorded.execute(run, "components.GateDecision", **facts)
    recorded.log.node(recorded.store, "DeployGate", made)
    failed, _ = recorded.execute(run, "components.GateDecision", Execution.FAILED, **facts)
    recorded.log.node(recorded.store, "DeployGate", failed)
    decisions = [facts for event, facts in recorded.told if event == "decision"]
    expected = {name: value for name, value in facts.items() if name != "unrelated"}
    assert decisions == [{"pipeline": "digits", "run": "run-1", **expected, "decision_digest": ""}]


def test_unfinished_execution_has_no_fingerprint_until_it_is_canceled(recorded):
    run = recorded.begin()
    number, _ = recorded.execute(run, "Model", Execution.RUNNING)
    recorded.log.node(recorded.store, "Trainer", number)
    [execution] = recorded.store.get_executions_by_id([number])
    execution.last_known_state = Execution.CANCELED
    events = recorded.store.get_events_by_execution_ids([number])
    recorded.log.canceled({number: (execution, events)}, "its process had died")
    recorded.store.put_executions([execution])
    [stored] = recorded.store.get_executions_by_id([number])
    assert recorded.told[0][1]["fingerprint"] == ""
    assert recorded.told[1][1]["executions"] == {str(number): execution_fingerprint(stored, events)}


def test_run_that_never_came_to_its_end_is_closed_once_by_the_next(recorded):
    recorded.log.started({})
    recorded.begin()
    after = RunLog(str(recorded.root), "digits", "run-2")
    RunLog(str(recorded.root), "other", "run-3").close_dead(recorded.store)
    assert len(recorded.told) == 1
    after.close_dead(recorded.store)
    after.close_dead(recorded.store)
    assert [(event, facts["run"]) for event, facts in recorded.told[1:]] == [("run_died", "run-1")]


def test_run_that_is_not_in_ml_metadata_has_no_end(recorded):
    recorded.log.started({})
    recorded.log.ended(recorded.store, "interrupted")
    assert [event for event, _ in recorded.told] == ["run_started"]


def test_nothing_begins_when_a_line_was_edited(recorded):
    recorded.log.started({"seed": 1})
    path = Path(recorded.log.path)
    path.write_bytes(path.read_bytes().replace(b'"seed": 1', b'"seed": 2'))
    before = path.read_bytes()
    with pytest.raises(IntegrityError, match=r"audit\.jsonl, line 1, was altered: expected .*, got .*; restore the file"):
        recorded.log.started({})
    assert path.read_bytes() == before


def test_log_that_cannot_be_written_is_told_in_one_line(recorded):
    os.mkdir(recorded.log.path)
    with pytest.raises(
        FedtfxError, match=r"audit\.jsonl: expected the log of runs, got a file that cannot be read \(expected a reg"
    ):
        recorded.log.started({})


def test_end_of_a_run_is_signed_by_the_key_after_the_line_that_ml_metadata_holds(recorded, tmp_path):
    key = signing.ensure(tmp_path / "keys")
    log = replace(recorded.log, signing_key=str(key))
    log.started({})
    run = recorded.begin()
    replace(log, run="run-2").close_dead(recorded.store)
    *_, died, (event, seal) = recorded.told
    public = signing.load_public(tmp_path / "keys" / "public.pem")
    [context] = recorded.store.get_contexts_by_id([run])
    assert (died[0], event, seal["run"], seal["key_id"]) == ("run_died", "seal", "run-1", public.key_id)
    assert seal["line"] == context.custom_properties["audit_digest"].string_value
    assert signing.signed_digest(seal["line"], seal["signature"], public)
    assert not signing.signed_digest("0" * 64, seal["signature"], public)
    assert not signing.signed_digest(seal["line"], "no signature", public)


def test_run_tells_the_newest_line_of_the_log_of_releases_and_how_many_clients_it_leaves_out(recorded, tmp_path):
    served = tmp_path / "models"
    served.mkdir()
    released = audit_log.append(served / "audit.jsonl", "push", model="digits")
    forgotten.make_key(recorded.root)
    forgotten.add(recorded.root, "digits", "ab" * 32, "user")
    replace(recorded.log, serving_root=str(served)).started({})
    [(_, facts)] = recorded.told
    assert facts["releases"] == {"root": str(served), "line": audit_log.digest(released)}
    assert facts["forgotten"]["count"] == 1
    assert "ab" * 32 not in str(facts)
