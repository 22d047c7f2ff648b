"""docs/how-to/choose-a-split.md: its configs load, and its figures are those of real divisions."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.federated_split.partitioners import PARTITIONERS
from pipeline import config

PAGE = "choose-a-split.md"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def snippets(code_blocks) -> list[dict[str, Any]]:
    return [yaml.safe_load(block) for block in code_blocks(PAGE, "yaml")]


@pytest.fixture
def complete() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The digits' config with a snippet in place of its split, and one client per round, because some have few."""
    digits = yaml.safe_load((ROOT / "examples" / "digits" / "config.yaml").read_text(encoding="utf-8"))

    def merge(snippet: dict[str, Any]) -> dict[str, Any]:
        return {**digits, **snippet, "train": {**digits["train"], "clients_per_round": 1}}

    return merge


def test_every_snippet_is_a_config(snippets, complete) -> None:
    for snippet in snippets:
        assert config.from_dict(complete(snippet)).split.strategy == snippet["split"]["strategy"]


def test_every_strategy_has_a_snippet(snippets) -> None:
    assert {snippet["split"]["strategy"] for snippet in snippets} == set(PARTITIONERS)


@pytest.mark.slow
def test_figures_are_those_of_the_digits_divided_as_the_snippets_say(snippets, complete, divide_digits) -> None:
    page = (ROOT / "docs" / "how-to" / PAGE).read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `(\w+)` \| (\d.*) \|$", page, re.MULTILINE))
    splits = {snippet["split"]["strategy"]: snippet for snippet in reversed(snippets)}  # the first of each strategy
    found = {}
    for strategy in told:
        _, facts = divide_digits(
            strategy, **config.from_dict(complete(splits[strategy])).split.parameters() | {"label": "label"}
        )
        sizes, unlike = facts["examples_per_client"], facts["heterogeneity"]
        found[strategy] = (
            f"{sizes['min']:,}, {sizes['median']:,}, {sizes['max']:,} | {unlike['label_divergence']:.2f} |"
            f" {unlike['effective_labels']:.1f}"
        )
    assert len(told) == 10
    assert told == found
