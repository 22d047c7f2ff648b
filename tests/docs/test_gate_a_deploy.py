"""docs/how-to/gate-a-deploy.md: its sections are gates, its files can be used, and `explain` says what it shows."""

from __future__ import annotations

import dataclasses
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import local_runner
from components import scores
from components.deploy_gate import approvals
from components.deploy_gate.requirements import requirements
from pipeline import config
from pipeline.gate.__main__ import main
from pipeline.gate_config import GateConfig
from pipeline.gate_sections import ServingGate

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "examples" / "digits" / "config.yaml"
PAGE = ROOT / "docs" / "how-to" / "gate-a-deploy.md"


@pytest.fixture
def snippets(code_blocks: Callable[[str, str], list[str]]) -> Callable[[str], list[dict[str, Any]]]:
    """The page's YAML blocks that have a key."""

    def read(key: str) -> list[dict[str, Any]]:
        blocks = [yaml.safe_load(block) for block in code_blocks(PAGE.name, "yaml")]
        return [block for block in blocks if key in block]

    return read


def test_every_gate_section_is_one_and_every_key_is_told_of(snippets) -> None:
    digits = yaml.safe_load(DIGITS.read_text(encoding="utf-8"))
    for snippet in snippets("gate"):
        kind = "regression" if "MeanSquaredError" in snippet["gate"].get("change", {}) else "classes"
        gate = config.from_dict({**digits, **snippet}).gate
        assert requirements(gate.settings(kind, 42))
    page = PAGE.read_text(encoding="utf-8")
    assert not [field.name for field in dataclasses.fields(GateConfig) if field.name not in page]


@pytest.mark.slow  # the import of TFMA
def test_what_the_page_shows_of_explain_is_what_it_prints(code_blocks, capsys: pytest.CaptureFixture[str]) -> None:
    (shown,) = code_blocks(PAGE.name, "text")
    assert main(["explain", "--config", str(DIGITS)]) == 0
    assert set(shown.splitlines()) <= set(capsys.readouterr().out.splitlines())


def test_defaults_of_each_kind_are_as_the_table_says() -> None:
    rows = re.findall(
        r"^\| (classes|binary|regression) \|.*\| (\w+) \| (.*?) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {kind: principal for kind, principal, _ in rows} == scores.PRINCIPAL
    for kind, principal, change in rows:
        bounds = GateConfig().settings(kind, 42)["change"][principal]
        relative = f"at most {100 * (bounds['max'] or 0):g} % of the served model's more"
        assert change == (relative if bounds["relative"] else f"at least {bounds['min']:g}")


def test_file_of_approvals_can_be_used(code_blocks, tmp_path: Path) -> None:
    (block,) = [block for block in code_blocks(PAGE.name, "yaml") if block.startswith("approvals:")]
    file = tmp_path / "approvals.yaml"
    file.write_text(block, encoding="utf-8")
    assert [approval.action for approval in approvals.load(file)] == ["force", "hold"]


def test_ids_of_checks_in_the_approvals_are_those_of_requirements(snippets) -> None:
    (entry, _) = snippets("approvals")[0]["approvals"]
    settings = GateConfig(serving=ServingGate(max_p99_ms=50)).settings("classes", 42)
    assert set(entry["checks"]) <= {each.id for each in requirements(settings)}


def test_jobs_use_options_and_targets_that_there_are(snippets, code_blocks) -> None:
    (workflow,) = snippets("jobs")
    commands = [step["run"] for step in workflow["jobs"]["deploy"]["steps"] if "run" in step]
    known = set(local_runner._parser()._option_string_actions)
    for script in [*commands, *code_blocks(PAGE.name, "sh")]:
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
        assert set(re.findall(r"(?<!\S)--[a-z-]+", script)) <= known
    targets = {command.split()[1] for command in commands if command.startswith("make ")}
    assert targets <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_shell_script_tells_a_wrong_config_from_a_refused_model(code_blocks, tmp_path: Path) -> None:
    (script,) = code_blocks(PAGE.name, "sh")
    file = tmp_path / "deploy.sh"
    file.write_text(script.replace(".venv/bin/python local_runner.py", f"{sys.executable} {ROOT / 'local_runner.py'}"))
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    wrong = tmp_path / "config.yaml"
    wrong.write_text("name: 5\n", encoding="utf-8")
    done = subprocess.run([file, wrong], cwd=tmp_path, capture_output=True, text=True, env=dict(os.environ), timeout=100)
    assert (done.returncode, done.stdout) == (2, "nothing ran: mend the config\n")
    assert (tmp_path / "result.md").exists() and (tmp_path / "result.json").exists()
