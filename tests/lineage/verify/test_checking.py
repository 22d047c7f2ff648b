"""What verification says of a small run: every state, and what each attempt to deceive it leads to."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from errors import ConfigError
from lineage import audit_log
from lineage.questions import naming
from lineage.verify import checking
from pipeline.run_log import RunLog


def test_untouched_run_is_verified_but_for_the_statement_that_it_never_had(small: Any) -> None:
    report = small.verify()
    assert report.models == (f"small/{next(Path(small.places.serving_root, 'small').glob('[0-9]*')).name}",)
    assert [(one.kind, one.state) for one in report.failing()] == [("statement", "unproven")]
    assert (report.exit_code(), report.exit_code(allow_unproven=True)) == (10, 0)
    assert small.verify(everything=True).failing(allow_unproven=True) == []


def test_new_and_missing_files_of_an_artifact_are_alterations(small: Any) -> None:
    uri = Path(small.artifact(small.model).uri)
    (uri / "more").touch()
    assert [one.state for one in small.found("files")] == ["altered"]
    (uri / "more").unlink()
    (uri / "Format-Serving" / "saved_model.pb").unlink()
    assert [one.state for one in small.found("files")] == ["altered"]


def test_directory_that_nobody_wrote_down_as_removed_is_missing(small: Any) -> None:
    shutil.rmtree(small.artifact(1).uri)
    [found] = small.found("files")
    assert (found.state, found.got) == ("missing", "no directory")


def test_directory_marked_as_deleted_without_gc_is_missing_and_the_record_altered(small: Any) -> None:
    examples = small.artifact(1)
    shutil.rmtree(examples.uri)
    examples.state = 4
    small.store.put_artifacts([examples])
    assert [one.state for one in small.found("files")] == ["missing"]
    assert [(one.state, one.got) for one in small.found("record")] == [("altered", "state deleted, which no gc wrote down")]


def test_what_gc_removed_fails_only_if_a_live_model_needs_it(small: Any) -> None:
    old = small.model
    small.run("run-2")
    small.collected(old)
    assert small.found("files") == []  # the live model has nothing of it
    [found] = small.found("files", everything=True)
    assert (found.state, found.needed) == ("deleted", False)
    assert small.verify(everything=True).failing(allow_unproven=True) == []
    small.collected(small.model)
    assert [(one.state, one.needed) for one in small.found("files")] == [("deleted", True)]
    assert small.verify().exit_code(allow_unproven=True) == 10


def test_model_that_was_named_and_that_gc_removed_is_not_verified(small: Any) -> None:
    old = small.model
    small.run("run-2")
    small.collected(old)
    with small.places.opened() as store:
        named = [naming.resolve(f"id:{old}", store, small.places)]
        report = checking.verify(store, small.places, named)
    assert [(one.state, one.needed) for one in report.failing(allow_unproven=True)] == [("deleted", True)]


def test_copy_of_a_root_is_not_vouched_for_by_the_files_of_the_original(small: Any, tmp_path: Path) -> None:
    elsewhere = replace(small.places, root=str(tmp_path / "copy"))
    shutil.copytree(small.folder, elsewhere.root, ignore=shutil.ignore_patterns("copy"))
    with elsewhere.opened() as store:
        report = checking.verify(store, elsewhere, checking.live_models(store, elsewhere))
    found = [one for one in report.findings if one.kind == "files"]
    assert found
    assert {one.state for one in found} == {"unproven"}
    assert all("outside of the pipeline root" in one.got for one in found)


def test_artifact_that_is_elsewhere_or_has_no_digest_is_unproven(small: Any) -> None:
    small.log.started({})
    bucket = small.writer.artifact("Examples", "gs://bucket/examples", digest="ab")
    plain = small.writer.artifact("Examples", str(small.data))
    number, _ = small.writer.execute("small", "run-1", "ExampleGen", {}, {"examples": [bucket, plain]})
    small.log.node(small.store, "ExampleGen", number)
    found = small.found("files")
    assert [(one.state, one.got) for one in found] == [
        ("unproven", "files that are not on this machine"),
        ("unproven", "no digest on record"),
    ]


def test_without_the_log_what_ml_metadata_says_is_unproven_and_the_log_missing(small: Any) -> None:
    Path(small.places.audit_log).unlink()
    assert {one.state for one in small.found("record")} == {"unproven"}
    assert "missing" in {one.state for one in small.found("log")}


def test_log_that_was_written_anew_without_a_gap_is_found_by_what_ml_metadata_holds(small: Any) -> None:
    path = Path(small.places.audit_log)
    entries = audit_log.read(path)
    path.unlink()
    for entry in entries:
        audit_log.append(path, entry.event, **{**entry.facts, **({"blessed": 0} if entry.event == "decision" else {})})
    [found] = [one for one in small.found("log") if one.state == "altered"]
    assert found.subject == "end of run run-1 in the log"


def test_record_that_was_altered_before_a_later_run_took_it_from_the_cache_is_found(small: Any) -> None:
    model = small.artifact(small.model)
    model.custom_properties["rounds"].int_value = 99
    small.store.put_artifacts([model])
    RunLog(str(small.folder), "small", "run-2").node(small.store, "Trainer", small.executions["Trainer"])
    assert [one.state for one in small.found("record")] == ["altered"]
    [found] = small.found("log")
    assert found.got == f"another of artifact {small.model} in run run-2"


def test_input_that_was_added_to_a_finished_execution_is_found(small: Any) -> None:
    event = small.writer.execute("small", "run-0", "Other", {"model": [small.model]})
    [added] = small.store.get_events_by_execution_ids([event[0]])
    added.execution_id = small.executions["Trainer"]
    small.store.put_events([added])
    [found] = [one for one in small.found("execution") if one.state == "altered"]
    assert found.subject == f"execution {small.executions['Trainer']}, Trainer"


def decision_of(small: Any) -> Path:
    [decision] = small.store.get_artifacts_by_type("components.GateDecision")
    return Path(decision.uri, "decision.json")


@pytest.mark.parametrize(
    "edit", ['{"blessed": true}', "[]", "no json", '{"blessed": false, "model": {"id": 2, "digest": "x"}}']
)
def test_decision_that_says_something_else_is_altered(small: Any, edit: str) -> None:
    decision_of(small).write_text(edit)
    assert [one.state for one in small.found("decision")] == ["altered"]


def test_decision_that_was_forged_with_its_blessing_is_not_in_the_log(small: Any) -> None:
    file = decision_of(small)
    said = json.loads(file.read_text())
    file.write_text(json.dumps({**said, "checks": []}))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    [blessing] = small.store.get_artifacts_by_type("ModelBlessing")
    Path(blessing.uri, "BLESSED").write_text(digest)
    [pushed] = small.store.get_artifacts_by_type("PushedModel")
    for artifact in (blessing, pushed):
        artifact.custom_properties["decision_digest"].string_value = digest
    small.store.put_artifacts([blessing, pushed])
    states = {one.subject.split()[0]: one.state for one in small.found("decision")}
    assert states == {"decision": "unproven", "push": "altered"}


def test_decision_about_a_model_that_is_not_live_is_looked_at_with_all(small: Any) -> None:
    first = decision_of(small)
    small.run("run-2")
    first.write_text("[]")
    assert [one.state for one in small.found("decision")] == []
    assert [(one.state, one.path) for one in small.found("decision", everything=True)] == [("altered", str(first))]


def test_other_source_data_are_an_alteration_and_data_that_are_gone_unproven(small: Any) -> None:
    (small.data / "a.csv").write_text("x,y\n1,3\n")
    assert [(one.state, one.path) for one in small.found("source")] == [("altered", str(small.data))]
    (small.data / "a.csv").unlink()
    assert [(one.state, one.got) for one in small.found("source")] == [("unproven", "nothing there any more")]


def test_public_key_that_is_none_is_refused(small: Any, tmp_path: Path) -> None:
    from lineage.verify import verify

    (tmp_path / "key").write_text("hello")
    with small.places.opened() as store, pytest.raises(ConfigError, match="expected an ed25519 public key in PEM"):
        verify(store, small.places, [], public_key=str(tmp_path / "key"))


DEEP = "[" * 200_000


def test_json_that_is_nested_too_deeply_is_blamed_on_its_file(small: Any) -> None:
    decision_of(small).write_text(DEEP)
    [found] = small.found("decision")
    assert (found.state, found.got, found.path) == ("altered", "JSON that is nested too deeply", str(decision_of(small)))
    for log in (Path(small.places.audit_log), Path(small.places.serving_root, "audit.jsonl")):
        before = log.read_bytes()
        log.write_bytes(before + DEEP.encode() + b"\n")
        assert [(one.state, one.path) for one in small.found("log") if one.subject.startswith("log of")] == [
            ("altered", str(log))
        ]
        log.write_bytes(before)
