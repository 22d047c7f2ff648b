"""The runner as it is typed: exit codes, the one line that says what is wrong, and what is left behind."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import local_runner
from pipeline import config as configuration
from pipeline.interruption import MESSAGE

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "examples" / "digits" / "config.yaml"


class Runner:
    """Runs local_runner in one folder."""

    def __init__(self, folder: Path, capture) -> None:
        self.root, self.result, self._capture = folder / "root", folder / "result.json", capture
        self.options = ["--config", str(DIGITS), "--pipeline-root", str(self.root), "--serving-root", str(folder / "served")]

    def run(self, *options: str) -> int:
        """Returns the exit code; what was said is in `out` and `error`."""
        code = local_runner.main([*self.options, *options])
        self.out, self.error = self._capture.readouterr()
        return code

    @property
    def told(self) -> dict:
        return json.loads(self.result.read_text())

    @property
    def log(self) -> str:
        (log,) = (self.root / "logs").iterdir()
        return log.read_text()


@pytest.fixture
def runner(tmp_path, capfd):
    return Runner(tmp_path, capfd)


def test_printed_config_loads_again_as_the_same_config(runner, tmp_path):
    assert runner.run("--set", "train.rounds=7", "--print-config") == 0
    (tmp_path / "printed.yaml").write_text(runner.out)
    assert configuration.load(tmp_path / "printed.yaml") == configuration.load(DIGITS, ["train.rounds=7"])
    assert yaml.safe_load(runner.out)["train"]["rounds"] == 7
    assert not runner.root.exists()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--set", "train.round=5"], r"error: .*unknown key 'train\.round'; did you mean 'rounds'\?.*"),
        (["--set", "train.rounds=none"], r"error: train\.rounds: expected .*"),
        (["--config", "nowhere.yaml"], r"error: .*nowhere\.yaml.*"),
        (["--json", "{tmp}/nowhere/result.json"], r"error: --json: cannot write .*/nowhere/result\.json \(No such file .*"),
        (["--pipeline-root", "{tmp}/file"], r"error: --pipeline-root: expected a folder, but .*/file is a file; .*"),
        (["--serving-root", "{tmp}/file/models"], r"error: --serving-root: expected a folder, but .*/file is a file; .*"),
    ],
)
def test_wrong_config_or_option_is_one_line_and_leaves_nothing_behind(runner, tmp_path, options, line):
    (tmp_path / "file").touch()
    assert runner.run(*(option.format(tmp=tmp_path) for option in options)) == 2
    assert re.fullmatch(line + "\n", runner.error)
    assert runner.out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


@pytest.mark.parametrize("arguments", [[], ["--config", str(DIGITS), "--form", "Trainer"]])
def test_wrong_usage_is_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        local_runner.main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: local_runner.py")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--set", "model=examples.digits.digit_model"], r"error: model: no module 'examples\.digits\.digit_model' .*"),
        (["--set", "gate.thresholds={AUK: {min: 1}}"], r"error: gate\.thresholds: unknown metric 'AUK'; did you mean 'AUC'\?"),
        (["--from", "Trainr"], r"error: --from: no node 'Trainr'; did you mean 'Trainer'\? known: ExampleGen, .*"),
    ],
)
def test_mistake_that_only_shows_with_the_stack_loaded_is_one_line_before_anything_runs(runner, options, line):
    assert runner.run(*options, "--json", str(runner.result)) == 2
    assert re.fullmatch(line + "\n", runner.error)
    assert len(runner.out.splitlines()) == 1
    assert runner.told["decision"]["reasons"] == [runner.error.removeprefix("error: ").rstrip("\n")]
    assert runner.told["nodes"] == []


def test_failed_node_is_one_line_with_the_cause_and_machines_are_told_as_well(runner, tmp_path):
    (tmp_path / "empty").mkdir()
    options = ["--set", "data.format=csv", "--set", f"data.path={tmp_path / 'empty'}", "--json", str(runner.result)]
    assert runner.run(*options) == 1
    assert re.fullmatch(r"error: ExampleGen failed: .*/empty.*\n", runner.error)
    assert re.fullmatch(r"digits: run \S+, log in \S+\n  ExampleGen +FAILED +\d+\.\d s\n", runner.out)
    assert [(node["id"], node["state"]) for node in runner.told["nodes"]] == [("ExampleGen", "failed")]
    assert runner.told["decision"] == {"blessed": False, "reasons": [runner.error.removeprefix("error: ").rstrip("\n")]}
    assert runner.told["paths"]["log"].startswith(str(runner.root))
    assert "Traceback" in runner.log


def test_damaged_database_is_one_line(runner):
    runner.root.mkdir()
    (runner.root / "metadata.sqlite").write_bytes(b"no database at all\n" * 100)
    assert runner.run() == 1
    assert re.fullmatch(r"error: \S+metadata\.sqlite: damaged, or no ML Metadata database .*\n", runner.error)


def test_defect_is_one_line_that_names_the_log_which_has_the_traceback(runner):
    runner.root.mkdir()
    with contextlib.closing(sqlite3.connect(runner.root / "metadata.sqlite")) as database, database:
        database.execute("CREATE TABLE MLMDEnv (schema_version INTEGER PRIMARY KEY)")
        database.execute("INSERT INTO MLMDEnv VALUES (999)")  # by an ML Metadata that is not written yet
    assert runner.run() == 1
    assert re.fullmatch(r"error: internal error: \w+: .*999.*; see \S+\.log\n", runner.error)
    assert "Traceback" in runner.log


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_while_the_stack_is_imported_ends_with_130_and_one_line(runner, number):
    command = [sys.executable, "local_runner.py", *runner.options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith("digits: run ")  # what follows is the check that loads TensorFlow
    process.send_signal(number)
    out, error = process.communicate(timeout=10)
    assert (process.returncode, out, error.strip()) == (130, "", MESSAGE)
