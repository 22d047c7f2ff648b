"""How long a new user waits: the digits pipeline in an empty root, then again with nothing changed.

    .venv/bin/python benchmarks/first_run.py

Prints seconds of each run, the share of each node in the first, and how many times faster the second is. Installation is not
included. The limits that the product holds itself to on two cores are 120 s and 30 s.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LIMITS = {"first": 120.0, "second": 30.0}


def timed_run(folder: Path) -> tuple[float, list[dict[str, Any]]]:
    """Runs the digits example with its roots in `folder`; returns wall seconds and the nodes of its result."""
    result = folder / "result.json"
    command = [sys.executable, "local_runner.py", "--config", "examples/digits/config.yaml", "--json", str(result)]
    command += ["--pipeline-root", str(folder / "root"), "--serving-root", str(folder / "serving")]
    started = time.monotonic()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started, json.loads(result.read_text())["nodes"]


def main() -> None:
    """Measures and prints; see the module's docstring."""
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: timed_run(Path(folder)) for name in LIMITS}
    for name, (seconds, nodes) in runs.items():
        states = sorted({node["state"] for node in nodes})
        print(f"{name:<7} {seconds:6.1f} s of {LIMITS[name]:.0f} s allowed; nodes: {', '.join(states)}")
    first, nodes = runs["first"]
    for node in nodes:
        print(f"  {node['id']:<18} {node['seconds']:6.1f} s  {node['seconds'] / first:5.0%}")
    rest = first - sum(node["seconds"] for node in nodes)
    print(f"  {'start and summary':<18} {rest:6.1f} s  {rest / first:5.0%}")
    print(f"second is {first / runs['second'][0]:.1f} times as fast as first")


if __name__ == "__main__":
    main()
