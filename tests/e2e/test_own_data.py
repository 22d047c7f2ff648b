"""What the README and the MNIST page promise, done as they say it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_readme_walk_brings_own_data_and_model_to_a_pushed_model(checkout: Any, test_data: Path) -> None:
    walk = (ROOT / "README.md").read_text(encoding="utf-8").split("## Your own data")[1].split("\n## ")[0]
    steps = re.findall(r"^\d\. `(examples/\S+)`.*?```\w+\n(.*?)^ +```", walk, re.MULTILINE | re.DOTALL)
    assert [Path(file).name for file, _ in steps] == ["penguins_model.py", "config.yaml"]
    for file, content in steps:
        target = checkout.path / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(re.sub(r"^   ", "", content, flags=re.MULTILINE), encoding="utf-8")
    (checkout.path / "examples" / "penguins" / "data").mkdir()
    shutil.copy(test_data / "penguins" / "penguins_processed.csv", checkout.path / "examples" / "penguins" / "data")
    run = checkout.run("examples/penguins/config.yaml")
    assert run.code == 0, run
    assert run.result["pushed"]["new"] is True
    assert run.result["metrics"]["federated"]["sparse_categorical_accuracy"] >= 0.9


def test_mnist_of_sixty_thousand_reaches_097_in_the_rounds_its_config_asks_for(checkout: Any, test_data: Path) -> None:
    quicker = ("--set", "baseline.epochs=1")  # nothing is asked of the baseline here
    run = checkout.run("examples/mnist/config.yaml", "--set", f"data.path={test_data / 'mnist'}", *quicker)
    assert run.code == 0, run
    assert run.result["metrics"]["federated"]["example_count"] == 10_000
    assert run.result["metrics"]["federated"]["sparse_categorical_accuracy"] >= 0.97
