"""What the figures of `benchmarks/mcmahan.py` rest on: the division of MNIST, and when a target counts as reached."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from benchmarks import mnist_clients
from benchmarks.curves import Curve
from benchmarks.numpy_fedavg import accuracies


@pytest.fixture(scope="module")
def division(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The uri of 2,000 examples among 20 clients, with 300 test examples."""
    folder = tmp_path_factory.mktemp("division")
    training = mnist_clients.write_examples(folder, mnist_clients.TRAIN, limit=2000)
    test = mnist_clients.write_examples(folder, mnist_clients.TEST, limit=300)
    return mnist_clients.divide(training, test, folder / "clients", "shards", {"clients": 20}, seed=1)


@pytest.mark.slow
def test_every_client_has_two_shards_of_sorted_labels(division: str) -> None:
    clients = mnist_clients.examples(division, "train")
    assert [len(labels) for _, labels in clients] == [100] * 20
    assert max(len(set(labels)) for _, labels in clients) <= 4  # a shard may lie across the border of two labels
    assert np.mean([len(set(labels)) for _, labels in clients]) < 3


@pytest.mark.slow
def test_the_evaluation_side_is_the_test_set(division: str) -> None:
    ((pixels, labels),) = mnist_clients.examples(division, "eval")
    images, expected = mnist_clients.read(mnist_clients.TEST, limit=300)
    assert sorted(labels) == sorted(expected)
    assert {bytes((row * 255).round().astype(np.uint8)) for row in pixels} == set(map(bytes, images))


def test_a_target_counts_from_the_first_round_that_reaches_it() -> None:
    curve = Curve("case", "plot", 1, (0.1, 1.0), target=0.97, rounds=5, accuracies=[0.9, 0.97, 0.96, 0.98])
    assert curve.reached == 2
    assert curve.best == [0.9, 0.97, 0.97, 0.98]


def test_a_target_that_is_not_reached_has_no_round() -> None:
    assert Curve("case", "plot", 1, (0.1, 1.0), target=0.97, rounds=5, accuracies=[0.9]).reached is None


@pytest.mark.slow
def test_federated_averaging_in_numpy_learns(division: str) -> None:
    clients, (test,) = (mnist_clients.examples(division, side) for side in ("train", "eval"))
    rounds = accuracies(clients, test, in_a_round=5, epochs=1, batch=10, rate=0.1, seed=1)
    assert max(islice(rounds, 20)) > 0.7
