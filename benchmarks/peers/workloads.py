"""The yardstick's workloads: real MNIST dealt to clients, and the weights that every system starts from. Needs only NumPy.

Weights are in TensorFlow's layout: kernels [height, width, in, out] and [in, out], each followed by its bias.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
SIDE, PIXELS, LABELS = 28, 784, 10


@dataclass(frozen=True)
class Workload:
    """One row of the yardstick; every client does one epoch of plain SGD a round, in the order of its examples.

    convolutions: channels of 5x5 convolutions, same padding, each followed by ReLU and 2x2 max pooling.
    hidden: units of dense layers with ReLU that come after them and before the output of 10.
    """

    name: str
    title: str
    clients: int
    examples: int
    batch: int
    convolutions: tuple[int, ...]
    hidden: tuple[int, ...]
    model: str
    learning_rate: float = 0.1

    def describe(self) -> str:
        return f"{self.name}: {self.title}, {self.clients:,} clients x {self.examples}, batch {self.batch}"


WORKLOADS = {
    "A": Workload("A", "McMahan's CNN", 10, 600, 20, (32, 64), (512,), "mnist_cnn"),
    "B": Workload("B", "784-200-200-10", 100, 60, 10, (), (200, 200), "mnist_2nn"),
    "C": Workload("C", "logistic regression", 1000, 6, 6, (), (), "mnist_logistic"),
}


def chosen(options: argparse.Namespace) -> Workload:
    """The workload named in the options of `turns.parser`, with the numbers of clients, examples and batch they say."""
    changes = {name: value for name in ("clients", "examples", "batch") if (value := getattr(options, name)) is not None}
    return dataclasses.replace(WORKLOADS[options.workload], **changes)


def data_folder() -> Path:
    """Where MNIST's four gzipped idx files are."""
    return Path(os.environ.get("FEDTFX_TEST_DATA", ROOT.parent / "shared" / "data"), "mnist")


def load(workload: Workload) -> tuple[np.ndarray, np.ndarray]:
    """The first examples of MNIST's training set, client by client; from the start again when there are not enough.

    Returns uint8[clients, examples, 784] and int64[clients, examples].
    """
    with gzip.open(data_folder() / "train-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, PIXELS)
    with gzip.open(data_folder() / "train-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    numbers = np.arange(workload.clients * workload.examples).reshape(workload.clients, -1) % len(labels)
    return images[numbers], labels[numbers].astype(np.int64)


def scaled(images: np.ndarray) -> np.ndarray:
    """Grey values as float32 in [0, 1]."""
    return images.astype(np.float32) / np.float32(255)


def initial_weights(workload: Workload) -> list[np.ndarray]:
    """Glorot's uniform kernels and zero biases, the same in every process."""
    random = np.random.default_rng(4)
    weights: list[np.ndarray] = []
    channels, side = 1, SIDE
    for filters in workload.convolutions:
        weights += _layer(random, (5, 5, channels, filters))
        channels, side = filters, side // 2
    units = channels * side * side
    for outputs in (*workload.hidden, LABELS):
        weights += _layer(random, (units, outputs))
        units = outputs
    return weights


def _layer(random: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    field = int(np.prod(shape[:-2]))
    limit = np.sqrt(6 / (field * (shape[-2] + shape[-1])))
    return [random.uniform(-limit, limit, shape).astype(np.float32), np.zeros(shape[-1], np.float32)]
