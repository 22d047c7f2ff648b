"""A lane: the clients' half of a round with variables and compiled functions of its own, for one thread at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from components.federated_trainer.clients.batching import Work, batches, options
from components.federated_trainer.clients.half import ClientHalf
from components.federated_trainer.clients.population import Population
from components.federated_trainer.clients.results import Result, merge
from modeling.contract import ModelModule

# Decoded examples that a lane holds at once. A client that has more is worked on in segments.
_DECODED_BYTES = 64 << 20
_CONTROL_FLOW = ("While", "If", "Case")


def tensors(message: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the message as lanes take it: tensors in place of arrays, so that they are made once for all of them."""
    import tensorflow as tf

    return {
        key: list(map(tf.constant, value)) if isinstance(value, list) else tf.constant(value) for key, value in message.items()
    }


class Lane:
    """One ClientHalf with its variables and compiled functions; of use to one thread at a time."""

    def __init__(self, module: ModelModule, population: Population, settings: Mapping[str, Any]) -> None:
        import tensorflow as tf

        self._population, self._settings = population, settings
        self._half = ClientHalf(module, settings)
        self._half.make_totals()
        self._executor_type: str | None = None
        self._most = 0
        self._batching = options(settings)
        self._fold = tf.function(self._traced_fold, autograph=False, reduce_retracing=True)
        self._open = tf.function(self._half.open, autograph=False, reduce_retracing=True)
        self._segment = tf.function(self._traced_segment, autograph=False, reduce_retracing=True)
        self._close = tf.function(self._half.close, autograph=False, reduce_retracing=True)

    def run(self, message: Any, work: Work, weights: np.ndarray, states: Sequence[np.ndarray]) -> Result:
        """Works for some clients, at least one; see LocalExecutor.run. `message` is what `tensors` returned."""
        with self._way_to_run(message):
            return self._run(message, work, weights, states)

    def nothing(self, message: Any, states: Sequence[np.ndarray]) -> Result:
        """Returns what no clients at all give."""
        return Result.of(self._half.nothing(message, states), self._half.stacks)

    def _run(self, message: Any, work: Work, weights: np.ndarray, states: Sequence[np.ndarray]) -> Result:
        sizes = self._population.sizes[work.clients]
        parts = [
            self._run_whole(message, work.take(rows), weights[rows], [state[rows] for state in states])
            if sizes[rows[0]] <= self._most
            else self._run_in_segments(message, work.take(rows), weights[rows], [state[rows] for state in states])
            for rows in self._holdable(sizes)
        ]
        return merge(parts)

    @contextlib.contextmanager
    def _way_to_run(self, message: Any) -> Iterator[None]:
        """Chooses TensorFlow's single-threaded executor where it pays: for graphs of small operations, twice as fast.

        With convolutions it is half as fast, because TensorFlow then leaves oneDNN out, and it knows no nested control flow.
        """
        import tensorflow as tf

        if self._executor_type is None:
            probe = tf.function(self._half.probe, autograph=False)
            probed = probe.get_concrete_function(message, tf.TensorSpec([None], tf.string))
            self._most = self._most_at_once(probed)
            slow = any(kind.endswith(_CONTROL_FLOW) or "Conv" in kind for kind in _kinds(probed.graph))
            self._executor_type = "" if slow or tf.config.list_physical_devices("GPU") else "SINGLE_THREADED_EXECUTOR"
        with tf.experimental.function_executor_type(self._executor_type):
            yield

    def _most_at_once(self, probed: Any) -> int:
        """How many examples may be decoded at once."""
        numbers = [np.prod([size or 1 for size in shape.as_list()[1:]]) for shape in _flat(probed.output_shapes)]
        return max(self._settings["batch_size"], int(_DECODED_BYTES // (4 * sum(numbers))))

    def _holdable(self, sizes: np.ndarray) -> Iterator[np.ndarray]:
        """Positions of neighbours that can be decoded together."""
        begin, held = 0, 0
        for position, size in enumerate(sizes.tolist()):
            if position > begin and held + size > self._most:
                yield np.arange(begin, position)
                begin, held = position, 0
            held += size
        yield np.arange(begin, len(sizes))

    def _run_whole(self, message: Any, work: Work, weights: np.ndarray, states: Sequence[np.ndarray]) -> Result:
        import tensorflow as tf

        sizes = self._population.sizes[work.clients]
        rows = self._population.blocks_of_all(work.clients)
        made = batches(sizes, work.epochs, work.seeds, **self._batching)
        asked = (
            message,
            tf.constant(self._population.read(rows)),
            [*map(tf.constant, made.plan), tf.constant(made.first)],
            [tf.constant(weights.astype(np.float32)), tf.constant(work.seed_pairs)],
            list(map(tf.constant, states)),
            bool(np.all(np.diff(made.first) == 1)),
        )
        if self._half.plain:
            result = Result.of(self._fold(*asked, careful=False), self._half.stacks)
            if result.finite:
                return result
        return Result.of(self._fold(*asked, careful=True), self._half.stacks)

    def _run_in_segments(self, message: Any, work: Work, weights: np.ndarray, states: Sequence[np.ndarray]) -> Result:
        import tensorflow as tf

        seed, state = tf.constant(work.seed_pairs[0]), [tf.constant(array[0]) for array in states]
        self._open(message, seed, state)
        done = np.zeros(3)
        for rows, made in self._segments(work):
            plan = list(map(tf.constant, made.plan))
            loss_sum = self._segment(message, tf.constant(self._population.read(rows)), plan)
            done += [len(made.bounds) - 1, float(loss_sum), len(made.order)]
        ended = (tf.constant(done[0], tf.int32), tf.constant(done[1], tf.float32), tf.constant(done[2], tf.float32))
        folded = self._close(message, tf.constant(np.float32(weights[0])), seed, ended, state)
        return Result.of(folded, self._half.stacks)

    def _segments(self, work: Work) -> Iterator[tuple[np.ndarray, Any]]:
        """A large client's blocks, in another order in each epoch, as many at a time as can be decoded at once.

        Examples are shuffled within a segment. With a cap, the same first segments are used in every epoch.
        """
        client, seed = int(work.clients[0]), work.seeds[:1]
        rows, shuffled = self._population.blocks_of(client), self._batching["shuffle"]
        left_at_first = min(self._batching["cap"] or self._population.sizes[client], self._population.sizes[client])
        for epoch in range(int(work.epochs[0])):
            order = np.random.Generator(np.random.PCG64([int(seed[0]), 0 if self._batching["cap"] else epoch]))
            left = left_at_first
            for segment in self._full(order.permutation(rows) if shuffled else rows):
                size = self._population.examples_in(segment).sum(keepdims=True)
                made = batches(size, np.array([1]), seed, **{**self._batching, "cap": int(left)}, first_epoch=epoch)
                yield segment, made
                left -= int(made.used[0])
                if left <= 0:
                    break

    def _full(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        sizes = self._population.examples_in(rows)
        for positions in self._holdable(sizes):
            yield rows[positions]

    def _traced_fold(
        self, message: Any, data: Any, batching: Any, clients: Any, states: Any, one_batch: bool, careful: bool
    ) -> Any:
        fold = self._half.fold if careful else self._half.fold_all
        return fold(message, *self._half.decode(_records(data)), batching, clients, states, one_batch=one_batch)

    def _traced_segment(self, message: Any, data: Any, plan: Any) -> Any:
        return self._half.segment(message, *self._half.decode(_records(data)), plan)


def _kinds(graph: Any) -> set[str]:
    """The types of all operations, those in functions included."""
    definition = graph.as_graph_def()
    return {node.op for nodes in (definition.node, *(f.node_def for f in definition.library.function)) for node in nodes}


def _flat(structure: Any) -> list[Any]:
    import tensorflow as tf

    return tf.nest.flatten(structure)


def _records(data: Any) -> Any:
    import tensorflow as tf

    return tf.ensure_shape(tf.io.parse_tensor(data, tf.string), [None])
