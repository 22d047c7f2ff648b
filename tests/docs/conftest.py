"""The digits, divided as a page says; and the code blocks of a page."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
import tensorflow as tf

from components.example_gens.digits_executor import read_digits
from components.federated_split.division import Request, divide
from components.federated_split.parameters import check_parameters

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"


@pytest.fixture(scope="session")
def code_blocks() -> Callable[[str, str], list[str]]:
    """Returns the blocks of a how-to page in a language, in order."""

    def read(page: str, language: str) -> list[str]:
        return re.findall(rf"^```{language}\n(.*?)^```", (HOW_TO / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)

    return read


@pytest.fixture(scope="module")
def divide_digits(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[str, dict[str, Any]]]:
    """Divides the 1,797 digits and returns where the artifact is and what partition.json says; parameters by keyword."""
    folder = tmp_path_factory.mktemp("digits")
    path = str(folder / "digits.gz")
    with tf.io.TFRecordWriter(path, "GZIP") as writer:
        for record in read_digits():
            writer.write(record)

    def run(strategy: str, **parameters: Any) -> tuple[str, dict[str, Any]]:
        uri = tmp_path_factory.mktemp(strategy)
        request = Request(strategy, check_parameters(strategy, {"label": "label", **parameters}), 42)
        return str(uri), divide([path], str(uri), request, beam.Pipeline)

    return run
