"""The three executors give the same, whatever the algorithm and the aggregation; and what they have in common."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.federated_trainer import executors
from components.federated_trainer.algorithms import ALGORITHMS, server
from components.federated_trainer.clients.batching import Work
from components.federated_trainer.clients.kept import Kept
from components.federated_trainer.clients.population import Population
from components.federated_trainer.clients.results import Result
from components.federated_trainer.combining import Combiner
from components.federated_trainer.rounds import Job
from errors import IntegrityError, TrainingError
from modeling import contract
from pipeline.strict_yaml import build
from pipeline.train_config import TrainConfig

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[4]
HIDDEN = ("Dense(3)", "Dense(5, activation='tanh'), tf.keras.layers.Dropout(0.2), tf.keras.layers.Dense(3)")
TOLERANCE = 1e-5
NAN = 4


@pytest.fixture(scope="module")
def source(class_source: str) -> str:
    """Three classes, a hidden layer and dropout."""
    return class_source.replace(*HIDDEN)


@pytest.fixture(scope="module")
def uri(write_clients, classes) -> str:
    """Six clients of 3 to 23 examples in several blocks; one of them has nothing but NaN."""
    clients = {f"client-{i}": classes(3 + 4 * i, i) for i in range(6)}
    clients[f"client-{NAN}"] = list(map(spoiled, clients[f"client-{NAN}"]))
    return write_clients("six", clients, block_bytes=150)


def spoiled(record: bytes) -> bytes:
    example = tf.train.Example.FromString(record)
    example.features.feature["x"].float_list.value[0] = float("nan")
    return example.SerializeToString()


@pytest.fixture(scope="module")
def population(uri: str) -> Iterator[Population]:
    opened = Population.open(uri)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def job(make_job, uri: str, source: str) -> Callable[..., Job]:
    """A job for an executor, of settings as the config gives them."""

    def make(executor: str, **train: Any) -> Job:
        given = {"rounds": 3, "clients_per_round": 6, "batch_size": 4, **train}
        settings = build(TrainConfig, given).settings("people") | {"executor": executor}
        return dataclasses.replace(make_job("executors", uri, source=source), settings=settings)

    return make


def trained(job: Job, population: Population, rounds: int = 2) -> tuple[list[np.ndarray], list[Result]]:
    """The weights after some rounds of draw, run, combine and step, and what the rounds gave."""
    module = contract.load(job.module)
    tf.keras.utils.set_random_seed(job.seed)
    weights = [weight.numpy() for weight in module.build_model().trainable_weights]
    half, client = server(job.settings, len(population)), ALGORITHMS[job.settings["algorithm"]].client
    state, results = half.initial(weights, []), []
    kept = Kept([weight.shape for weight in weights] if client.keeps_state else [])
    combiner = Combiner(job.settings["aggregation"], client.shapes(weights))
    norms = combiner.initial()
    with executors.executor(module, population, job) as executor:
        for number in range(1, rounds + 1):
            work = drawn(job, population, number)
            message = half.message(state, number, *combiner.norms(norms))
            weighting = population.sizes[work.clients].astype(np.float32)
            result = executor.run(message, work, weighting, kept.get(work.clients))
            mean, norms, _ = combiner.combine(norms, result, number)
            state = half.update(state, mean, int(result.counted.sum()), number)
            kept.put(work.clients[result.counted], [array[result.counted] for array in result.states])
            results.append(result)
    return [*state["weights"], *state["extra"], *kept.arrays()], results


def drawn(job: Job, population: Population, number: int) -> Work:
    """All clients, some of which do fewer epochs."""
    random, clients = np.random.default_rng(number), len(population)
    epochs = random.integers(1, job.settings["local_epochs"], clients, endpoint=True)
    return Work(np.arange(clients), epochs, random.integers(0, 2**64, clients, np.uint64))


def assert_close(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE)


CASES: dict[str, Mapping[str, Any]] = {
    "fedavg": {"max_examples": 12},
    "fedavg, median of compressed updates": {"aggregation": {"rule": "median", "compression": "8bit"}},
    "fedavgm, clipped": {"aggregation": {"clip": 0.2}},
    "fedadam, zeroing": {"aggregation": {"zeroing": True}},
    "fedyogi, median": {"aggregation": {"rule": "median"}},
    "fedadagrad, simulated_secure_mean": {"aggregation": {"rule": "simulated_secure_mean", "clip": 0.3}},
    "fedprox, 8bit": {"proximal_strength": 0.5, "aggregation": {"compression": "8bit"}},
    "fedsgd, adaptive clipping": {"aggregation": {"clip": "adaptive"}},
    "fedavg, multi_krum": {"aggregation": {"rule": "multi_krum", "byzantine": 1}},
    "mime_lite": {},
    "scaffold": {},
    "qfedavg": {"q": 1.0},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_local_beam_and_tff_give_the_same(name: str, job, population) -> None:
    algorithm = name.split(",")[0]
    local_epochs = {} if algorithm == "fedsgd" else {"local_epochs": 2, "client_learning_rate": 0.3}
    made = {each: job(each, algorithm=algorithm, **local_epochs, **CASES[name]) for each in executors.EXECUTORS}
    expected, results = trained(made["local"], population)
    assert all(np.flatnonzero(~result.counted).tolist() == [NAN] for result in results)
    for each in ("beam", "tff"):
        found, others = trained(made[each], population)
        assert_close(found, expected)
        for other, result in zip(others, results, strict=True):
            assert_close([other.rows[other.counted], *other.metrics], [result.rows[result.counted], *result.metrics])


def test_every_algorithm_is_held_equal() -> None:
    assert {name.split(",")[0] for name in CASES} == set(ALGORITHMS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "algorithm", "aggregation"),
    [
        ("local", "fedavg", {"rule": "median"}),
        ("local", "fedavg", {"rule": "simulated_secure_mean", "clip": 1.0}),
        *((name, "scaffold", {}) for name in executors.EXECUTORS),
    ],
)
def test_a_round_of_no_clients_gives_zeros(name: str, algorithm: str, aggregation: dict, job, population) -> None:
    asked = job(name, algorithm=algorithm, aggregation=aggregation)
    module = contract.load(asked.module)
    weights = [weight.numpy() for weight in module.build_model().trainable_weights]
    half = server(asked.settings, len(population))
    nobody = Work(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint64))
    message = half.message(half.initial(weights, []), 1, 1.0, np.inf)
    kept = [np.zeros((0, *w.shape), np.float32) for w in weights if algorithm == "scaffold"]
    with executors.executor(module, population, asked) as executor:
        result = executor.run(message, nobody, np.zeros(0, np.float32), kept)
        assert executor.metrics(result.metrics) == {"accuracy": 0.0}
    size = sum(weight.size for weight in weights)
    parts = 2 if algorithm == "scaffold" else 1
    shapes = [(0, size)] if result.stacks else parts * [weight.shape for weight in weights]
    assert [total.shape for total in result.sums] == shapes
    assert not any(total.any() for total in result.sums)
    assert [state.shape for state in result.states] == [state.shape for state in kept]
    assert result.rows.shape[0] == 0


def test_metrics_are_those_of_all_counted_examples(job, population) -> None:
    (result,) = trained(job("local"), population, rounds=1)[1]
    with executors.executor(contract.load(job("local").module), population, job("local")) as executor:
        accuracy = executor.metrics(result.metrics)["accuracy"]
    correct, examples = (float(total) for total in result.metrics)
    assert examples == population.sizes.sum() - population.sizes[NAN]
    assert accuracy == pytest.approx(correct / examples)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(executors.EXECUTORS))
def test_a_label_without_an_output_is_one_line(name: str, job, write_clients, classes) -> None:
    uri = write_clients(f"labels-{name}", {"ann": classes(4, 1, label=lambda kind: kind + 7)})
    asked = dataclasses.replace(job(name), examples_uri=uri)
    with pytest.raises(TrainingError) as caught:
        trained_one(asked)
    assert str(caught.value).startswith("the clients' work failed: ")
    assert "a label is outside of the valid range of [0, 3);" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["local", *(pytest.param(name, marks=pytest.mark.slow) for name in ("beam", "tff"))])
def test_a_client_whose_update_has_no_norm_in_float32_does_not_count(
    name: str, job, write_clients, records, linear_source, make_job
) -> None:
    """Labels of 5e18 have losses that float32 holds, and an update whose squares it does not."""
    uri = write_clients(f"enormous-{name}", {"ann": records(4, 1), "bob": list(map(enormous, records(4, 2)))})
    asked = make_job(f"enormous-{name}", uri, source=linear_source)
    settings = job(name, clients_per_round=2, client_learning_rate=5.0).settings
    (result,) = trained(dataclasses.replace(asked, settings=settings), Population.open(uri), rounds=1)[1]
    assert np.isfinite(result.rows[:, 4]).all()
    assert result.counted.tolist() == [True, False]


def enormous(record: bytes) -> bytes:
    example = tf.train.Example.FromString(record)
    example.features.feature["y"].float_list.value[0] = 5e18
    return example.SerializeToString()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["local", "beam"])
def test_a_shard_that_was_cut_meanwhile_is_one_line(name: str, job, write_clients, classes) -> None:
    uri = write_clients(f"cut-{name}", {"ann": classes(4, 1)})
    asked = dataclasses.replace(job(name), examples_uri=uri)
    opened = Population.open(uri)
    os.truncate(opened.shard_paths[0], 20)
    with pytest.raises(IntegrityError, match=r"found its end; run FederatedSplit again\.$"):
        trained_one(asked, opened)


def trained_one(job: Job, population: Population | None = None) -> None:
    """One round of one client."""
    population = population or Population.open(job.examples_uri)
    module = contract.load(job.module)
    half = server(job.settings, 1)
    state = half.initial([weight.numpy() for weight in module.build_model().trainable_weights], [])
    work = Work(np.array([0]), np.array([1]), np.array([1], np.uint64))
    with executors.executor(module, population, job) as executor:
        executor.run(half.message(state, 1, np.inf, np.inf), work, np.ones(1, np.float32), [])


@pytest.mark.parametrize(("clients", "threads"), [(1, len(os.sched_getaffinity(0))), (1000, 1)])
def test_threads_of_an_operation_are_what_the_lanes_leave(clients: int, threads: int) -> None:
    code = f"""
import sys
sys.path[:0] = {[str(ROOT), *sys.path]!r}
from components.federated_trainer.executors import use_threads
use_threads({{"executor": "local", "clients_per_round": {clients}}})
import tensorflow as tf
print(tf.config.threading.get_intra_op_parallelism_threads())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.stdout.split() == [str(threads)], done.stderr


def test_threads_that_are_set_too_late_stay_as_they_are() -> None:
    tf.constant(1)
    before = tf.config.threading.get_intra_op_parallelism_threads()
    executors.use_threads({"executor": "local", "clients_per_round": 1})
    assert tf.config.threading.get_intra_op_parallelism_threads() == before
