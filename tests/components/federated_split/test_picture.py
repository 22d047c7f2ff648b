"""The picture of a division."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from components.federated_split.census import Census
from components.federated_split.picture import draw
from components.federated_split.sample import Sample, draw_sample

SVG = "{http://www.w3.org/2000/svg}"


def sample(table: list[list[int]], labels: list[str], others: int = 0) -> Sample:
    """Of all clients; the table's last column is that of the other labels."""
    counts = np.array(table, dtype=np.int64)
    sizes = counts.sum(axis=1)
    return Sample(len(sizes), int(sizes.sum()), float(np.median(sizes)), sizes, labels, others, counts, counts.sum(axis=0))


TWO = sample([[30, 10, 0], [0, 20, 0]], ["cat", "dog"])


def texts(picture: bytes) -> list[str]:
    return [element.text or "" for element in ET.fromstring(picture).iter(f"{SVG}text")]


def rectangles(picture: bytes) -> dict[str, int]:
    """How many rectangles each path has, by its colour ("" are the sizes)."""
    paths = ET.fromstring(picture).iter(f"{SVG}path")
    return {path.get("fill", ""): path.get("d", "").count("M") for path in paths}


def test_picture_tells_sizes_labels_and_divergence() -> None:
    told = texts(draw(TWO, "dirichlet", 0.1234))
    assert told[:2] == [
        "dirichlet: 2 clients, 60 examples",
        "20 to 40 examples each, median 30; label divergence 0.12 (0: every client is like the whole, 1: no label in common)",
    ]
    assert {"cat", "dog", "all", "each column is one client, the largest on the left"} <= set(told)


def test_every_client_is_a_bar_and_a_stack_of_its_labels() -> None:
    sizes, cat, dog = rectangles(draw(TWO, "dirichlet", 0.1)).values()
    assert (sizes, cat, dog) == (2, 2, 3)  # The column of all is there as well; the second client has no cat.


def test_without_labels_only_sizes_are_drawn() -> None:
    picture = draw(sample([[40], [20]], []), "iid", None)
    assert texts(picture)[1] == "20 to 40 examples each, median 30"
    assert rectangles(picture) == {"": 2}
    assert "Labels" not in texts(picture)


def test_clients_without_examples_have_no_bar() -> None:
    assert rectangles(draw(sample([[5, 0], [0, 0]], ["cat"]), "dirichlet", 0.0))[""] == 1


@pytest.mark.parametrize(("largest", "scale"), [(100, "Examples"), (10_000, "Examples (logarithmic scale)")])
def test_very_uneven_sizes_are_drawn_on_a_logarithmic_scale(largest: int, scale: str) -> None:
    picture = draw(sample([[largest, 0], [9, 0], [8, 0]], ["cat"]), "by_key", 0.0)
    assert scale in texts(picture)


def test_labels_that_do_not_fit_are_shortened_and_others_counted() -> None:
    picture = draw(replace(TWO, labels=["a" * 40, "dog"], others=27), "shards", 0.3)
    assert {"aaaaaaaaaaaaa…", "27 others"} <= set(texts(picture))


def test_any_text_can_be_a_label() -> None:
    assert {"<&>", "\ufffd\ufffd"} <= set(texts(draw(replace(TWO, labels=["<&>", "\x00\x1b"]), "iid", 0.0)))


def test_same_sample_gives_the_same_bytes() -> None:
    assert draw(TWO, "iid", 0.1) == draw(replace(TWO), "iid", 0.1)


def test_style_holds_for_this_picture_alone() -> None:
    style = ET.fromstring(draw(TWO, "iid", 0.1)).find(f"{SVG}style")
    selectors = re.findall(r"^([^@{}\n]+) \{", str(style.text), re.MULTILINE)
    assert selectors
    assert all(part.strip().startswith(".partition ") for selector in selectors for part in selector.split(","))


@pytest.fixture
def census_of_sizes(tmp_path: Path):
    """A census without labels, so that the index is not needed."""

    def make(sizes: np.ndarray) -> Census:
        class Unlabelled(Census):
            def chunks(self):
                return iter(())

        return Unlabelled(tmp_path, sizes, [], np.zeros(0, dtype=np.int64))

    return make


def test_a_million_clients_are_drawn_as_a_hundred_from_the_largest_to_the_smallest(census_of_sizes) -> None:
    sizes = np.random.default_rng(1).permutation(np.arange(1, 1_000_001))
    drawn = draw_sample(census_of_sizes(sizes))
    assert (drawn.clients, len(drawn.sizes), drawn.sizes[0], drawn.sizes[-1]) == (1_000_000, 100, 1_000_000, 1)
    steps = -np.diff(drawn.sizes)
    assert steps.max() - steps.min() <= 1
    assert any("100 of 1,000,000" in text for text in texts(draw(drawn, "iid", None)))
    assert len(draw(drawn, "iid", None)) < 20_000
