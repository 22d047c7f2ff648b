"""Federated averaging against the same arithmetic by hand."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from components.federated_split.blocks import Clients
from components.federated_trainer import clients as client_data
from components.federated_trainer import isolation
from components.federated_trainer.rounds import Job, _handle, sample_cohort
from modeling import contract

pytestmark = pytest.mark.slow
Weights = tuple[np.ndarray, np.ndarray]


def initial(job: Job) -> Weights:
    tf.keras.utils.set_random_seed(job.seed)
    return tuple(contract.load(job.module).build_model().get_weights())


def trained(job: Job) -> Weights:
    isolation.run(job)
    return tuple(tf.keras.models.load_model(job.model_dir).get_weights())


def by_hand(job: Job, client: int, number: int, weights: Weights) -> Weights:
    """SGD on the mean squared error of x w + b over the client's batches of round `number`, with the gradient on paper."""
    clients, settings = Clients.open(job.examples_uri), job.settings
    tf.random.set_seed(None)  # a global seed would enter the order of the examples; there is none where clients are
    packed = tf.constant(_handle(clients, client, job.seed, number))
    kernel, bias = (weight.astype(np.float64) for weight in weights)
    for x, y in client_data.dataset(
        packed,
        contract.load(job.module),
        clients.shard_paths,
        clients.shard_sizes,
        batch_size=settings["batch_size"],
        epochs=settings["local_epochs"],
    ).as_numpy_iterator():
        error = (x @ kernel + bias)[:, 0] - y
        kernel = kernel - settings["client_learning_rate"] * 2 * (x.T @ error / len(y))[:, None]
        bias = bias - settings["client_learning_rate"] * 2 * error.mean()
    return kernel, bias


def assert_close(found: Weights, expected: Weights) -> None:
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_one_client_and_one_epoch_is_plain_sgd(make_job, write_clients, records) -> None:
    job = make_job("sgd", write_clients("one", {"ann": records(13, 1)}, block_bytes=200), rounds=2)
    expected = initial(job)
    for number in (1, 2):
        expected = by_hand(job, 0, number, expected)
    assert_close(trained(job), expected)


def test_clients_count_by_their_examples_and_the_server_learning_rate_scales_the_step(make_job, write_clients, records) -> None:
    sizes = {"ann": 4, "bob": 25}
    uri = write_clients("two", {"ann": records(4, 1), "bob": records(25, 2, slope=-2.0)})
    job = make_job("mean", uri, clients_per_round=2, local_epochs=3, server_learning_rate=0.5)
    start = initial(job)
    locals_ = [by_hand(job, client, 1, start) for client in sample_cohort(2, 2, job.seed, 1)]
    means = [np.average([a, b], axis=0, weights=list(sizes.values())) for a, b in zip(*locals_, strict=True)]
    assert_close(trained(job), tuple(old + 0.5 * (new - old) for old, new in zip(start, means, strict=True)))
