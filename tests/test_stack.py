"""The locked packages, which no resolver would put together as declared, do work together."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# The worker of TFF keeps this process's stdout open until its context is replaced and collected.
FEDERATED_SUM_OF_SQUARES = """
import gc
import tfx, tensorflow as tf, tensorflow_federated as tff, tensorflow_model_analysis, ml_metadata, apache_beam
import numpy as np

square = tff.tensorflow.computation(lambda x: tf.square(x), np.int32)

@tff.federated_computation(tff.FederatedType(np.int32, tff.CLIENTS))
def sum_of_squares(values):
    return tff.federated_sum(tff.federated_map(square, values))

print("sum", sum_of_squares([1, 2, 3]))
print("versions", tfx.__version__, tff.__version__, tf.__version__)
tff.backends.native.set_sync_local_cpp_execution_context()
gc.collect()
"""

HEAVY = ("apache_beam", "tensorflow", "tensorflow_federated", "tfx")


def _run(source: Path, *arguments: str) -> str:
    command = [sys.executable, str(source), *arguments]
    done = subprocess.run(command, cwd=ROOT, env=_environment(), capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.slow
def test_tfx_and_tff_work_in_one_process(tmp_path: Path) -> None:
    source = tmp_path / "both.py"  # a file, because TFF reads the source of what it traces
    source.write_text(FEDERATED_SUM_OF_SQUARES)
    said = _run(source).splitlines()
    assert "sum 14" in said
    assert "versions 1.15.1 0.87.0 2.15.1" in said


@pytest.mark.parametrize("package", ["pipeline", "components", "modeling", "lineage", "serving"])
def test_importing_a_package_loads_nothing_heavy(package: str, tmp_path: Path) -> None:
    source = tmp_path / "imports.py"
    source.write_text(f"import sys, {package}; print(*sorted(set({HEAVY}) & set(sys.modules)))")
    assert _run(source).strip() == ""


def test_what_is_installed_is_what_is_locked() -> None:
    wrong = {}
    for name, locked in re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE):
        installed = importlib.metadata.version(name)
        if installed != locked:
            wrong[name] = f"locked {locked}, installed {installed}"
    assert not wrong
