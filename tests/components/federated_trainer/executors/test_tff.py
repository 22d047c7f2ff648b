"""TFF's runtime: its worker goes when it should, and Keras is left as it was found."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import psutil
import pytest
import tensorflow as tf

from components.federated_trainer.algorithms import server
from components.federated_trainer.clients.batching import Work
from components.federated_trainer.clients.population import Population
from components.federated_trainer.executors.tff import TffExecutor
from modeling import contract
from pipeline.strict_yaml import build
from pipeline.train_config import TrainConfig

pytestmark = pytest.mark.slow


def workers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if child.name() == "worker_binary"]


@pytest.fixture(scope="module")
def module(write_module, class_source: str) -> contract.ModelModule:
    return contract.load(write_module(class_source))


@pytest.fixture(scope="module")
def population(write_clients, classes) -> Iterator[Population]:
    opened = Population.open(
        write_clients("clients", {f"client-{i}": classes(4 + 3 * i, i) for i in range(5)}, block_bytes=200)
    )
    yield opened
    opened.close()


@pytest.fixture
def message(module: contract.ModelModule) -> dict:
    half = server(build(TrainConfig, {"rounds": 1, "clients_per_round": 5}).settings("people"), 5)
    start = [np.full(weight.shape, 0.1, np.float32) for weight in module.build_model().trainable_weights]
    return half.message(half.initial(start, []), 1, np.inf, np.inf)


def test_clients_come_back_in_the_order_in_which_they_were_asked(module, population, message) -> None:
    rules = {"rule": "median"}
    settings = build(TrainConfig, {"rounds": 1, "clients_per_round": 5, "aggregation": rules}).settings("people")
    before = len(workers())
    executor = TffExecutor(module, population, settings, intra_op_threads=1)
    assert len(workers()) == before + 1
    try:
        forward, backward = (
            executor.run(message, Work(order, np.ones(5, np.int64), 3 + order.astype(np.uint64)), population.sizes[order], [])
            for order in (np.arange(5), np.arange(5)[::-1])
        )
    finally:
        executor.close()
    np.testing.assert_array_equal(forward.rows, backward.rows[::-1])
    np.testing.assert_array_equal(forward.sums[0], backward.sums[0][::-1])
    assert forward.weights.tolist() == population.sizes.tolist()
    assert len(workers()) == before


def test_models_of_this_process_still_work_after_a_round_of_tffs(module, population, message) -> None:
    model = module.build_model()
    settings = build(TrainConfig, {"rounds": 1, "clients_per_round": 5}).settings("people")
    executor = TffExecutor(module, population, settings, intra_op_threads=1)
    try:
        executor.run(message, Work(np.arange(5), np.ones(5, np.int64), np.arange(5, dtype=np.uint64)), population.sizes, [])
    finally:
        executor.close()
    outputs = tf.function(model)(tf.ones([2, 3]), training=False)
    assert outputs.shape == (2, 3) and np.isfinite(outputs).all()
