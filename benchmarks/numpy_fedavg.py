"""Federated averaging of the 784-200-200-10 network in plain NumPy: a second opinion that shares no code with the trainer.

McMahan et al. 2017, algorithm 1, with equal weights: for clients of equal size. Kernels begin as Glorot's uniform ones, biases
at 0, as Keras' do.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

_UNITS = (784, 200, 200, 10)
Weights = list[np.ndarray]
Examples = tuple[np.ndarray, np.ndarray]
"""Pixels in [0, 1], float32[n, 784], and labels, int64[n]."""


def accuracies(
    clients: Sequence[Examples], test: Examples, *, in_a_round: int, epochs: int, batch: int, rate: float, seed: int
) -> Iterator[float]:
    """Yields the test accuracy of the global model after each round, without end."""
    random = np.random.default_rng(seed)
    weights = _initial(random)
    while True:
        drawn = random.choice(len(clients), in_a_round, replace=False)
        trained = [_trained(weights, clients[client], epochs, batch, rate, random) for client in drawn]
        weights = [np.mean(layer, axis=0, dtype=np.float64).astype(np.float32) for layer in zip(*trained, strict=True)]
        yield float((_forward(weights, test[0])[-1].argmax(axis=1) == test[1]).mean())


def _initial(random: np.random.Generator) -> Weights:
    weights: Weights = []
    for inputs, outputs in itertools.pairwise(_UNITS):
        limit = np.sqrt(6 / (inputs + outputs))
        weights += [random.uniform(-limit, limit, (inputs, outputs)).astype(np.float32), np.zeros(outputs, np.float32)]
    return weights


def _trained(
    weights: Weights, examples: Examples, epochs: int, batch: int, rate: float, random: np.random.Generator
) -> Weights:
    """The weights after a client's local epochs, each in a new order."""
    weights, (pixels, labels) = [layer.copy() for layer in weights], examples
    for _ in range(epochs):
        order = random.permutation(len(labels))
        for rows in np.split(order, range(batch, len(order), batch)):
            for layer, gradient in zip(weights, _gradients(weights, pixels[rows], labels[rows]), strict=True):
                layer -= np.float32(rate) * gradient
    return weights


def _forward(weights: Weights, pixels: np.ndarray) -> list[np.ndarray]:
    """The input and the outputs of all layers; ReLU but for the last one."""
    values = [pixels]
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        output = values[-1] @ kernel + bias
        values.append(output if len(values) == len(_UNITS) - 1 else np.maximum(output, 0))
    return values


def _gradients(weights: Weights, pixels: np.ndarray, labels: np.ndarray) -> Weights:
    """Of the mean cross-entropy of the softmax."""
    *inputs, logits = _forward(weights, pixels)
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    error = scores / scores.sum(axis=1, keepdims=True)
    error[np.arange(len(labels)), labels] -= 1
    error /= len(labels)
    gradients: Weights = []
    for kernel, values in zip(weights[-2::-2], reversed(inputs), strict=True):
        gradients = [values.T @ error, error.sum(axis=0), *gradients]
        error = (error @ kernel.T) * (values > 0)
    return gradients
