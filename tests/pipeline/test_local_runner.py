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

import ml_metadata as mlmd
import portpicker
import pytest
import yaml

import local_runner
from lineage import audit_log
from pipeline import config as configuration
from pipeline import execution
from pipeline.environment import Environment
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
        (["--model-server", "localhost"], r"error: --model-server: expected a model server's address, .*; got 'localhost'\."),
        (["--signing-key", "{tmp}/file"], r"error: --signing-key: .*/file: expected .*; .*"),
        (["--serving-root", "{tmp}/file/models"], r"error: --serving-root: expected a folder, but .*/file is a file; .*"),
    ],
)
def test_wrong_config_or_option_is_one_line_and_leaves_nothing_behind(runner, tmp_path, options, line):
    (tmp_path / "file").touch()
    assert runner.run(*(option.format(tmp=tmp_path) for option in options)) == 2
    assert re.fullmatch(line + "\n", runner.error)
    assert runner.out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_model_server_that_does_not_answer_is_told_before_anything_runs(runner, tmp_path):
    (tmp_path / "models" / "digits" / "7").mkdir(parents=True)
    (tmp_path / "models" / "digits" / "7" / "saved_model.pb").touch()
    address = f"localhost:{portpicker.pick_unused_port()}"
    assert runner.run("--serving-root", str(tmp_path / "models"), "--model-server", address) == 2
    assert re.fullmatch(rf"error: --model-server: expected a model server at {address}, got no answer .*\n", runner.error)
    assert not runner.root.exists()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--set", "train.rounds=none"], r"error: train\.rounds: expected .*"),
        (["--serving-root", "/proc/models"], r"error: --serving-root: .*/proc/models cannot be made or written to \(.*"),
        (["--pipeline-root", ""], r"error: --pipeline-root: expected a folder on this machine, got ''; give a path\."),
        (["--pipeline-root", "s3://x/y"], r"error: --pipeline-root: expected a folder on this machine, got 's3://x/y'; .*"),
    ],
)
def test_refused_command_leaves_no_old_result_to_be_mistaken_for_its_own(runner, options, line):
    runner.result.write_text('{"decision": {"blessed": true}}')
    assert runner.run(*options, "--json", str(runner.result)) == 2
    assert re.fullmatch(line + "\n", runner.error)
    reason = runner.error.removeprefix("error: ").rstrip("\n")
    assert (runner.told["run_id"], runner.told["pushed"], runner.told["nodes"]) == (None, None, [])
    assert runner.told["decision"] == {"blessed": False, "reasons": [reason], "checks": [], "override": None, "approvals": []}
    assert set(runner.told["paths"].values()) == {None}


def test_refused_command_is_told_on_the_page_of_a_ci_job_as_well(runner, tmp_path):
    page = tmp_path / "summary.md"
    assert runner.run("--set", "train.rounds=none", "--summary", str(page)) == 2
    assert page.read_text().splitlines()[0] == "## config.yaml: not decided"
    assert "train.rounds" in page.read_text()


def test_result_for_machines_and_for_people_need_two_files(runner):
    assert runner.run("--json", str(runner.result), "--summary", str(runner.result)) == 2
    assert runner.error.startswith("error: --summary: expected another file than that of --json")


def test_result_is_never_written_over_the_config(runner, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_bytes(DIGITS.read_bytes())
    assert runner.run("--config", str(config), "--json", str(config)) == 2
    assert re.fullmatch(r"error: --json: expected a file for the result, but .*config\.yaml is the config; .*\n", runner.error)
    assert config.read_bytes() == DIGITS.read_bytes()


def test_run_that_finds_the_root_taken_leaves_the_result_of_another_alone(runner):
    runner.result.write_text("good")
    with execution.exclusive(Environment.local(str(runner.root))):
        assert runner.run("--json", str(runner.result)) == 1
    assert runner.error.startswith("error: another run (process ")
    assert runner.result.read_text() == "good"


def test_model_module_in_the_working_directory_is_found(tmp_path):
    (tmp_path / "own_model.py").write_text("LABEL_KEY = 'label'\n")
    command = [sys.executable, str(ROOT / "local_runner.py"), "--config", str(DIGITS), "--set", "model=own_model"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (
        2,
        "error: own_model: no preprocess(); the module contract is in modeling/contract.py.\n",
    )


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
        (
            ["--set", "split.holdout=0.2", "--set", "train.evaluation={every: 5, metric: acuracy}"],
            r"error: train\.evaluation\.metric: no metric 'acuracy'; did you mean 'accuracy'\? known: loss, accuracy",
        ),
        (["--from", "Trainr"], r"error: --from: no node 'Trainr'; did you mean 'Trainer'\? known: ExampleGen, .*"),
    ],
)
def test_mistake_that_only_shows_with_the_stack_loaded_is_one_line_before_anything_runs(runner, options, line):
    assert runner.run(*options, "--json", str(runner.result)) == 2
    assert re.fullmatch(line + "\n", runner.error)
    assert len(runner.out.splitlines()) == 1
    assert runner.told["decision"]["reasons"] == [runner.error.removeprefix("error: ").rstrip("\n")]
    assert runner.told["nodes"] == []


