"""Gateways as processes of their own, before the model server."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def run_gateway(asked) -> Iterator[Callable[..., str]]:
    """Starts gateways, once for each set of flags, and gives their URLs."""
    started: dict[tuple[str, ...], tuple[subprocess.Popen, str]] = {}

    def run(model_name: str, *flags: str, server: str = asked.grpc) -> str:
        key = (server, model_name, *flags)
        if key not in started:
            command = [sys.executable, "-m", "serving", "gateway", "--server", server, "--model_name", model_name]
            process = subprocess.Popen([*command, "--port=0", *flags], cwd=ROOT, stderr=subprocess.PIPE, text=True)
            line = process.stderr.readline()
            found = re.search(r"on (http://\S+)", line)
            assert found, line
            started[key] = process, found[1]
        return started[key][1]

    yield run
    for process, _ in started.values():
        process.send_signal(signal.SIGTERM)
    for process, _ in started.values():
        with process:
            assert process.wait(30) in (0, -signal.SIGTERM)


@pytest.fixture(scope="session")
def pictures(run_gateway) -> str:
    """A gateway before `brightness`."""
    return run_gateway(
        "brightness", "--image_size=8x8", "--image_mode=grey", "--title=Hell oder dunkel?", "--max_upload_bytes=200000"
    )
