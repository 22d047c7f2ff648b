"""Commands and pushes in any order, and at once."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from lineage import audit_log
from serving import layout
from serving.__main__ import main
from serving.models_config import Held
from tests.serving.releases.pushing import push, state

pytestmark = pytest.mark.slow

ROOT = Path(layout.__file__).parents[1]


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
        assert self.run("prune", "--keep", keep, "--no_wait")
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


RELEASER = """
import sys
from serving.__main__ import main
sys.stdin.readline()
for number in range(8):
    assert main([*sys.argv[2].split(), "--root", sys.argv[1], "--model_name", "digits"]) == 0
"""


def test_commands_and_pushes_at_once_leave_one_of_their_states_and_a_whole_log(tmp_path):
    root = tmp_path / "served"
    for content in "abc":
        push(root, content)
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
