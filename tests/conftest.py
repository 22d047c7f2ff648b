"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real data sets; FEDTFX_TEST_DATA says where, if not beside the checkout."""
    default = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("FEDTFX_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}; set FEDTFX_TEST_DATA")
    return folder
