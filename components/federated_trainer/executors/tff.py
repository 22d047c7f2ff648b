"""The executor `tff`: the same clients' half of a round on TensorFlow Federated's native runtime, as the reference.

A round is one federated computation: the server's message is broadcast, each client reads its blocks in TFF's worker and works
as everywhere else, and what is to be added up is summed by TFF. The runtime keeps nothing for clients from round to round and
has no aggregation that sees all updates: what clients keep, and updates that a rule needs one by one, come back as values that
are placed at the clients. Structures are lists of tensors at TFF's border. A client's examples are decoded at once, however
many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.federated_split.datasets import block_records
from components.federated_trainer.clients.batching import Work, batches, options
from components.federated_trainer.clients.half import ClientHalf
from components.federated_trainer.clients.population import Population
from components.federated_trainer.clients.results import Result
from components.federated_trainer.executors import tff_runtime as runtime
from modeling.contract import ModelModule

_LISTS = ("weights", "frozen", "extra")
_ASKED = 7  # tensors that a client is asked with, without what it kept


class TffExecutor:
    """Runs the clients' half of rounds in a worker of TFF's; must be made in the main thread, see `runtime.start`."""

    def __init__(
        self, module: ModelModule, population: Population, settings: Mapping[str, Any], *, intra_op_threads: int
    ) -> None:
        self._module, self._population, self._settings = module, population, settings
        self._worker = runtime.start(intra_op_threads=intra_op_threads)
        self._round: _Round | None = None

    def run(self, message: Mapping[str, Any], work: Work, weights: np.ndarray, states: Sequence[np.ndarray]) -> Result:
        """See LocalExecutor.run."""
        if not len(work):
            half = ClientHalf(self._module, self._settings)
            return Result.of(half.nothing(message, states), half.stacks)
        if self._round is None:
            self._round = _Round(self._module, self._population, self._settings, message, states)
            self._module.build_model()  # building one in TFF's graphs made Keras 1 layers of the classes; this turns them back
        return self._round(message, [self._client(work, weights, states, position) for position in range(len(work))])

    def close(self) -> None:
        """Ends the worker."""
        self._worker.kill()
        self._worker.wait()

    def _client(self, work: Work, weights: np.ndarray, states: Sequence[np.ndarray], position: int) -> list[np.ndarray]:
        """What one client is asked; of the types that `_types` gives."""
        own = work.take(slice(position, position + 1))
        made = batches(self._population.sizes[own.clients], own.epochs, own.seeds, **options(self._settings))
        places = self._population.places(self._population.blocks_of(own.clients[0]))
        kept = [state[position] for state in states]
        return [places, *made.plan, own.seed_pairs[0], np.float32(weights[position]), *kept]


class _Round:
    """The federated computation of a round, for messages and states like those given."""

    def __init__(
        self,
        module: ModelModule,
        population: Population,
        settings: Mapping[str, Any],
        message: Mapping[str, Any],
        states: Sequence[np.ndarray],
    ) -> None:
        import tensorflow_federated as tff

        self._module, self._population, self._settings = module, population, settings
        self._lengths = [len(message[key]) for key in _LISTS]
        self._stacks, self._metrics = False, 0
        server, client = _types(message, states)
        work = tff.tensorflow.computation(self._work, server, client)

        @tff.federated_computation(tff.FederatedType(server, tff.SERVER), tff.FederatedType(client, tff.CLIENTS))
        def computation(sent: Any, clients: Any) -> Any:
            results = tff.federated_map(work, (tff.federated_broadcast(sent), clients))
            return tff.federated_sum(results[0]), results[1]

        self._computation = computation

    def __call__(self, message: Mapping[str, Any], clients: list[list[np.ndarray]]) -> Result:
        """Runs it."""
        added, of_clients = self._computation(_flat(message), clients)
        sums = list(map(np.asarray, added))
        rows, *others = (np.concatenate(values) for values in zip(*of_clients, strict=True))
        stacked = others[:1] if self._stacks else sums[self._metrics :]
        return Result(stacked, sums[: self._metrics], rows, others[self._stacks :], self._stacks)

    def _work(self, sent: list[Any], client: list[Any]) -> tuple[list[Any], list[Any]]:
        """What a client does, traced into the worker's graph: what is added up, and what is not."""
        import tensorflow as tf

        half = ClientHalf(self._module, self._settings)
        self._stacks = half.stacks

        def traced() -> dict[str, Any]:  # in a function, where TensorFlow keeps what changes variables in order
            places, *plan, seed, weight = client[:_ASKED]
            states = client[_ASKED:]
            batching = *plan, tf.stack([0, tf.shape(plan[1])[0]])
            x, y = half.decode(self._records(places))
            clients = weight[tf.newaxis], seed[tf.newaxis]
            return half.fold(self._message(sent), x, y, batching, clients, [state[tf.newaxis] for state in states])

        folded = tf.function(traced, autograph=False)()
        sums, metrics = folded["sums"], [_wide(metric) for metric in folded["metrics"]]
        self._metrics = len(metrics)
        if half.stacks:
            return metrics, [folded["rows"], *sums, *folded["states"]]
        return [*metrics, *map(_wide, sums)], [folded["rows"], *folded["states"]]

    def _records(self, places: Any) -> Any:
        """The serialized examples of a client's blocks, one after the other."""
        import tensorflow as tf

        blocks = block_records(places, self._population.shard_paths, self._population.shard_sizes)
        plain = tf.data.Options()  # graph rewrites and autotuning cost more than they give on datasets as small as these
        plain.autotune.enabled = False
        plain.experimental_optimization.apply_default_optimizations = False
        together = blocks.ragged_batch(tf.shape(places, tf.int64)[0]).with_options(plain)
        return together.get_single_element().flat_values

    def _message(self, sent: list[Any]) -> dict[str, Any]:
        """The inverse of `_flat`."""
        ends = np.cumsum(self._lengths)
        return {key: sent[end - n : end] for key, end, n in zip(_LISTS, ends, self._lengths, strict=True)} | {
            "numbers": sent[-1]
        }


def _flat(message: Mapping[str, Any]) -> list[np.ndarray]:
    return [*(array for key in _LISTS for array in message[key]), message["numbers"]]


def _types(message: Mapping[str, Any], states: Sequence[np.ndarray]) -> tuple[Any, Any]:
    """TFF's types of a message and of what a client is asked: its blocks' places, order, bounds, seed, weight, what it kept."""
    import tensorflow_federated as tff

    def like(arrays: Sequence[np.ndarray]) -> list[Any]:
        return [tff.TensorType(array.dtype.type, array.shape) for array in map(np.asarray, arrays)]

    places, order = tff.TensorType(np.int64, [None, 3]), tff.TensorType(np.int32, [None])
    starts, lengths = tff.TensorType(np.int32, [None, 1]), tff.TensorType(np.float32, [None])
    client = [
        places,
        order,
        starts,
        lengths,
        starts,
        tff.TensorType(np.int64, [2]),
        tff.TensorType(np.float32),
        *like([state[0] for state in states]),
    ]
    return tff.to_type(like(_flat(message))), tff.to_type(client)


def _wide(total: Any) -> Any:
    """In a type in which sums are exact enough, however many clients there are."""
    import tensorflow as tf

    return tf.cast(total, tf.float64) if total.dtype.is_floating else total
