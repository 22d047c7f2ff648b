"""What a real division leaves beside the examples: partition.json and the picture."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from components.federated_split.blocks import Clients


@pytest.fixture
def examples(write_examples, make_example):
    """60 examples of 3 labels and 4 users."""
    return write_examples([make_example(label=n % 3, user=b"zelda-%d" % (n % 4), x=n) for n in range(60)], files=2)


def told(federated) -> tuple[dict, str]:
    uri = Path(federated.uri)
    return json.loads((uri / "partition.json").read_text()), (uri / "partition.svg").read_text()


def test_partition_tells_quantiles_and_heterogeneity_of_what_was_written(examples, divide) -> None:
    federated = divide(examples, strategy="dirichlet", clients=6, alpha=0.5, label="label")
    partition, picture = told(federated)
    clients = Clients.open(federated.uri)
    sizes = [clients.num_examples(client) for client in clients.ids]
    assert (partition["examples_per_client"]["min"], partition["examples_per_client"]["max"]) == (min(sizes), max(sizes))
    assert partition["label_totals"] == {"0": 20, "1": 20, "2": 20}
    assert partition["label_counts_per_client"]["1"]["max"] == max(clients.labels(client).get("1", 0) for client in clients.ids)
    assert 0 < partition["heterogeneity"]["label_divergence"] < 1
    assert ET.fromstring(picture).tag.endswith("svg")
    assert "dirichlet: 6 clients, 60 examples" in picture


def test_skewed_clients_diverge_more_than_alike_ones(examples, divide) -> None:
    divergences = [
        told(divide(examples, out=f"alpha{alpha}", strategy="dirichlet", clients=5, alpha=alpha, label="label"))[0]
        for alpha in (0.1, 1000.0)
    ]
    skewed, alike = (partition["heterogeneity"] for partition in divergences)
    assert skewed["label_divergence"] > 10 * alike["label_divergence"]
    assert skewed["effective_labels"] < alike["effective_labels"]


def test_same_examples_give_the_same_partition_and_picture(examples, divide) -> None:
    assert told(divide(examples, out="one", clients=7)) == told(divide(examples, out="two", clients=7))


@pytest.mark.parametrize("label", ["label", "user"])
def test_client_ids_are_in_neither_even_if_they_are_the_labels(examples, divide, label) -> None:
    partition, picture = told(divide(examples, strategy="by_key", key="user", label=label))
    assert "zelda" not in json.dumps(partition)
    assert "zelda" not in picture
    assert partition["num_labels"] == (3 if label == "label" else 0)
