"""docs/how-to on training: every snippet is a config, and nothing there is to choose is left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.federated_trainer.algorithms import ALGORITHMS
from components.federated_trainer.privacy.mechanisms import MECHANISMS
from pipeline import config

ROOT = Path(__file__).parents[2]


@pytest.fixture
def trainings(code_blocks) -> Callable[[str], list[Any]]:
    """The train sections of a page, each as the digits' config with 1,000 clients would resolve it."""
    digits = yaml.safe_load((ROOT / "examples" / "digits" / "config.yaml").read_text(encoding="utf-8"))

    def read(page: str) -> list[Any]:
        snippets = [yaml.safe_load(block) for block in code_blocks(page, "yaml")]
        split = {"strategy": "iid", "clients": 1000}
        return [config.from_dict({**digits, "split": split, **snippet}).train for snippet in snippets]

    return read


def test_every_algorithm_has_a_snippet(trainings) -> None:
    assert {train.algorithm for train in trainings("choose-an-algorithm.md")} == set(ALGORITHMS)


def test_every_mechanism_of_privacy_has_a_snippet(trainings) -> None:
    assert {train.privacy.mechanism for train in trainings("train-with-privacy.md")} == set(MECHANISMS)
