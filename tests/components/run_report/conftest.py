"""A finished run, made without running one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.components.run_report.finished import DECISION, Made, write_json


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


@pytest.fixture
def decided(made: Made) -> Callable[..., None]:
    """Writes another decision."""

    def write(**changes: Any) -> None:
        write_json(made.root / "decision" / "decision.json", {**DECISION, **changes})

    return write
