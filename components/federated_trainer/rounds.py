"""The rounds of a federated training: who takes part, what comes of it, when to stop. Knows TFF, has never heard of TFX."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.federated_split.blocks import Clients
from components.federated_trainer import clients as client_data
from components.federated_trainer import runtime
from components.federated_trainer.algorithms import ALGORITHMS
from components.federated_trainer.records import Round, RoundRecorder
from errors import TrainingError
from modeling import contract
from modeling.check import check
from modeling.export import export

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """Everything a training needs; JSON-friendly, because it crosses a process boundary.

    settings: algorithm, rounds, clients_per_round, local_epochs, batch_size, client_learning_rate, server_learning_rate.
    """

    module: str
    examples_uri: str
    settings: Mapping[str, Any]
    seed: int
    model_dir: str
    run_dir: str


def train(job: Job, report: Callable[[Round], None]) -> dict[str, Any]:
    """Runs all rounds, exports the final weights to `job.model_dir`, and returns facts for the artifact's properties.

    Raises:
      TrainingError: more clients per round than clients, a round that fails, or weights or loss that are not finite.
      ConfigError: the model module is not usable.
    """
    module = contract.load(job.module)
    clients = Clients.open(job.examples_uri)
    _check_cohort(job.settings["clients_per_round"], len(clients))
    check(module)
    runtime.start(intra_op_threads=max(1, (os.cpu_count() or 1) // job.settings["clients_per_round"]))
    process = _process(module, clients, job.settings)
    # After TFF's own models: building those in graphs turns the layers of every Keras model there is into Keras 1 layers, which
    # no signature can be made of; building one eagerly turns them back.
    model = _initial_model(module, job.seed)
    recorder = RoundRecorder(job.run_dir)
    for result in _rounds(process, model, clients, job):
        recorder.record(result)
        report(result)
    export(model, module, job.model_dir)
    return {
        "rounds": result.number,
        "clients": len(clients),
        **{f"train_{key}": value for key, value in result.metrics.items()},
    }


def _rounds(process: Any, model: Any, clients: Clients, job: Job) -> Iterator[Round]:
    """Yields each round's result; `model` has the initial weights before the first and the final ones after the last."""
    epochs = job.settings["local_epochs"]
    state = process.set_model_weights(process.initialize(), _weights(model))
    for number in range(1, job.settings["rounds"] + 1):
        started = time.monotonic()
        cohort = sample_cohort(len(clients), job.settings["clients_per_round"], job.seed, number)
        output = _next(process, state, [_handle(clients, index, job.seed, number) for index in cohort], number)
        state = output.state
        weights = process.get_model_weights(state)
        trained = dict(output.metrics["client_work"]["train"])
        examples = int(trained.pop("num_examples")) // epochs
        metrics = {key: float(value) for key, value in trained.items() if key != "num_batches"}
        _check_finite(weights, examples, metrics, number)
        left_out = sum(clients.num_examples(clients.ids[index]) for index in cohort) - examples
        seconds = time.monotonic() - started
        yield Round(number, job.settings["rounds"], len(cohort), examples, left_out, seconds, metrics)
    _assign(weights, model)


def _next(process: Any, state: Any, handles: list[np.ndarray], number: int) -> Any:
    import grpc

    try:
        return process.next(state, handles)
    except grpc.RpcError as error:
        logger.error("round %d failed", number, exc_info=error)
        details = error.details() if isinstance(error, grpc.Call) else str(error)
        first = (details or "no reason given").strip().splitlines()[0][:300]
        raise TrainingError(f"round {number} failed in TFF's worker: {first}; see the clients' data and the log.") from error


def sample_cohort(population: int, size: int, seed: int, number: int) -> list[int]:
    """Draws the clients of round `number`: `size` of `population` without replacement, ascending; seeded."""
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, number])))
    return sorted(generator.choice(population, size, replace=False).tolist())


def _check_cohort(size: int, population: int) -> None:
    if size > population:
        raise TrainingError(
            f"train.clients_per_round is {size}, but there are {population} clients; set it to at most {population}."
        )


def _process(module: contract.ModelModule, clients: Clients, settings: Mapping[str, Any]) -> Any:
    """The algorithm's learning process, taking handles of clients instead of their datasets."""
    import tensorflow as tf
    import tensorflow_federated as tff

    def dataset(packed: Any) -> Any:
        return client_data.dataset(
            packed,
            module,
            clients.shard_paths,
            clients.shard_sizes,
            batch_size=settings["batch_size"],
            epochs=settings["local_epochs"],
        )

    batch_spec = dataset(tf.constant(_handle(clients, 0, 0, 0))).element_spec

    def model_fn() -> Any:
        return tff.learning.models.from_keras_model(
            module.build_model(), loss=module.build_loss(), metrics=module.build_metrics(), input_spec=batch_spec
        )

    process = ALGORITHMS[settings["algorithm"]](model_fn, settings)
    on_client = tff.tensorflow.computation(dataset, tff.TensorType(np.int64, [None, 3]))
    return tff.simulation.compose_dataset_computation_with_learning_process(on_client, process)


def _handle(clients: Clients, index: int, seed: int, number: int) -> np.ndarray:
    order = np.random.SeedSequence([seed, number, index]).generate_state(1, np.uint64)[0] >> np.uint64(1)
    return client_data.handle(clients.blocks(clients.ids[index]), int(order))


def _initial_model(module: contract.ModelModule, seed: int) -> Any:
    import tensorflow as tf

    tf.keras.utils.set_random_seed(seed)
    return module.build_model()


def _weights(model: Any) -> Any:
    import tensorflow_federated as tff

    return tff.learning.models.ModelWeights.from_model(model).convert_variables_to_arrays()


def _assign(weights: Any, model: Any) -> None:
    expected = len(model.trainable_weights), len(model.non_trainable_weights)
    got = len(weights.trainable), len(weights.non_trainable)
    if expected != got:  # assign_weights_to would silently assign the shorter list
        raise TrainingError(f"build_model() has {expected} (trainable, other) weights now and had {got} when training began.")
    weights.assign_weights_to(model)


def _check_finite(weights: Any, examples: int, metrics: Mapping[str, float], number: int) -> None:
    """TFF leaves out clients whose weights are not finite, and their metrics: with none left, it reports a loss of 0."""
    finite = all(np.all(np.isfinite(array)) for array in (*weights.trainable, *weights.non_trainable))
    if not finite or examples == 0 or not np.isfinite(metrics["loss"]):
        what = "no client's weights are" if examples == 0 else "the loss is not" if finite else "the global weights are not"
        raise TrainingError(
            f"{what} finite after round {number}; expected finite numbers. Lower train.client_learning_rate or"
            " train.server_learning_rate, or look for NaN in the data."
        )
