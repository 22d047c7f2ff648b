"""What every test of the gate begins with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.components.deploy_gate.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A model that meets everything, with findings of every judge."""
    return Bench(tmp_path)
