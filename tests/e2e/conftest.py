"""A checkout to run pipelines from, and what a run left to look at."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@dataclass
class Run:
    """A finished local_runner: its exit code, what it printed and what it wrote for machines."""

    code: int
    screen: str
    errors: str
    result: dict[str, Any]

    @property
    def states(self) -> dict[str, str]:
        return {node["id"]: node["state"] for node in self.result["nodes"]}

    @property
    def executed(self) -> set[str]:
        return {node for node, state in self.states.items() if state == "complete"}

    def __str__(self) -> str:
        return f"exit code {self.code}\n{self.screen}\n{self.errors}"


@dataclass
class Checkout:
    """A copy of the committed files, where sources can be edited and nothing is left from other runs."""

    path: Path

    def command(self, config: str, *arguments: str) -> list[str]:
        return [sys.executable, "local_runner.py", "--config", config, *arguments]

    def run(self, config: str, *arguments: str) -> Run:
        result = self.path / "result.json"
        result.unlink(missing_ok=True)
        command = self.command(config, "--json", str(result), *arguments)
        process = subprocess.run(command, cwd=self.path, capture_output=True, text=True, check=False)
        content = json.loads(result.read_text()) if result.exists() else {}
        return Run(process.returncode, process.stdout, process.stderr, content)

    def append(self, file: str, line: str) -> None:
        with open(self.path / file, "a", encoding="utf-8") as source:
            source.write(f"\n{line}\n")

    def served(self, name: str) -> dict[str, int]:
        """Every file below a model's serving directory but its lock, with its modification time in nanoseconds."""
        base = self.path / "serving" / "models" / name
        files = [path for path in sorted(base.rglob("*")) if path.is_file() and path.name != ".lock"]
        return {str(path.relative_to(base)): path.stat().st_mtime_ns for path in files}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    copy = tmp_path_factory.mktemp("checkout")
    command = ["git", "ls-files", "-z", "-co", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    return Checkout(copy)
