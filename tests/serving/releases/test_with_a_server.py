"""Releases with a real server: a command returns when the server answers as it says, or takes back what it did."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lineage import audit_log
from serving import models_config
from serving.__main__ import main
from serving.models_config import Held

pytestmark = pytest.mark.slow
ROOT = Path(models_config.__file__).parents[1]


@pytest.fixture
def run(served, capsys):
    """Runs a command that waits for the server, and returns its exit code and the last line that it said."""

    def run(*arguments: object) -> tuple[int, str]:
        code = main([*map(str, arguments), "--root", str(served.root), "--server", served.address])
        said = capsys.readouterr()
        return code, (said.err or said.out).strip().splitlines()[-1]

    yield run
    for label in ("canary", "stable"):
        run("unlabel", label)
    assert run("unpin")[0] == 0


def state(served):
    return models_config.state(served.root, "digits")


def test_server_answers_as_the_command_says_when_it_returns(served, run):
    assert served.answer() == 3
    assert run("promote", 3, "--label", "stable") == (0, "digits: live 3; label stable -> 3")
    assert served.answer("/labels/stable") == 3
    assert run("rollback") == (0, "digits: live 3 -> 2; label stable 3 -> 2")
    assert served.answer() == served.answer("/labels/stable") == 2
    assert run("canary", 1) == (0, "digits: live 2; label canary -> 1")
    assert (served.answer(), served.answer("/labels/canary")) == (2, 1)
    assert run("unlabel", "canary") == (0, "digits: live 2; canary dropped (was 1)")
    assert run("unlabel", "stable") == (0, "digits: live 2 (pinned); stable dropped (was 2)")
    assert run("unpin") == (0, "digits: live 2 -> 3 (follows the newest)")
    assert served.answer() == 3
    assert run("status")[0] == 0


def test_release_of_a_version_that_does_not_load_is_taken_back(served, run):
    run("promote", 2)
    served.put_broken(9)
    code, said = run("promote", 9, "--wait_seconds", 2)
    assert code == 1
    assert "promote was taken back, models.config says what it said before" in said
    assert "version 9 is END (" in said and "it serves version 2" in said
    assert state(served) == Held((2,), {"stable": 2})
    assert served.answer() == served.answer("/labels/stable") == 2
    entry = audit_log.read(served.root / "audit.jsonl")[-1]
    assert (entry.event, entry.facts["command"], entry.facts["live"]) == ("undone", "promote", 2)
    served.remove(9)


def test_newest_version_that_does_not_load_is_rolled_back_from(served, run):
    served.put_broken(9)
    assert run("status")[0] == 1
    assert run("rollback") == (0, "digits: live 9 -> 3 (pinned)")
    assert (served.answer(), run("status")[0]) == (3, 0)
    served.remove(9)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_release_that_is_interrupted_is_taken_back(served, run, number):
    run("promote", 2)
    served.put_broken(9)
    command = [sys.executable, "-m", "serving", "promote", "9", "--root", served.root, "--server", served.address]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert any("waiting for" in line for line in child.stdout)  # after that nobody pushed it
    child.send_signal(number)
    said = child.communicate()[1]
    assert (child.returncode, said.splitlines()[-1]) == (130, "interrupted; what was half done is taken back")
    assert state(served) == Held((2,), {"stable": 2})
    assert audit_log.read(served.root / "audit.jsonl")[-1].event == "undone"
    served.remove(9)


def test_release_that_was_killed_is_valid_as_it_is_and_written_down_by_the_next_command(served, run):
    run("promote", 2)
    served.put_broken(9)
    command = [sys.executable, "-m", "serving", "promote", "9", "--root", served.root, "--server", served.address]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert any("waiting for" in line for line in child.stdout)  # after that nobody pushed it
    child.kill()
    child.communicate()
    assert state(served) == Held((2, 9), {"stable": 2})
    assert run("promote", 2) == (0, "digits: live 9 -> 2")
    found, promoted = audit_log.read(served.root / "audit.jsonl")[-2:]
    assert (found.event, found.facts["after"]["versions"], promoted.event) == ("found", [2, 9], "promote")
    served.remove(9)
