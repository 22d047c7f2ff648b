"""The commands on a directory: what they write, refuse and say. No server is asked."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from lineage import audit_log
from serving import layout, models_config
from serving.__main__ import main
from serving.models_config import Following, Held

ROOT = Path(layout.__file__).parents[1]


def push(root: Path, content: str, name: str = "digits") -> int:
    source = root.parent / "source"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    (source / "saved_model.pb").write_text(content)
    return layout.publish(source, root / name, now=lambda: 1).version


@pytest.fixture
def root(tmp_path):
    """Versions 1, 2 and 3 of digits."""
    for content in "abc":
        push(tmp_path / "served", content)
    return tmp_path / "served"


@pytest.fixture
def run(root, capsys):
    """Runs a command and returns its exit code and what it said."""

    def run(*arguments: object) -> tuple[int, str]:
        code = main([*map(str, arguments), "--root", str(root)])
        said = capsys.readouterr()
        return code, (said.out + said.err).strip()

    return run


def state(root: Path):
    return models_config.state(root, "digits")


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
    assert run("prune", "--keep", 1, "--dry_run") == (0, "digits: would remove 1, 2; kept 3")
    assert run("unpin", "--dry_run") == (0, "nothing would change: digits: live 3 (follows the newest)")
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_same_command_again_changes_and_writes_nothing(root, run):
    run("pin", 2)
    entries = len(audit_log.read(root / "audit.jsonl"))
    assert run("pin", 2) == (0, "nothing to change: digits: live 2 (pinned)")
    assert len(audit_log.read(root / "audit.jsonl")) == entries


def test_pin_without_a_version_holds_the_live_one(root, run):
    assert run("pin") == (0, "digits: live 3 (pinned)")


def test_prune_removes_what_nothing_refers_to_and_writes_down_its_digest(root, run):
    digests = {e.facts["version"]: e.facts["digest"] for e in audit_log.read(root / "audit.jsonl")}
    run("promote", 2)
    assert run("prune", "--keep", 1) == (0, "digits: removed 1; kept 2, 3")
    assert layout.versions(root / "digits") == [2, 3]
    assert last(root).facts["removed"] == [{"version": 1, "digest": digests[1]}]
    assert run("prune", "--keep", 1) == (0, "digits: removed nothing; kept 2, 3")


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
        (["promote", "2", "--server", "localhost"], "--server: expected HOST:PORT"),
        (["promote", "2", "--server", "localhost:99999"], "--server: expected HOST:PORT"),
        (["promote", "2", "--model_name", "cats"], r"expected a model with a pushed version \(digits\), got 'cats'"),
        (["promote", "2", "--model_name", "../x"], "--model_name"),
        (["unlabel", "canary"], r"expected a label that is given \(none\)"),
        (["prune", "--keep", "0"], "expected at least 1"),
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
    assert "127.0.0.1:1: it does not answer (UNAVAILABLE" in said


def test_status_for_machines(root, run):
    run("promote", 2)
    (told,) = json.loads(run("status", "--json")[1])
    assert told == {
        "model": "digits",
        "live": 2,
        "complete": [1, 2, 3],
        "policy": "specific",
        "versions": [2],
        "labels": {"stable": 2},
        "servers": [],
    }


def test_history_is_a_table_and_json_lines(root, run):
    run("promote", 2)
    run("prune", "--keep", 1)
    lines = run("history")[1].splitlines()
    assert [line.split()[0] for line in lines] == ["UTC", "1", "2", "3", "4", "5"]
    assert "promote  serves 2, stable 2; live 2" in lines[4]
    assert lines[5].endswith("prune    versions 1")
    assert run("history", "--json")[1] == (root / "audit.jsonl").read_text().strip()


def test_altered_history_is_told(root, run):
    log = root / "audit.jsonl"
    log.write_text(log.read_text().replace('"version": 1', '"version": 8'))
    code, said = run("history")
    assert code == 1
    assert "line 2, was altered" in said


# --- any sequence


class Releases(RuleBasedStateMachine):
    """Commands and pushes in any order, on one directory."""

    root: Path  # set below

    def __init__(self) -> None:
        super().__init__()
        self.model_dir = self.root / "digits"
        shutil.rmtree(self.root, ignore_errors=True)
        self.pushed = 0
        self.pushes()

    def run(self, *arguments: object) -> bool:
        live = layout.live_version(self.model_dir)
        code = main([*map(str, arguments), "--root", str(self.root)])
        assert code in (0, 2)
        if code == 2:
            assert layout.live_version(self.model_dir) == live
        return code == 0

    @rule()
    def pushes(self) -> None:
        self.pushed += 1
        push(self.root, f"model {self.pushed}")

    @rule(version=st.integers(1, 6), label=st.sampled_from(["stable", "stable", "beta"]))
    def promotes(self, version: int, label: str) -> None:
        if self.run("promote", version, "--label", label):
            assert state(self.root).labels[label] == version

    @rule(version=st.integers(1, 6))
    def tries_a_canary(self, version: int) -> None:
        self.run("canary", version)

    @rule(label=st.sampled_from(["stable", "canary", "beta"]))
    def unlabels(self, label: str) -> None:
        if self.run("unlabel", label):
            assert label not in state(self.root).labels

    @rule(to=st.none() | st.integers(1, 6))
    def rolls_back(self, to: int | None) -> None:
        live = layout.live_version(self.model_dir)
        if self.run("rollback", *([] if to is None else ["--to", to])):
            assert layout.live_version(self.model_dir) < live
            assert to in (None, layout.live_version(self.model_dir))

    @rule(version=st.integers(1, 6))
    def pins(self, version: int) -> None:
        if self.run("pin", version):
            assert layout.live_version(self.model_dir) == version

    @rule()
    def unpins(self) -> None:
        if self.run("unpin"):
            assert layout.live_version(self.model_dir) == layout.versions(self.model_dir)[-1]

    @rule(keep=st.integers(1, 3))
    def prunes(self, keep: int) -> None:
        live, newest = layout.live_version(self.model_dir), layout.versions(self.model_dir)[-keep:]
        assert self.run("prune", "--keep", keep)
        assert {live, *newest} <= set(layout.versions(self.model_dir))

    @rule(version=st.integers(1, 6))
    @precondition(lambda self: len(layout.versions(self.model_dir)) > 1)
    def is_copied_by_hand(self, version: int) -> None:
        if version not in layout.versions(self.model_dir):
            (self.model_dir / str(version)).mkdir()
            (self.model_dir / str(version) / "saved_model.pb").write_text("by hand")

    @invariant()
    def what_is_served_is_there(self) -> None:
        now = state(self.root)
        complete = layout.versions(self.model_dir)
        assert layout.live_version(self.model_dir) in complete
        if isinstance(now, Held):
            assert set(now.versions) <= set(complete)
            assert set(now.labels.values()) <= set(now.versions)

    @invariant()
    def log_is_whole(self) -> None:
        layout.settle(self.model_dir)
        entries = audit_log.read(self.root / "audit.jsonl")
        assert entries[-1].facts["live"] == layout.live_version(self.model_dir)


@pytest.mark.slow
def test_whatever_is_done_in_whichever_order_what_is_served_is_there(tmp_path, capsys):
    Releases.root = tmp_path / "served"
    run_state_machine_as_test(Releases, settings=settings(max_examples=40, stateful_step_count=15, deadline=None))


# --- at once

RELEASER = """
import sys
from serving.__main__ import main
sys.stdin.readline()
for number in range(8):
    assert main([*sys.argv[2].split(), "--root", sys.argv[1], "--model_name", "digits"]) == 0
"""


def test_commands_and_pushes_at_once_leave_one_of_their_states_and_a_whole_log(root, tmp_path):
    commands = ["promote 2", "promote 3"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "text": True}
    script = [sys.executable, "-c", RELEASER, root]
    children = [subprocess.Popen([*script, command], cwd=ROOT, **pipes) for command in commands]
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    pushed = [push(root, f"at once {number}") for number in range(4)]
    assert [child.communicate() and child.returncode for child in children] == [0, 0]
    assert state(root) in (Held((2,), {"stable": 2}), Held((3,), {"stable": 3}))
    assert layout.versions(root / "digits") == [1, 2, 3, *pushed]
    entries = audit_log.read(root / "audit.jsonl")
    assert [entry.facts["version"] for entry in entries if entry.event == "push"] == [1, 2, 3, *pushed]
    assert "found" not in [entry.event for entry in entries]
