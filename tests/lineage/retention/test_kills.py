"""A gc that is killed at any step leaves what the next one completes or takes back; two at once do no harm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lineage import audit_log
from lineage.retention import collecting, directories

REPOSITORY = Path(__file__).parents[3]
STEPS = ("hidden", "logged", "marked", "removed")
# Ends as if by kill -9, in the middle of `collect`, after a step or (for "half") between two directories.
KILLED = """
import os, signal, sys
from lineage.retention import collecting, command, directories
step, arguments = sys.argv[1], sys.argv[2:]

def die():
    os.kill(os.getpid(), signal.SIGKILL)

collect, hide, remove = collecting.collect, directories.hide, directories.remove
calls = []

def third(function):
    def called(*given):
        calls.append(1)
        if len(calls) == 3:
            die()
        return function(*given)
    return called

if step == "hiding":
    directories.hide = third(hide)
elif step == "removing":
    directories.remove = third(remove)
else:
    def told(places, removal, did=None):
        collect(places, removal, lambda done: die() if done == step else None)
    collecting.collect = told
command.gc(arguments)
"""


def killed_at(step: str, root) -> None:
    command = [sys.executable, "-c", KILLED, step, "--keep-runs", "0", "--apply", *root.options]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


@pytest.mark.slow
@pytest.mark.parametrize("step", ["hiding", *STEPS, "removing"])
def test_next_gc_completes_what_a_killed_one_began(root, step) -> None:
    made = root.run("run-1")
    records = {made["decision"], made["blessing"]}
    killed_at(step, root)
    assert root.gc("--keep-runs", "0", "--apply") == 0
    assert root.there() == root.live() == records
    assert not directories.hidden(root.places.root)
    told = [entry.facts["artifacts"] for entry in audit_log.read(root.places.audit_log)]
    assert sorted(int(one) for artifacts in told for one in artifacts) == sorted(set(made.values()) - records)


@pytest.mark.slow
def test_what_was_hidden_and_never_logged_comes_back_if_it_is_needed_now(root) -> None:
    made = root.run("run-1")
    before = root.there()
    killed_at("hidden", root)
    assert root.there() < before
    assert root.gc("--keep-run", "run-1", "--apply") == 0
    assert root.there() == root.live() == before
    assert audit_log.read(root.places.audit_log) == []
    assert made["examples"] in root.there()


@pytest.mark.slow
def test_dry_run_after_a_kill_touches_nothing(root) -> None:
    root.run("run-1")
    killed_at("logged", root)
    hidden = directories.hidden(root.places.root)
    assert root.gc("--keep-runs", "0") == 0
    assert directories.hidden(root.places.root) == hidden


@pytest.mark.slow
def test_of_two_at_once_one_removes_and_the_other_is_told_or_finds_nothing(root) -> None:
    for number in range(6):
        root.run(f"run-{number}")
    command = [sys.executable, "-m", "lineage", "gc", "--keep-runs", "0", "--apply", *root.options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, cwd=REPOSITORY, **pipes) for _ in range(2)]
    ended = [(*process.communicate(timeout=60), process.returncode) for process in both]
    assert 0 in [code for *_, code in ended]
    for _, errors, code in ended:
        assert code == 0 or (errors.startswith("error: another run (") and errors.count("\n") == 1)
    told = [one for entry in audit_log.read(root.places.audit_log) for one in entry.facts["artifacts"]]
    assert len(told) == len(set(told)) == 30
    assert not directories.hidden(root.places.root)


def test_log_is_written_after_the_directories_are_hidden_and_before_ml_metadata_is_told(root) -> None:
    root.run("run-1")
    steps: list[str] = []
    graph = root.graph
    planned = [one for one in graph.artifacts.values() if one.type == "Examples"]
    collecting.collect(root.places, collecting.what_goes(root.places.root, planned, graph, {}), steps.append)
    assert tuple(steps) == STEPS
    assert not os.path.exists(planned[0].uri)
