"""The clients' half of a round as one TensorFlow function: reads examples, works for client after client, adds up.

Every executor runs this function: `local` on many clients at once in each of its threads, `beam` in its workers, `tff` on one
client at a time in TFF's runtime. A client that is too large to be decoded at once is worked on in segments instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from components.federated_trainer.algorithms import ALGORITHMS
from components.federated_trainer.clients import contribution
from modeling import batches
from modeling.contract import ModelModule


class ClientHalf:
    """The work of clients on variables of its own; of use to one thread at a time.

    What `fold` and `close` return, a dict:

        sums     sums over the clients of what they send; a list like `parts`. For rules that need all updates, one tensor
                 [k, dimension] with a row per client, all parts one after the other
        metrics  sums over the counted clients of the metrics' variables
        rows     float32 [k, COLUMNS], see `contribution`
        states   what each client keeps, a list of [k, ...]; empty for most algorithms
    """

    def __init__(self, module: ModelModule, settings: Mapping[str, Any]) -> None:
        self._module = module
        self._rules = settings["aggregation"]
        self._clips = self._rules["clip"] is not None or settings["privacy"] is not None
        self.plain = (
            not self._clips
            and not self._rules["zeroing"]
            and (self._rules["rule"], self._rules["compression"]) == ("mean", "none")
        )
        self.stacks = self._rules["rule"] not in ("mean", "simulated_secure_mean")
        self._work = ALGORITHMS[settings["algorithm"]].client(module, settings)

    def decode(self, serialized: Any) -> tuple[Any, Any]:
        """Returns x and y of serialized tf.Examples [n], in one vectorised call."""
        return batches.parse(self._module, serialized)

    def probe(self, message: Mapping[str, Any], serialized: Any) -> tuple[Any, Any]:
        """Decodes and makes one step, to be traced: what it is made of tells how best to run it."""
        x, y = self.decode(serialized)
        self._work.load(message)
        self._work.step(x, y, 1.0)
        return x, y

    def make_totals(self) -> None:
        """Makes the variables that `fold_all` adds up in."""
        import tensorflow as tf

        weights = self._work.weights
        kind = weights[0].dtype
        self._totals = [tf.Variable(tf.zeros(shape, kind), trainable=False) for shape in self._work.shapes(weights)]

    def fold_all(
        self,
        message: Mapping[str, Any],
        x: Any,
        y: Any,
        batching: Sequence[Any],
        clients: Sequence[Any],
        states: Sequence[Any],
        *,
        one_batch: bool,
    ) -> dict[str, Any]:
        """Does what `fold` does where aggregation is `plain`, and faster, taking for granted that every client counts.

        If one does not, its loss is not finite or a sum is far too large (Result.finite), and what is returned is of no use.
        """
        import tensorflow as tf

        (*plan, first), (weights, seeds) = batching, clients
        self._work.load(message)
        self._work.forget()
        for total in self._totals:
            total.assign(tf.zeros_like(total))
        count, seen = tf.shape(weights)[0], _seen(plan, first)

        def body(client: Any, losses: Any, kept: Any) -> Any:
            state = [tf.gather(values, client) for values in states]
            steps, loss_sum = self._one(x, y, plan, first, client, tf.gather(seeds, client), state, one_batch)
            sent, new = self._work.finish(steps, tf.gather(seen, client))
            weight = tf.gather(weights, client)
            for total, tensor in zip(self._totals, sent, strict=True):  # total += weight * tensor, in one pass
                rate = -tf.cast(weight, tensor.dtype)
                tf.raw_ops.ResourceApplyGradientDescent(var=total.handle, alpha=rate, delta=tensor)
            kept = [array.write(client, one) for array, one in zip(kept, new, strict=True)]
            return client + 1, losses.write(client, loss_sum), kept

        arrays = [tf.TensorArray(tf.float32, count, element_shape=[]), _arrays(states, count)]
        _, losses, kept = tf.while_loop(lambda client, *_: client < count, body, [0, *arrays], parallel_iterations=1)
        nothing = tf.zeros_like(weights)
        return {
            "sums": [total.read_value() for total in self._totals],
            "metrics": [variable.read_value() for variable in self._work.metric_variables],
            "rows": contribution.rows(tf.stack([nothing, nothing, losses.stack()], axis=1), weights, seen, norms=False),
            "states": [array.stack() for array in kept],
        }

    def fold(
        self,
        message: Mapping[str, Any],
        x: Any,
        y: Any,
        batching: Sequence[Any],
        clients: Sequence[Any],
        states: Sequence[Any],
        *,
        one_batch: bool = False,
    ) -> dict[str, Any]:
        """Works for k clients whose examples lie one after the other.

        Args:
          message: see ClientWork.load.
          x, y: all examples of the clients; [n, ...] each.
          batching: Batches.plan and first.
          clients: weights float32 [k], seeds int64 [k, 2].
          states: what each client kept, a list of [k, ...].
          one_batch: each client has exactly one, so no loop is needed for them.
        """
        import tensorflow as tf

        (*plan, first), (weights, seeds) = batching, clients
        self._work.load(message)
        count, seen = tf.shape(weights)[0], _seen(plan, first)

        def body(client: Any, sums: Any, metrics: Any, measures: Any, kept: Any, stack: Any) -> Any:
            seed, state = tf.gather(seeds, client), [tf.gather(values, client) for values in states]
            self._work.forget()
            steps, loss_sum = self._one(x, y, plan, first, client, seed, state, one_batch)
            done = (steps, loss_sum, tf.gather(seen, client))
            added, measured, measures_of, new = self._finish(message, tf.gather(weights, client), seed, done, state)
            if self.stacks:
                stack = stack.write(client, tf.concat([tf.reshape(tensor, [-1]) for tensor in added], 0))
            else:
                sums = [total + tensor for total, tensor in zip(sums, added, strict=True)]
            metrics = [total + value for total, value in zip(metrics, measured, strict=True)]
            kept = [array.write(client, one) for array, one in zip(kept, new, strict=True)]
            return client + 1, sums, metrics, measures.write(client, measures_of), kept, stack

        start = [0, self._zeros(message), [tf.zeros_like(value) for value in self._work.metric_variables]]
        measures = tf.TensorArray(tf.float32, count, element_shape=[3])
        stack = tf.TensorArray(tf.float32, count, element_shape=[self.dimension(message)]) if self.stacks else 0
        _, sums, metrics, measures, kept, stack = tf.while_loop(
            lambda client, *_: client < count,
            body,
            [*start, measures, _arrays(states, count), stack],
            parallel_iterations=1,
        )
        return {
            "sums": [stack.stack()] if self.stacks else sums,
            "metrics": metrics,
            "rows": contribution.rows(measures.stack(), weights, seen, norms=not self.plain),
            "states": [array.stack() for array in kept],
        }

    def _one(
        self, x: Any, y: Any, plan: Sequence[Any], first: Any, client: Any, seed: Any, state: Sequence[Any], one_batch: bool
    ) -> tuple[Any, Any]:
        """Works for one client up to its last step; how many steps, and the sum of losses."""
        import tensorflow as tf

        self._work.begin(seed, state)
        if one_batch:
            return 1, self._batch(x, y, plan, client)
        begin, end = tf.gather(first, client), tf.gather(first, client + 1)
        return end - begin, self._steps(x, y, plan, begin, end)

    def nothing(self, message: Mapping[str, Any], states: Sequence[Any]) -> dict[str, Any]:
        """Returns what `fold` does for no clients."""
        import tensorflow as tf

        return {
            "sums": [tf.zeros([0, self.dimension(message)])] if self.stacks else self._zeros(message),
            "metrics": [tf.zeros_like(value) for value in self._work.metric_variables],
            "rows": tf.zeros([0, contribution.COLUMNS]),
            "states": [state[:0] for state in states],
        }

    def open(self, message: Mapping[str, Any], seed: Any, state: Sequence[Any]) -> None:
        """Begins one client that is worked on in segments; seed int64 [2], state a list of [...]."""
        self._work.load(message)
        self._work.forget()
        self._work.begin(seed, state)

    def segment(self, message: Mapping[str, Any], x: Any, y: Any, plan: Sequence[Any]) -> Any:
        """Works through one segment of the client's examples; returns the sum of their losses."""
        import tensorflow as tf

        self._work.hear(message)
        return self._steps(x, y, plan, 0, tf.shape(plan[1])[0])

    def close(self, message: Mapping[str, Any], weight: Any, seed: Any, done: Any, state: Sequence[Any]) -> dict[str, Any]:
        """Ends the client that is worked on in segments; `done`: batches (int32), sum of losses, examples seen (float32)."""
        import tensorflow as tf

        self._work.hear(message)
        added, measured, measures, new = self._finish(message, weight, seed, done, state)
        row = contribution.rows(measures[tf.newaxis], weight[tf.newaxis], done[2][tf.newaxis], norms=not self.plain)
        flat = [tf.concat([tf.reshape(tensor, [-1]) for tensor in added], 0)[tf.newaxis]] if self.stacks else added
        return {"sums": flat, "metrics": measured, "rows": row, "states": [one[tf.newaxis] for one in new]}

    def dimension(self, message: Mapping[str, Any]) -> int:
        """How many numbers a client sends."""
        return sum(map(math.prod, self._work.shapes(message["weights"])))

    def _zeros(self, message: Mapping[str, Any]) -> list[Any]:
        import tensorflow as tf

        if self.stacks:
            return []
        exact = self._rules["rule"] == "simulated_secure_mean"
        kind = tf.int64 if exact else message["weights"][0].dtype
        return [tf.zeros(shape, kind) for shape in self._work.shapes(message["weights"])]

    def _steps(self, x: Any, y: Any, plan: Sequence[Any], begin: Any, end: Any) -> Any:
        import tensorflow as tf

        def body(batch: Any, loss_sum: Any) -> Any:
            return batch + 1, loss_sum + self._batch(x, y, plan, batch)

        return tf.while_loop(lambda batch, loss_sum: batch < end, body, [begin, 0.0], parallel_iterations=1)[1]

    def _batch(self, x: Any, y: Any, plan: Sequence[Any], batch: Any) -> Any:
        import tensorflow as tf

        order, starts, lengths, counts = plan
        rows = tf.slice(order, tf.gather(starts, batch), tf.gather(counts, batch))
        x_of_batch = tf.nest.map_structure(lambda part: tf.gather(part, rows), x)
        return self._work.step(x_of_batch, tf.gather(y, rows), tf.gather(lengths, batch))

    def _finish(
        self, message: Mapping[str, Any], weight: Any, seed: Any, done: Any, state: Sequence[Any]
    ) -> tuple[Any, Any, Any, Any]:
        import tensorflow as tf

        steps, loss_sum, seen = done
        sent, new = self._work.finish(steps, seen)
        added, counted, measures = contribution.contribution(
            sent, loss_sum, weight, seed, message["numbers"], self._rules, self._clips
        )
        metrics = [tf.where(counted, variable, tf.zeros_like(variable)) for variable in self._work.metric_variables]
        return added, metrics, measures, [tf.where(counted, one, old) for one, old in zip(new, state, strict=True)]


def _seen(plan: Sequence[Any], first: Any) -> Any:
    """float32 [k]: how many examples each client sees; epochs add up."""
    import tensorflow as tf

    ends = tf.concat([[0.0], tf.cumsum(plan[2])], 0)
    return tf.gather(ends, first[1:]) - tf.gather(ends, first[:-1])


def _arrays(states: Sequence[Any], count: Any) -> list[Any]:
    """Arrays for what k clients keep."""
    import tensorflow as tf

    return [tf.TensorArray(state.dtype, count, element_shape=state.shape[1:]) for state in states]
