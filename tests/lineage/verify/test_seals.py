"""What holds the logs from outside: seals of the runs' ends, words of one log on the other, lists of forgotten clients."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from errors import IntegrityError
from lineage import audit_log, forgotten, signing
from pipeline.run_log import RunLog


def test_sealed_run_is_verified_and_one_without_a_seal_unproven(small: Any) -> None:
    small.sealed_run("run-2")
    assert small.found("log") == []
    [found] = small.found("log", everything=True)
    assert (found.state, found.subject) == ("unproven", "end of run run-1, signed")
    small.signing_key = None
    small.run("run-3")
    [found] = small.found("log")
    assert (found.state, found.subject, found.got) == ("unproven", "end of run run-3, signed", "none")


def test_log_without_seals_and_without_a_key_says_so(small: Any) -> None:
    assert [note for note in small.verify().notes if "not sealed" in note]
    assert not [note for note in small.sealed_run("run-2").verify().notes if "not sealed" in note]


def forged(small: Any, keep: Callable[[Any], bool] = lambda entry: True) -> None:
    """Log and ML Metadata written anew alike, as who has everything but the key would: another number of seeds, no gap."""
    path, lines = Path(small.places.audit_log), {}
    entries = audit_log.read(path)
    path.unlink()
    for entry in filter(keep, entries):
        facts = {**entry.facts, **({"failed_checks": "none"} if entry.event == "decision" else {})}
        facts |= {"line": lines.get(facts["line"], facts["line"])} if entry.event == "seal" else {}
        lines[audit_log.digest(entry)] = audit_log.digest(audit_log.append(path, entry.event, **facts))
    for context in small.store.get_contexts_by_type("pipeline_run"):
        anchor = context.custom_properties["audit_digest"]
        anchor.string_value = lines[anchor.string_value]
        small.store.put_contexts([context])


def test_who_rewrites_log_and_ml_metadata_alike_without_the_key_is_found(small: Any) -> None:
    small.sealed_run("run-2")
    forged(small)
    assert [(one.state, one.got) for one in small.found("log")] == [("altered", "one that the key did not make")]


def test_seal_that_was_left_out_is_found_also_when_a_later_run_has_one(small: Any) -> None:
    small.sealed_run("run-2")
    forged(small, lambda entry: entry.event != "seal")
    assert [(one.state, one.got) for one in small.found("log")] == [("unproven", "none")]
    small.sealed_run("run-3")
    states = {one.subject: one.state for one in small.found("log", everything=True)}
    assert states["end of run run-2, signed"] == "unproven"


def test_seal_whose_line_is_gone_is_an_alteration(small: Any) -> None:
    small.sealed_run("run-2")
    audit_log.append(
        small.places.audit_log,
        "seal",
        key_id=signing.load_public(small.folder / ".signing" / "public.pem").key_id,
        run="run-9",
        line="ab",
        signature="ab",
    )
    assert [(one.state, one.subject) for one in small.found("log")] == [("altered", "seal of run run-9")]


def test_seals_that_nobody_can_check_are_unproven(small: Any) -> None:
    small.sealed_run("run-2")
    shutil.rmtree(small.folder / ".signing")
    assert ("unproven", "a public key") in [(one.state, one.expected) for one in small.found("log")]


def test_log_of_releases_that_was_cut_after_the_last_push_is_found_by_the_next_run(small: Any) -> None:
    releases = Path(small.places.serving_root, "audit.jsonl")
    pushed = releases.read_bytes()
    audit_log.append(releases, "rollback", model="small", version=1)
    small.log = RunLog(str(small.folder), "small", "run-2", small.places.serving_root)
    small.log.started({})
    assert small.found("log") == []
    releases.write_bytes(pushed)
    [found] = small.found("log")
    assert (found.state, found.subject) == ("altered", "run run-2 in the log of releases")


@pytest.fixture
def left_out(small: Any) -> Any:
    """The small run after a client was forgotten, and a run that began with that."""
    key = forgotten.make_key(small.folder)
    client = forgotten.keyed_hash(key, "small", "ann")
    forgotten.add(small.folder, "small", client, "user")
    audit_log.append(small.places.audit_log, "forget", pipeline="small", client=client)
    RunLog(str(small.folder), "small", "run-2").started({})
    assert small.found("forgotten") == []
    return small


def test_list_of_forgotten_clients_that_is_gone_or_altered_or_has_another_key_is_found(left_out: Any) -> None:
    listed, key = left_out.folder / ".clients" / "small.jsonl", left_out.folder / ".clients" / "key"
    for file, content in ((listed, b""), (listed, listed.read_bytes().replace(b"user", b"name")), (key, b"x" * 32)):
        before = file.read_bytes()
        file.write_bytes(content)
        assert [one.state for one in left_out.found("forgotten")] == ["altered"]
        file.write_bytes(before)
    listed.unlink()
    assert [one.state for one in left_out.found("forgotten")] == ["altered"]


def test_list_and_line_of_a_forgotten_client_both_gone_are_noticed_by_verify_and_by_the_next_run(left_out: Any) -> None:
    log = Path(left_out.places.audit_log)
    entries = audit_log.read(log)
    log.unlink()
    for entry in entries:
        if entry.event != "forget":
            audit_log.append(log, entry.event, **entry.facts)
    [found] = left_out.found("forgotten")
    assert (found.state, "for each of 1 forgotten clients" in found.got) == ("altered", True)
    shutil.rmtree(left_out.folder / ".clients")
    [found] = left_out.found("forgotten")
    assert (found.state, "expected the 1 forgotten clients that run run-2 began with" in found.got) == ("altered", True)
    with pytest.raises(IntegrityError, match="expected the 1 forgotten clients that run run-2 began with, got none"):
        forgotten.omission(left_out.folder, "small")
