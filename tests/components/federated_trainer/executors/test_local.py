"""The threads of this process: the same bits from any number of them, and clients of any size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from components.federated_trainer.algorithms import server
from components.federated_trainer.clients.batching import Work
from components.federated_trainer.clients.contribution import LOSS_SUM, SEEN
from components.federated_trainer.clients.population import Population
from components.federated_trainer.clients.results import Result
from components.federated_trainer.executors import lane
from components.federated_trainer.executors.local import LocalExecutor, groups
from modeling import contract
from pipeline.strict_yaml import build
from pipeline.train_config import TrainConfig

PER_BLOCK = 4


@pytest.fixture(scope="module")
def population(write_clients, classes) -> Iterator[Population]:
    """Ten small clients, and one of 400 examples; four examples in each block."""
    clients = {f"client-{i}": classes(4 + i, i) for i in range(10)} | {"large": classes(400, 10)}
    size = len(clients["large"][0])
    opened = Population.open(write_clients("clients", clients, block_bytes=PER_BLOCK * (size + 8)))
    assert set(opened.examples_in(opened.blocks_of(10)).tolist()) == {PER_BLOCK}
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def module(write_module, class_source: str) -> contract.ModelModule:
    return contract.load(write_module(class_source))


def settings_of(**train: Any) -> dict[str, Any]:
    given = {"rounds": 1, "clients_per_round": 11, "batch_size": PER_BLOCK, **train}
    return build(TrainConfig, given).settings("people")


def worked(
    module: contract.ModelModule, population: Population, clients: list[int], settings: dict[str, Any], lanes: int = 1
) -> Result:
    """One round of these clients, from zeros on."""
    half = server(settings, len(population))
    start = [np.zeros_like(weight.numpy()) for weight in module.build_model().trainable_weights]
    asked = np.array(clients)
    work = Work(asked, np.full(len(asked), settings["local_epochs"]), asked.astype(np.uint64) + 2**40)
    executor = LocalExecutor(module, population, settings, lanes)
    try:
        message = half.message(half.initial(start, []), 1, np.inf, np.inf)
        return executor.run(message, work, np.ones(len(asked), np.float32), [])
    finally:
        executor.close()


def bits(result: Result) -> list[bytes]:
    return [array.tobytes() for array in (*result.sums, *result.metrics, result.rows)]


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["fedavg", "mime_lite"])
def test_dropout_is_the_same_on_any_number_of_lanes_and_differs_between_clients_and_steps(
    algorithm: str, population, write_module, class_source
) -> None:
    dropping = contract.load(write_module(class_source.replace("Dense(3)", "Dropout(0.5), tf.keras.layers.Dense(3)")))
    settings, clients = settings_of(algorithm=algorithm, local_epochs=2), list(range(11))
    first = worked(dropping, population, clients, settings)
    assert bits(worked(dropping, population, clients, settings)) == bits(first)
    assert bits(worked(dropping, population, clients, settings, lanes=2)) == bits(first)
    plain = contract.load(write_module(class_source))
    assert bits(worked(plain, population, clients, settings)) != bits(first)


@pytest.mark.slow
def test_what_dropout_drops_is_drawn_anew_for_each_step_and_client(write_clients, write_module, class_source, classes) -> None:
    dropping = contract.load(write_module(class_source.replace("Dense(3)", "Dropout(0.5), tf.keras.layers.Dense(3)")))
    same = classes(1, 1) * 12
    population = Population.open(write_clients("same", {"ann": same, "bob": same}))
    settings = settings_of(batch_size=1, aggregation={"rule": "median"}, clients_per_round=2)
    ann, bob = worked(dropping, population, [0, 1], settings).sums[0]
    population.close()
    assert ann.tobytes() != bob.tobytes()
    assert np.all(ann != 0)  # in one of twelve steps each input was there


def test_a_large_client_in_segments_learns_what_it_learns_at_once(population, module, monkeypatch) -> None:
    settings = settings_of(shuffle=False, local_epochs=2)
    whole = worked(module, population, [3, 10, 5], settings)
    in_segments(monkeypatch)
    parts = worked(module, population, [3, 10, 5], settings)
    for one, other in zip((*whole.sums, *whole.metrics, whole.rows), (*parts.sums, *parts.metrics, parts.rows), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rule", ["mean", "median"])
def test_a_large_client_in_segments_sees_every_example_once_in_each_epoch(rule: str, population, module, monkeypatch) -> None:
    gradient = settings_of(algorithm="fedsgd", aggregation={"rule": rule}) | {"local_epochs": 3}
    whole = worked(module, population, [10], gradient)
    in_segments(monkeypatch)
    shuffled = worked(module, population, [10], gradient | {"shuffle": True})
    assert shuffled.rows[0, SEEN] == 3 * 400
    assert shuffled.rows[0, LOSS_SUM] == pytest.approx(whole.rows[0, LOSS_SUM], rel=1e-5)
    for one, other in zip(whole.sums, shuffled.sums, strict=True):  # a gradient over all examples has no order
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_scaffold_keeps_the_state_of_a_large_client(population, module, monkeypatch) -> None:
    settings = settings_of(algorithm="scaffold", shuffle=False)
    start = [np.zeros_like(weight.numpy()) for weight in module.build_model().trainable_weights]
    kept = [np.random.default_rng(1).normal(size=(1, *weight.shape)).astype(np.float32) for weight in start]
    half = server(settings, len(population))
    message = half.message(half.initial(start, []), 1, np.inf, np.inf)
    work = Work(np.array([10]), np.array([1]), np.array([9], np.uint64))
    results = []
    for prepare in (lambda: None, lambda: in_segments(monkeypatch)):
        prepare()
        executor = LocalExecutor(module, population, settings, lanes=1)
        results.append(executor.run(message, work, np.ones(1, np.float32), kept))
        executor.close()
    for one, other in zip(results[0].states, results[1].states, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
        assert not np.allclose(one, 0)


@pytest.mark.parametrize("cap", [7, 150, 1000])
@pytest.mark.parametrize("segmented", [False, True])
def test_at_most_max_examples_of_a_client_are_used(cap: int, segmented: bool, population, module, monkeypatch) -> None:
    if segmented:
        in_segments(monkeypatch)
    result = worked(module, population, [0, 9, 10], settings_of(max_examples=cap, local_epochs=2))
    assert result.rows[:, SEEN].tolist() == [2 * min(size, cap) for size in (4, 13, 400)]


def in_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a lane decode no more than 60 examples at once."""
    numbers = 3 + 1  # of x and y
    monkeypatch.setattr(lane, "_DECODED_BYTES", 60 * 4 * numbers)


