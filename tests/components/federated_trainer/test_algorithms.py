"""Our algorithms against TFF's own, and where TFF has none, against the papers' formulas in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.federated_split.blocks import Clients
from components.federated_trainer.algorithms import ALGORITHMS, server
from components.federated_trainer.clients.batching import Work
from components.federated_trainer.clients.kept import Kept
from components.federated_trainer.clients.population import Population
from components.federated_trainer.combining import Combiner
from components.federated_trainer.executors import tff_runtime as runtime
from components.federated_trainer.executors.local import LocalExecutor
from modeling import batches, contract
from pipeline.strict_yaml import build
from pipeline.train_config import TrainConfig

Weights = list[np.ndarray]
BATCH, EPOCHS, RATE, SERVER_RATE = 4, 2, 0.2, 0.5
COHORTS = ([0, 1, 2, 3], [0, 2, 3], [1, 2, 3])


def settings_of(algorithm: str, **train: Any) -> dict[str, Any]:
    """As the config gives them; examples in their stored order."""
    local = {} if algorithm == "fedsgd" else {"local_epochs": EPOCHS, "client_learning_rate": RATE, "shuffle": False}
    cohort = {"rounds": len(COHORTS), "clients_per_round": 3, "batch_size": BATCH, "server_learning_rate": SERVER_RATE}
    forced = {key: train.pop(key) for key in ("proximal_strength",) if train.get(key, 0) < 0}  # which no config may be
    train |= {key: -value for key, value in forced.items()}
    return build(TrainConfig, {"algorithm": algorithm, **cohort, **local, **train}).settings("people") | forced


def ours(module: contract.ModelModule, uri: str, weights: Weights, settings: Mapping[str, Any]) -> Weights:
    """The weights after a round with each of COHORTS."""
    population = Population.open(uri)
    half, algorithm = server(settings, len(population)), ALGORITHMS[settings["algorithm"]]
    state, combiner = half.initial(weights, []), Combiner(settings["aggregation"], algorithm.client.shapes(weights))
    kept = Kept([weight.shape for weight in weights] if algorithm.client.keeps_state else [])
    executor = LocalExecutor(module, population, settings, lanes=1)
    for number, cohort in enumerate(COHORTS, 1):
        clients = np.array(cohort)
        work = Work(clients, np.full(len(cohort), settings["local_epochs"]), np.arange(len(cohort), dtype=np.uint64))
        uniform = algorithm.uniform or settings["weighting"] == "uniform"
        weighting = np.ones(len(cohort)) if uniform else population.sizes[clients]
        message = half.message(state, number, *combiner.norms({}))
        result = executor.run(message, work, weighting.astype(np.float32), kept.get(clients))
        mean, _, _ = combiner.combine({}, result, number)
        state = half.update(state, mean, len(cohort), number)
        kept.put(clients, result.states)
    executor.close()
    population.close()
    return state["weights"]


def examples_of(module: contract.ModelModule, uri: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """All examples of each client, in their stored order."""
    clients = Clients.open(uri)
    parsed = (batches.parse(module, tf.constant(clients.examples(client))) for client in clients.ids)
    return [(x.numpy(), y.numpy()) for x, y in parsed]


def assert_close(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


# TFF's own


@pytest.fixture(scope="module")
def tff_worker() -> Iterator[None]:
    worker = runtime.start(intra_op_threads=1)
    yield
    worker.kill()
    worker.wait()


@pytest.fixture(scope="module")
def classes_uri(write_clients, classes) -> str:
    return write_clients("classes", {f"client-{i}": classes(5 + 4 * i, i) for i in range(4)}, block_bytes=150)


@pytest.fixture(scope="module")
def classifier(write_module, class_source: str) -> contract.ModelModule:
    hidden = class_source.replace("Dense(3)", "Dense(5, activation='tanh'), tf.keras.layers.Dense(3)")
    return contract.load(write_module(hidden))


def sgd(rate: float, momentum: float | None = None) -> Any:
    import tensorflow_federated as tff

    return tff.learning.optimizers.build_sgdm(rate, momentum)


def averaging(optimizer: Callable[[Mapping[str, Any]], Any], build: str = "build_weighted_fed_avg") -> Callable[..., Any]:
    """Makes stock federated averaging with a server optimizer."""

    def make(model_fn: Callable[[], Any], settings: Mapping[str, Any]) -> Any:
        import tensorflow_federated as tff

        return getattr(tff.learning.algorithms, build)(model_fn, sgd(RATE), optimizer(settings))

    return make


def optimizer(name: str, *keys: str) -> Callable[[Mapping[str, Any]], Any]:
    """One of TFF's server optimizers, with these settings."""

    def make(settings: Mapping[str, Any]) -> Any:
        import tensorflow_federated as tff

        return getattr(tff.learning.optimizers, f"build_{name}")(SERVER_RATE, *(settings[key] for key in keys))

    return make


