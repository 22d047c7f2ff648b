"""The commands on a directory: what they write, refuse and say. No server is asked."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from errors import PushError
from lineage import audit_log
from serving import layout, models_config
from serving.__main__ import main
from serving.models_config import Following, Held
from serving.releases.change import UNASKED
from tests.serving.releases.pushing import push, state


@pytest.fixture
def root(tmp_path):
    """Versions 1, 2 and 3 of digits."""
    for content in "abc":
        push(tmp_path / "served", content)
    return tmp_path / "served"


@pytest.fixture
def run(root, capsys):
    """Runs a command and returns its exit code and what it said, but for that no server was asked."""

    def run(*arguments: object) -> tuple[int, str]:
        code = main([*map(str, arguments), "--root", str(root)])
        said = capsys.readouterr()
        return code, (said.out + said.err).removeprefix(f"{UNASKED}\n").strip()

    return run


def last(root: Path) -> audit_log.Entry:
    return audit_log.read(root / "audit.jsonl")[-1]


def test_a_release_from_push_to_push(root, run):
    assert run("promote", 3) == (0, "digits: live 3; label stable -> 3")
    push(root, "d")
    assert layout.live_version(root / "digits") == 3
    assert run("canary", 4) == (0, "digits: live 3 -> 4 (canary: requests that name no label get it); label canary -> 4")
    assert run("promote", 4) == (0, "digits: live 4; label stable 3 -> 4")
    assert run("rollback") == (0, "digits: live 4 -> 3; label stable 4 -> 3; canary dropped (was 4)")
    assert state(root) == Held((3,), {"stable": 3})
    assert run("unlabel", "stable") == (0, "digits: live 3 (pinned); stable dropped (was 3)")
    assert run("unpin") == (0, "digits: live 3 -> 4 (follows the newest)")
    assert state(root) == Following()
    assert [e.event for e in audit_log.read(root / "audit.jsonl")[3:]] == [
        "promote",
        "push",
        "canary",
        "promote",
        "rollback",
        "unlabel",
        "unpin",
    ]


def test_entry_tells_the_state_before_and_after(root, run):
    run("pin", 2)
    assert last(root).facts == {
        "model": "digits",
        "live": 2,
        "before": {"policy": "latest"},
        "after": {"policy": "specific", "versions": [2], "labels": {}},
        "servers": [],
    }


def test_rollback_takes_what_was_live_before(root, run):
    run("pin", 1)
    run("unpin")
    assert run("rollback") == (0, "digits: live 3 -> 1 (pinned)")
    assert run("rollback") == (
        2,
        "error: rollback: expected a complete version before 1, which is live, got none; push a model,"
        " or name one with --to (see the command status).",
    )


@pytest.mark.parametrize("break_it", [shutil.rmtree, lambda path: (path / "saved_model.pb").unlink()])
def test_rollback_of_a_live_version_that_is_broken_or_gone_serves_the_one_before(root, run, break_it):
    break_it(root / "digits" / "3")
    assert run("rollback")[0] == 0
    assert state(root) == Held((2,))
    events = [(entry.event, entry.facts["live"]) for entry in audit_log.read(root / "audit.jsonl")[3:]]
    assert events == [("missing", 2), ("rollback", 2)]


def test_rollback_of_a_held_version_that_is_gone_takes_its_label_along(root, run):
    run("promote", 3)
    shutil.rmtree(root / "digits" / "3")
    assert run("rollback") == (0, "digits: live nothing -> 2; label stable 3 -> 2")


def test_dry_run_says_what_would_change_and_writes_nothing(root, run):
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert run("rollback", "--dry_run") == (0, "would change digits: live 3 -> 2 (pinned)")
    assert run("prune", "--keep", 1, "--dry_run") == (0, "digits: would remove 1; kept 2, 3 (live)")
    assert run("unpin", "--dry_run") == (0, "nothing would change: digits: live 3 (follows the newest)")
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_same_command_again_changes_and_writes_nothing(root, run):
    run("pin", 2)
    entries = len(audit_log.read(root / "audit.jsonl"))
    assert run("pin", 2) == (0, "nothing to change: digits: live 2 (pinned)")
    assert len(audit_log.read(root / "audit.jsonl")) == entries


def test_release_that_no_server_is_asked_about_says_so(root, capsys):
    assert main(["pin", "2", "--root", str(root)]) == 0
    assert capsys.readouterr().out.splitlines() == [UNASKED, "digits: live 3 -> 2 (pinned)"]


def test_half_copied_version_is_no_version(root, run):
    (root / "digits" / "9").mkdir()
    (root / "digits" / "9" / "saved_model.pb").write_bytes(b"a graph with save/RestoreV2 in it")
    assert layout.live_version(root / "digits") == 3
    assert run("promote", 9)[0] == 2
    (root / "digits" / "9" / "variables").mkdir()
    (root / "digits" / "9" / "variables" / "variables.index").touch()
    assert layout.live_version(root / "digits") == 9


def test_model_without_its_variables_is_not_published(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"a graph with save/RestoreV2 in it")
    with pytest.raises(PushError, match="expected the variables of"):
        layout.publish(tmp_path / "model", tmp_path / "served" / "digits")
    assert layout.versions(tmp_path / "served" / "digits") == []


def test_status_names_a_listed_version_that_is_not_there(root, run):
    run("pin", 2)
    shutil.rmtree(root / "digits" / "2")
    code, said = run("status")
    assert code == 1
    assert "version 2: models.config lists it, but it is not complete on the disk" in said


def test_pin_without_a_version_holds_the_live_one(root, run):
    assert run("pin") == (0, "digits: live 3 (pinned)")


def test_prune_removes_what_nothing_refers_to_and_writes_down_its_digest(root, run):
    digests = {e.facts["version"]: e.facts["digest"] for e in audit_log.read(root / "audit.jsonl")}
    run("promote", 2)
    run("rollback")
    push(root, "d")
    assert run("prune", "--keep", 1, "--no_wait") == (0, "digits: removed 3; kept 1 (live), 2, 4")
    assert layout.versions(root / "digits") == [1, 2, 4]
    assert last(root).facts["removed"] == [{"version": 3, "digest": digests[3]}]
    assert run("prune", "--keep", 1, "--no_wait") == (0, "digits: removed nothing; kept 1 (live), 2, 4")


def test_prune_that_asks_no_server_must_say_so_and_keeps_what_was_live_before_the_newest(root, run):
    code, said = run("prune", "--keep", 1)
    assert (code, layout.versions(root / "digits")) == (2, [1, 2, 3])
    assert "expected --server of every model server, got none" in said and "--no_wait" in said
    assert run("prune", "--keep", 1, "--no_wait") == (0, "digits: removed 1; kept 2, 3 (live)")


def test_edit_by_hand_is_written_down_by_the_next_command(root, run):
    models_config.put(root, "digits", Held((1,)))
    run("unpin")
    found, unpin = audit_log.read(root / "audit.jsonl")[-2:]
    assert (found.event, found.facts["after"]["versions"], unpin.event) == ("found", [1], "unpin")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["promote", 9], r"expected a complete version \(1, 2, 3\), got 9"),
        (["promote", "x"], "expected a version, such as 1700000000, got 'x'"),
        (["promote", "-1"], "expected a version|unrecognized|required"),
        (["promote", "2", "--wait_seconds", "0"], "expected seconds above 0"),
        (["promote", "2", "--server", "localhost"], "--server: expected a model server's address"),
        (["promote", "2", "--server", "localhost:99999"], "--server: expected"),
        (["promote", "2", "--model_name", "cats"], r"expected a model with a pushed version \(digits\), got 'cats'"),
        (["promote", "2", "--model_name", "../x"], "--model_name"),
        (["unlabel", "canary"], r"expected a label that is given \(none\)"),
        (["prune", "--keep", "0", "--no_wait"], "expected at least 1"),
        (["prune"], "--keep"),
        (["promote"], "required"),
    ],
)
def test_refusal_is_one_line_and_changes_nothing(root, run, arguments, told):
    before = (root / "models.config").read_bytes()
    code, said = run(*arguments)
    assert code == 2
    assert said.startswith("error: ") and "\n" not in said
    assert re.search(told, said)
    assert (root / "models.config").read_bytes() == before


def test_one_of_several_models_must_be_named_to_be_changed(root, run):
    push(root, "a", "cats")
    assert run("pin") == (2, "error: --model_name: expected the name of one model (cats, digits), got none; name it.")
    assert run("pin", "--model_name", "cats")[0] == 0
    assert state(root) == Following()


def test_root_that_is_not_there_is_refused(tmp_path, capsys):
    assert main(["status", "--root", str(tmp_path / "none")]) == 2
    assert "expected a serving root" in capsys.readouterr().err


def test_server_that_does_not_answer_is_told_before_anything_is_changed(root, run):
    before = {path: path.read_bytes() for path in root.iterdir() if path.is_file()}
    for command in (["rollback"], ["prune", "--keep", "1"]):
        code, said = run(*command, "--server", "127.0.0.1:1")
        assert code == 1
        assert "expected every server to answer before anything is changed, got 127.0.0.1:1: it does not answer" in said
    assert {path: path.read_bytes() for path in root.iterdir() if path.is_file()} == before
    assert run("rollback", "--server", "127.0.0.1:1", "--no_wait")[0] == 0


def test_status_shows_versions_and_their_labels(root, run):
    run("promote", 2)
    run("canary", 1)
    code, said = run("status")
    assert code == 0
    assert said.splitlines() == [
        "digits: held; live 2",
        "  version  on disk   models.config",
        "  3        complete  -",
        "  2        complete  live, stable",
        "  1        complete  served, canary",
    ]


def test_status_of_a_server_that_does_not_answer_is_one(root, run):
    code, said = run("status", "--server", "127.0.0.1:1")
    assert code == 1
    assert "127.0.0.1:1: it does not answer (nothing listens there; start the model server" in said


def test_status_for_machines(root, run):
    run("promote", 2)
    (told,) = json.loads(run("status", "--json")[1])
    assert told == {
        "model": "digits",
        "live": 2,
        "complete": [1, 2, 3],
        "altered": [],
        "policy": "specific",
        "versions": [2],
        "labels": {"stable": 2},
        "servers": [],
    }


def test_history_is_a_table_and_json_lines(root, run):
    run("promote", 3)
    run("prune", "--keep", 1, "--no_wait")
    lines = run("history")[1].splitlines()
    assert [line.split()[0] for line in lines] == ["UTC", "1", "2", "3", "4", "5"]
    assert "promote  serves 3, stable 3; live 3" in lines[4]
    assert lines[5].endswith("prune    versions 1")
    assert run("history", "--json")[1] == (root / "audit.jsonl").read_text().strip()


def test_altered_history_is_told(root, run):
    log = root / "audit.jsonl"
    log.write_text(log.read_text().replace('"version": 1', '"version": 8'))
    code, said = run("history")
    assert code == 1
    assert "line 1, was altered" in said


def alter(root: Path, version: int) -> None:
    (root / "digits" / str(version) / "saved_model.pb").write_text("altered")


@pytest.mark.parametrize("command", [["rollback"], ["promote", 2], ["canary", 2], ["pin", 2], ["rollback", "--dry_run"]])
def test_version_with_other_bytes_than_were_pushed_is_not_put_in_service(root, run, command):
    alter(root, 2)
    before = (root / "models.config").read_bytes()
    code, said = run(*command)
    assert code == 1
    assert re.search(r"version 2 in .* was altered: expected digest \w{12}, got \w{12}; restore .* or name another", said)
    assert (root / "models.config").read_bytes() == before
    assert run("rollback", "--to", 1)[0] == 0


def test_what_is_served_already_can_be_left_though_all_of_it_was_altered(root, run):
    run("promote", 3)
    run("promote", 1, "--label", "beta")
    for version in (1, 3):
        alter(root, version)
    code, said = run("rollback")
    assert code == 0
    assert "version 1 in" in said and "it stays in service" in said
    assert said.endswith("digits: live 3 -> 2; label stable 3 -> 2")
    assert [entry.event for entry in audit_log.read(root / "audit.jsonl")].count("altered") == 2
    assert run("history")[1].count(" version 3: expected") == 1


def test_altered_version_that_is_served_is_told_by_status_and_written_down_once(root, run):
    alter(root, 3)
    for _ in range(2):
        layout.settle(root / "digits")
    assert [entry.event for entry in audit_log.read(root / "audit.jsonl")] == ["push"] * 3 + ["altered"]
    code, said = run("status")
    assert (code, said.splitlines()[2].split()) == (1, ["3", "altered", "live"])
    assert re.search("version 3: expected digest [0-9a-f]{12}, got [0-9a-f]{12}", said)
    assert json.loads(run("status", "--json")[1])[0]["altered"] == [3]


def test_version_that_nobody_pushed_is_told_when_it_is_put_in_service(root, run):
    shutil.copytree(root / "digits" / "3", root / "digits" / "9")
    assert "9        complete, by hand  live" in run("status")[1]
    code, said = run("pin", 9)
    assert code == 0
    assert "version 9 was never pushed but put there by hand" in said


def test_status_works_though_the_log_was_altered_and_says_so(root, run):
    log = root / "audit.jsonl"
    log.write_text(log.read_text().replace('"version": 1', '"version": 8'))
    code, said = run("status")
    assert code == 1
    assert "digits: follows the newest version; live 3" in said and "line 1, was altered" in said
