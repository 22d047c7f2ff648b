"""Consoles over a store of 200 runs: as an application to ask, and as a process to open in a browser."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lineage.console.settings import Settings
from lineage.places import Places
from tests.lineage.conftest import ManyRuns, _Many
from tests.lineage.console.asking import Ask, asking

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def twenty_runs(tmp_path_factory: pytest.TempPathFactory) -> ManyRuns:
    """As `two_hundred_runs`, in a second: of run 6 the data are from the cache, run 17 failed; to be read only."""
    return _Many(tmp_path_factory.mktemp("twenty"), 20).build()


@pytest.fixture(scope="session")
def ask(twenty_runs: ManyRuns) -> Ask:
    """Asks a console on loopback, without a token."""
    return asking(Settings(twenty_runs.places))


@pytest.fixture(scope="session")
def run_console() -> Iterator[Callable[..., str]]:
    """Starts consoles as processes and gives their URLs."""
    started: list[subprocess.Popen] = []

    def run(places: Places, *flags: str) -> str:
        where = ["--pipeline-root", places.root, "--serving-root", places.serving_root, "--metadata", places.metadata]
        command = [sys.executable, "-m", "lineage", "console", "--port=0", *where, *flags]
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        started.append(process)
        line = process.stderr.readline()
        found = re.search(r"on (http://\S+?)(,|$)", line.strip())
        assert found, line
        return found[1]

    yield run
    for process in started:
        process.send_signal(signal.SIGTERM)
    for process in started:
        with process:
            assert process.wait(30) in (0, -signal.SIGTERM)
