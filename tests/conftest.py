"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real data sets; FEDTFX_TEST_DATA says where, if not beside the checkout."""
    default = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("FEDTFX_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}; set FEDTFX_TEST_DATA")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, by Playwright; whoever asks for it is skipped where either is missing."""
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("no chromium on PATH; apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        # Chromium's sandbox does not start for root, which containers run tests as.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        with playwright.chromium.launch(executable_path=chromium, args=arguments) as opened:
            yield opened