def prox(model_fn: Callable[[], Any], settings: Mapping[str, Any]) -> Any:
    import tensorflow_federated as tff

    strength = -settings[
        "proximal_strength"
    ]  # TFF 0.87 adds mu (w_global - w) to the gradient, the negated gradient of its term
    return tff.learning.algorithms.build_weighted_fed_prox(model_fn, strength, sgd(RATE), sgd(SERVER_RATE))


def one_gradient(model_fn: Callable[[], Any], settings: Mapping[str, Any]) -> Any:
    import tensorflow_federated as tff

    return tff.learning.algorithms.build_fed_sgd(model_fn, sgd(SERVER_RATE))


def mime(model_fn: Callable[[], Any], settings: Mapping[str, Any]) -> Any:
    import tensorflow_federated as tff

    base = sgd(RATE, settings["momentum"])
    return tff.learning.algorithms.build_weighted_mime_lite(model_fn, base, sgd(SERVER_RATE))


STOCK: dict[str, tuple[Mapping[str, Any], Callable[..., Any]]] = {
    "fedavg": ({}, averaging(optimizer("sgdm"))),
    "fedavg, uniform": ({"weighting": "uniform"}, averaging(optimizer("sgdm"), "build_unweighted_fed_avg")),
    "fedavgm": ({"momentum": 0.8}, averaging(optimizer("sgdm", "momentum"))),
    "fedadam": ({}, averaging(optimizer("adam", "beta_1", "beta_2", "adaptivity"))),
    "fedyogi": (
        {"initial_accumulator": 0.01},
        averaging(optimizer("yogi", "beta_1", "beta_2", "adaptivity", "initial_accumulator")),
    ),
    "fedadagrad": (
        {"initial_accumulator": 0.1},
        averaging(optimizer("adagrad", "initial_accumulator", "adaptivity")),
    ),
    "fedprox": ({"proximal_strength": -0.7}, prox),
    "fedsgd": ({}, one_gradient),
    "mime_lite": ({"momentum": 0.8}, mime),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STOCK)
def test_it_does_what_tffs_own_does(name: str, classifier, classes_uri, tff_worker) -> None:
    import tensorflow_federated as tff

    given, make = STOCK[name]
    settings = settings_of(name.split(",")[0], **given)
    tf.keras.utils.set_random_seed(3)
    initial = [weight.numpy() for weight in classifier.build_model().trainable_weights]
    found = ours(classifier, classes_uri, initial, settings)
    data = [
        tf.data.Dataset.from_tensor_slices(examples).batch(BATCH).repeat(settings["local_epochs"])
        for examples in examples_of(classifier, classes_uri)
    ]

    def model_fn() -> Any:
        return tff.learning.models.from_keras_model(
            classifier.build_model(), loss=classifier.build_loss(), input_spec=data[0].element_spec
        )

    process = make(model_fn, settings)
    state = process.set_model_weights(process.initialize(), tff.learning.models.ModelWeights(initial, []))
    for cohort in COHORTS:
        state = process.next(state, [data[client] for client in cohort]).state
    assert_close(found, process.get_model_weights(state).trainable)


# Formulas


@pytest.fixture(scope="module")
def linear_uri(write_clients, records) -> str:
    """Clients that want different things."""
    clients = {f"client-{i}": records(5 + 4 * i, i, slope=1 - 0.5 * i) for i in range(4)}
    return write_clients("linear", clients, block_bytes=150)


@pytest.fixture(scope="module")
def linear(write_module, linear_source: str) -> contract.ModelModule:
    return contract.load(write_module(linear_source))


START: Weights = [np.array([[0.3], [-0.2], [0.1]], np.float32), np.array([0.05], np.float32)]


def flat(weights: Weights) -> np.ndarray:
    return np.concatenate([weight.ravel() for weight in weights]).astype(np.float64)


def with_ones(x: np.ndarray) -> np.ndarray:
    """Inputs with a column for the bias."""
    return np.concatenate([x, np.ones([len(x), 1])], axis=1)


def loss(w: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean((with_ones(x) @ w - y) ** 2))