@pytest.mark.parametrize(
    ("path", "splits", "line"),
    [
        ("nowhere", "{train: 4, eval: 1}", r".*/nowhere: expected a folder or files, got nothing there; set data\.path"),
        ("there", "{train: 4, eval: 1}", r".*/there: expected files that match '\*\.csv', got .*"),
        ("there", "{train: '*.txt', eval: 'test-*'}", r".*/there: expected files that match 'test-\*', got .*"),
    ],
)
def test_data_that_are_not_there_are_told_before_anything_runs(runner, tmp_path, path, splits, line):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a.txt").write_text("image,label\n")
    data = f"data={{format: csv, path: {tmp_path / path}, splits: {splits}}}"
    assert runner.run("--set", data, "--json", str(runner.result)) == 2
    assert re.fullmatch(f"error: data\\.path: {line}\n", runner.error)
    assert runner.told["nodes"] == []


def test_failed_node_is_one_line_with_the_cause_and_machines_are_told_as_well(runner, tmp_path):
    (tmp_path / "headeronly.csv").write_text("image,label\n")
    options = ["--set", "data.format=csv", "--set", f"data.path={tmp_path / 'headeronly.csv'}", "--json", str(runner.result)]
    assert runner.run(*options) == 1
    assert re.fullmatch(r"error: ExampleGen failed: .*/headeronly\.csv.*\n", runner.error)
    assert re.fullmatch(r"digits: run \S+, log in \S+\n  ExampleGen +FAILED +\d+\.\d s\n", runner.out)
    assert [(node["id"], node["state"]) for node in runner.told["nodes"]] == [("ExampleGen", "failed")]
    assert runner.told["decision"]["blessed"] is False
    assert runner.told["decision"]["reasons"] == [runner.error.removeprefix("error: ").rstrip("\n")]
    assert runner.told["paths"]["log"].startswith(str(runner.root))
    assert "Traceback" in runner.log


def test_execution_whose_driver_raises_is_not_left_running(runner, tmp_path):
    for span, name in ((1, "train"), (2, "eval")):
        (tmp_path / f"day{span}").mkdir()
        (tmp_path / f"day{span}" / f"{name}.csv").write_text("image,label\n1,2\n")
    splits = "{train: 'day{SPAN}/train.csv', eval: 'day{SPAN}/eval.csv'}"
    options = ["--set", f"data={{format: csv, path: {tmp_path}, splits: {splits}}}"]
    assert runner.run(*options) == 1
    assert re.fullmatch(r"error: ExampleGen failed: ValueError: Latest span should be the same .*\n", runner.error)
    (left,) = mlmd.MetadataStore(Environment.local(str(runner.root)).metadata_connection()).get_executions()
    assert left.last_known_state == mlmd.proto.Execution.CANCELED
    assert re.fullmatch(r"run \S+ failed", left.custom_properties["canceled_because"].string_value)


def test_damaged_database_is_one_line(runner):
    runner.root.mkdir()
    (runner.root / "metadata.sqlite").write_bytes(b"no database at all\n" * 100)
    assert runner.run() == 1
    assert re.fullmatch(r"error: \S+metadata\.sqlite: damaged, or no ML Metadata database .*\n", runner.error)


def test_log_of_runs_that_was_edited_is_one_line_before_anything_runs(runner):
    runner.root.mkdir()
    audit_log.append(runner.root / "audit.jsonl", "run_started", seed=1)
    (runner.root / "audit.jsonl").write_text((runner.root / "audit.jsonl").read_text().replace('"seed": 1', '"seed": 2'))
    assert runner.run() == 1
    assert re.fullmatch(r"error: .*/audit\.jsonl, line 1, was altered: expected .*, got .*; restore .*\n", runner.error)
    assert not (runner.root / "metadata.sqlite").exists()


@pytest.mark.slow
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
