"""`python -m pipeline.gate explain`: what a config would require, without running anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.gate.__main__ import main
from pipeline.gate.explain import as_text, explanation

ROOT = Path(__file__).parents[3]
DIGITS = str(ROOT / "examples" / "digits" / "config.yaml")
needs_tfma = pytest.mark.slow  # whose import takes 5 to 20 s
BARE = ["split={strategy: iid, clients: 20}", "gate={}"]


def explain(*overrides: str) -> dict:
    return explanation(DIGITS, [*BARE, *overrides])


def row(explained: dict, requirement: str) -> dict:
    return next(each for each in explained["requirements"] if each["id"] == requirement)


@needs_tfma
def test_gate_that_says_nothing_still_requires_a_model_that_is_good_for_something() -> None:
    explained = explain()
    assert explained["kind"] == "classes"
    assert all(each["default"] for each in explained["requirements"])
    assert row(explained, "constant/SparseCategoricalAccuracy")["required"] == "better, with 95 % confidence"
    assert row(explained, "evaluation/change/SparseCategoricalAccuracy")["required"] == "at least -0.01"
    assert {each["judge"] for each in explained["requirements"]} == {"DeployGate", *explained["judges"]}


@needs_tfma
def test_what_the_config_asks_for_is_there_and_is_no_default() -> None:
    explained = explain(
        "gate.thresholds.AUC.min=0.8", "split.holdout=0.2", "gate.clients={quantiles: {0.1: {min: 0.7}}}", "gate.baseline={}"
    )
    for requirement, required in (
        ("evaluation/value/AUC", "at least 0.8"),
        ("clients/quantile/0.1", "at least 0.7"),
        ("baseline/SparseCategoricalAccuracy", "worse by at most 0.02, with 95 % confidence"),
    ):
        assert row(explained, requirement)["required"] == required
        assert not row(explained, requirement)["default"]


@needs_tfma
def test_what_the_config_says_is_no_default_even_if_it_says_the_same() -> None:
    said = {
        "evaluation/change/SparseCategoricalAccuracy": "gate.change.SparseCategoricalAccuracy.min=-0.01",
        "constant/SparseCategoricalAccuracy": "gate.better_than_constant=true",
        "first-deploy": "gate.first_deploy=refuse",
        "serving/answers": "gate.serving.tolerance=1e-4",
    }
    defaults, explained = explain("gate.change="), explain(*said.values())
    for requirement in said:
        assert row(defaults, requirement)["default"] and not row(explained, requirement)["default"]
        assert row(defaults, requirement)["required"] == row(explained, requirement)["required"]
    assert row(explained, "serving/server")["default"]


@needs_tfma
def test_what_an_approval_cannot_force_is_marked() -> None:
    explained = explain()
    lines = as_text(explained).splitlines()
    assert lines[0] == "digits: a classification model (kind classes) goes live if it meets all of this"
    assert "  ! weights that are not finite" in next(line for line in lines if "weights" in line)
    assert not row(explained, "serving/weights")["forceable"]
    assert row(explained, "constant/SparseCategoricalAccuracy")["forceable"]


@needs_tfma
def test_notes_tell_of_what_only_a_run_finds() -> None:
    notes = "\n".join(explain()["notes"])
    assert "gate.first_deploy: allow" in notes and "skipped while nothing is served" in notes
    assert "evaluation clients" not in notes
    lenient = explain("gate.first_deploy=allow", "gate.change={}", "gate.slices=[label]", "split.holdout=0.2")["notes"]
    assert [note.split()[0] for note in lenient] == ["A", "With"]
    assert "With fewer than 10 evaluation clients nothing about single ones is shown" in lenient[1]


@needs_tfma
def test_command_prints_a_table_or_json_and_returns_0(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["explain", "--config", DIGITS, *(part for override in BARE for part in ("--set", override))]
    assert main(command) == 0
    assert capsys.readouterr().out == as_text(explain()) + "\n"
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == explain()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("gate.treshold={}", "error: unknown key 'gate.treshold'; did you mean 'thresholds'?"),
        ("gate.slices=[lable]", "error: gate.slices: no feature 'lable'; did you mean 'label'?"),
        ("model=examples.no.such_model", "error: model: no module 'examples.no.such_model'"),
    ],
)
def test_wrong_config_is_one_line_and_exit_code_2(override, message, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--config", DIGITS, "--set", override]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith(message) and told.err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("gate.thresholds.Acuracy.min=0.5", "error: gate.thresholds: unknown metric 'Acuracy'; did you mean 'Accuracy'?"),
        ("gate.change.Bogus.min=0", "error: gate.change: unknown metric 'Bogus'; expected a metric class of"),
    ],
)
def test_what_a_run_would_refuse_explaining_refuses_as_well(override, message, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--config", DIGITS, "--set", override]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith(message) and told.err.count("\n") == 1


@pytest.mark.slow
def test_reader_that_has_seen_enough_gets_no_traceback() -> None:
    command = f"set -o pipefail; '{sys.executable}' -m pipeline.gate explain --config '{DIGITS}' --json | true"
    silent = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, env=silent, capture_output=True, text=True, timeout=200)
    assert (done.returncode, done.stdout, done.stderr) == (141, "", "")