def test_compressed_updates_are_not_weighted_twice(population, module) -> None:
    rules = {"rule": "median", "compression": "8bit"}
    settings = settings_of(aggregation=rules)
    half = server(settings, len(population))
    start = [np.zeros_like(weight.numpy()) for weight in module.build_model().trainable_weights]
    message = half.message(half.initial(start, []), 1, np.inf, np.inf)
    work = Work(np.array([1]), np.array([1]), np.array([9], np.uint64))
    executor = LocalExecutor(module, population, settings, lanes=1)
    light, heavy = (executor.run(message, work, np.array([weight], np.float32), []) for weight in (1, 50))
    executor.close()
    np.testing.assert_array_equal(light.sums[0], heavy.sums[0])


@pytest.mark.parametrize(("weights", "least", "most"), [(10_000, 4, 5), (2_000_000, 64, 65)])
def test_groups_are_neighbours_with_about_as_many_examples_each_and_more_of_them_where_there_is_more_work(
    weights, least, most
) -> None:
    sizes = np.random.default_rng(1).integers(1, 50, 300)
    found = groups(sizes, {"weights": [np.zeros(weights, np.float32)]})
    np.testing.assert_array_equal(np.concatenate(found), np.arange(300))
    assert least <= len(found) <= most
    assert max(sizes[rows].sum() for rows in found) <= sizes.sum() / len(found) + 2 * sizes.max()


@pytest.mark.parametrize("sizes", [[1], [5, 5], [1, 1, 1, 10_000], [10_000, 1]])
def test_few_clients_are_grouped_as_well(sizes: list[int]) -> None:
    found = groups(np.array(sizes), {"weights": [np.zeros(3, np.float32)]})
    assert np.concatenate(found).tolist() == list(range(len(sizes)))
    assert all(len(rows) for rows in found)