def gradient(w: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 2 * with_ones(x).T @ (with_ones(x) @ w - y) / len(y)


def local_steps(
    w: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    *,
    rate: float = RATE / 4,
    correction: Callable[[np.ndarray], np.ndarray | float] = lambda w: 0.0,
) -> tuple[np.ndarray, int]:
    """SGD from w on, with something added to each gradient; the weights, and how many steps were made."""
    steps = 0
    for _ in range(EPOCHS):
        for begin in range(0, len(y), BATCH):
            rows = slice(begin, begin + BATCH)
            w = w - rate * (gradient(w, x[rows], y[rows]) + correction(w))
            steps += 1
    return w, steps


def scaffold(w: np.ndarray, data: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Karimireddy et al. 2020, algorithm 1, with option II."""
    common, own = np.zeros(4), np.zeros([len(data), 4])
    for cohort in COHORTS:
        moves, changes = [], []
        for i in cohort:
            control = common - own[i]
            y, steps = local_steps(w, *data[i], correction=lambda w, control=control: control)
            renewed = own[i] - common + (w - y) / (steps * RATE / 4)
            moves.append(y - w)
            changes.append(renewed - own[i])
            own[i] = renewed
        w = w + SERVER_RATE * np.mean(moves, axis=0)
        common = common + len(cohort) / len(data) * np.mean(changes, axis=0)
    return w


def q_fed_avg(w: np.ndarray, data: list[tuple[np.ndarray, np.ndarray]], q: float) -> np.ndarray:
    """Li et al. 2020, algorithm 2, with the server's learning rate on the step."""
    lipschitz = 4 / RATE
    for cohort in COHORTS:
        deltas, bounds = [], []
        for i in cohort:
            before, difference = loss(w, *data[i]), lipschitz * (w - local_steps(w, *data[i])[0])
            deltas.append(before**q * difference)
            bounds.append(q * before ** (q - 1) * difference @ difference + lipschitz * before**q)
        w = w - SERVER_RATE * np.sum(deltas, axis=0) / np.sum(bounds)
    return w


def test_scaffold_is_the_papers(linear, linear_uri) -> None:
    settings = settings_of("scaffold", client_learning_rate=RATE / 4)
    expected = scaffold(flat(START), examples_of(linear, linear_uri))
    assert_close([flat(ours(linear, linear_uri, START, settings))], [expected])


@pytest.mark.parametrize("q", [0.5, 1.0, 2.0])
def test_q_fed_avg_is_the_papers(q: float, linear, linear_uri) -> None:
    settings = settings_of("qfedavg", q=q, client_learning_rate=RATE / 4)
    expected = q_fed_avg(flat(START), examples_of(linear, linear_uri), q)
    assert_close([flat(ours(linear, linear_uri, START, settings))], [expected])


def test_q_fed_avg_without_fairness_is_uniform_averaging(linear, linear_uri) -> None:
    fair = settings_of("qfedavg", q=0.0, client_learning_rate=RATE / 4)
    uniform = settings_of("fedavg", weighting="uniform", client_learning_rate=RATE / 4)
    assert_close(ours(linear, linear_uri, START, fair), ours(linear, linear_uri, START, uniform))


def test_fed_prox_without_strength_is_federated_averaging(linear, linear_uri) -> None:
    proximal = settings_of("fedprox", proximal_strength=0.0, client_learning_rate=RATE / 4)
    plain = settings_of("fedavg", client_learning_rate=RATE / 4)
    assert_close(ours(linear, linear_uri, START, proximal), ours(linear, linear_uri, START, plain))


def test_fed_prox_is_the_papers(linear, linear_uri) -> None:
    w, data, strength = flat(START), examples_of(linear, linear_uri), 0.7
    for cohort in COHORTS:
        pull = [local_steps(w, *data[i], correction=lambda moved, w=w: strength * (moved - w))[0] - w for i in cohort]
        w = w + SERVER_RATE * np.average(pull, axis=0, weights=[len(data[i][1]) for i in cohort])
    settings = settings_of("fedprox", proximal_strength=strength, client_learning_rate=RATE / 4)
    assert_close([flat(ours(linear, linear_uri, START, settings))], [w])


def test_schedules_change_the_rates_of_clients_and_server(linear, linear_uri) -> None:
    halving = {"kind": "step", "decay_rounds": 1, "decay_rate": 0.5}
    both = {"client_schedule": halving, "server_schedule": halving}
    found = ours(linear, linear_uri, START, settings_of("fedavg", client_learning_rate=RATE / 4, **both))
    w, data = flat(START), examples_of(linear, linear_uri)
    for number, cohort in enumerate(COHORTS):
        moves = [local_steps(w, *data[i], rate=RATE / 4 * 0.5**number)[0] - w for i in cohort]
        w = w + SERVER_RATE * 0.5**number * np.average(moves, axis=0, weights=[len(data[i][1]) for i in cohort])
    assert_close([flat(found)], [w])


def test_qfedavg_keeps_the_weights_where_its_bound_is_too_small_a_number() -> None:
    half = server(settings_of("qfedavg", q=5.0), 3)
    before = half.initial([np.array([1.0, 2.0], np.float32)], [])
    after = half.update(before, [np.zeros(2, np.float32), np.zeros(1, np.float32)], 3, 1)
    assert after["weights"][0].tolist() == [1.0, 2.0]
