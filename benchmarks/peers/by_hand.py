"""The expert's reference: a round of federated averaging written by hand in TensorFlow, for exactly this case.

    python benchmarks/peers/by_hand.py --workload C

Two threads, each with one tf.function over its half of the clients, whose examples are stacked in memory; each has its own copy
of the weights, which SGD changes in place. An operation keeps to its thread: on small batches, splitting it costs more than it
gives, and the other core has the other half of the clients to do.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import turns
from workloads import SIDE, Workload, chosen, initial_weights, load, scaled

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf

LANES = 2


class Lane:
    """One thread's clients and weights."""

    def __init__(self, workload: Workload, server: list[tf.Variable], images: np.ndarray, labels: np.ndarray):
        """images: float32[clients, examples, 784]; labels: int64[clients, examples]; a client's examples fill its batches."""
        steps = workload.examples // workload.batch
        self._images = tf.constant(images.reshape(len(images), steps, workload.batch, -1))
        self._labels = tf.constant(labels.reshape(len(labels), steps, workload.batch))
        self._workload = workload
        self._server = server
        self._local = [tf.Variable(weight) for weight in server]
        self.total = [tf.Variable(tf.zeros_like(weight)) for weight in server]

    @tf.function
    def run(self) -> tuple[tf.Tensor, tf.Tensor]:
        """One epoch of each client; leaves the sum of their changes, times their examples, in `total`.

        Returns the sum of the examples' losses, float32[], and how many were right, int64[].
        """
        for total in self.total:
            total.assign(tf.zeros_like(total))
        clients = self._labels.shape[0]

        def client(number: tf.Tensor, loss: tf.Tensor, right: tf.Tensor) -> tuple[tf.Tensor, ...]:
            for local, server in zip(self._local, self._server, strict=True):
                local.assign(server)
            loss, right = self._epoch(number, loss, right)
            for total, local, server in zip(self.total, self._local, self._server, strict=True):
                total.assign_add((local - server) * float(self._workload.examples))
            return number + 1, loss, right

        start = (0, tf.zeros([]), tf.zeros([], tf.int64))
        _, loss, right = tf.while_loop(lambda number, *_: number < clients, client, start, parallel_iterations=1)
        return loss, right

    def _epoch(self, client: tf.Tensor, loss: tf.Tensor, right: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images, labels = self._images[client], self._labels[client]
        steps = self._labels.shape[1]

        def step(number: tf.Tensor, loss: tf.Tensor, right: tf.Tensor) -> tuple[tf.Tensor, ...]:
            x, y = images[number], labels[number]
            logits = forward(self._workload, self._local, x)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
            gradients = tf.gradients(tf.reduce_mean(losses), self._local)
            for local, gradient in zip(self._local, gradients, strict=True):
                rate = self._workload.learning_rate
                tf.raw_ops.ResourceApplyGradientDescent(var=local.handle, alpha=rate, delta=gradient)
            hits = tf.math.count_nonzero(tf.equal(tf.argmax(logits, axis=-1), y))
            return number + 1, loss + tf.reduce_sum(losses), right + hits

        return tf.while_loop(lambda number, *_: number < steps, step, (0, loss, right), parallel_iterations=1)[1:]


def forward(workload: Workload, weights: list[tf.Variable], x: tf.Tensor) -> tf.Tensor:
    """Logits [batch, 10] of images [batch, 784]."""
    pairs = list(zip(weights[::2], weights[1::2], strict=True))
    if workload.convolutions:
        x = tf.reshape(x, [-1, SIDE, SIDE, 1])
    for kernel, bias in pairs[: len(workload.convolutions)]:
        x = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias))
        x = tf.nn.max_pool2d(x, 2, 2, "VALID")
    x = tf.reshape(x, [workload.batch, -1])
    for kernel, bias in pairs[len(workload.convolutions) : -1]:
        x = tf.nn.relu(tf.nn.bias_add(x @ kernel, bias))
    kernel, bias = pairs[-1]
    return tf.nn.bias_add(x @ kernel, bias)


def main() -> None:
    """Makes ready and runs rounds; see the module's docstring."""
    options = turns.parser().parse_args()
    workload = chosen(options)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    images, labels = load(workload)
    server = [tf.Variable(weight) for weight in initial_weights(workload)]
    halves = zip(np.array_split(scaled(images), LANES), np.array_split(labels, LANES), strict=True)
    lanes = [Lane(workload, server, *half) for half in halves]

    @tf.function
    def update() -> None:
        for weight, *totals in zip(server, *(lane.total for lane in lanes), strict=True):
            weight.assign_add(tf.add_n([tf.convert_to_tensor(total) for total in totals]) / float(labels.size))

    # Without oneDNN and threads for operations, but with less to do between them: it pays for the smallest model only.
    kind = "" if workload.hidden else "SINGLE_THREADED_EXECUTOR"

    def run(lane: Lane) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.experimental.function_executor_type(kind):
            return lane.run()

    talk = turns.Turns(options)
    with ThreadPoolExecutor(LANES) as pool:
        while talk.wait():
            results = list(pool.map(run, lanes))
            update()
            talk.done(sum(float(loss) for loss, _ in results) / labels.size)


if __name__ == "__main__":
    main()
