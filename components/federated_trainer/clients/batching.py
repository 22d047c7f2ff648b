"""Which of a client's examples make up which batch: plain arrays, the same for every executor.

The order is a function of (seed of the client in this round, epoch, position) alone, so neither the executor, nor the number of
cores, nor which clients are worked on together changes what a client learns from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_STEP = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Work:
    """What the clients of one round are asked to do, a row each.

    clients: int64[n], positions in Clients.ids. epochs: int64[n], local epochs. seeds: uint64[n], for order and noise.
    """

    clients: np.ndarray
    epochs: np.ndarray
    seeds: np.ndarray

    def __len__(self) -> int:
        return len(self.clients)

    @property
    def seed_pairs(self) -> np.ndarray:
        """int64[n, 2]: the seeds as TensorFlow's stateless operations take them."""
        halves = (self.seeds >> np.uint64(32), self.seeds & np.uint64(0xFFFFFFFF))
        return np.stack([half.astype(np.int64) for half in halves], axis=1)

    def take(self, rows: np.ndarray | slice) -> Work:
        """Returns some of the rows."""
        return Work(self.clients[rows], self.epochs[rows], self.seeds[rows])


@dataclass(frozen=True)
class Batches:
    """Batches over the examples of k clients that lie one after the other.

    order: int32[t], positions of examples, batch after batch. bounds: int32[batches + 1], where each batch begins in `order`.
    first: int32[k + 1], each client's first batch. used: int64[k], how many different examples of each client are used.
    """

    order: np.ndarray
    bounds: np.ndarray
    first: np.ndarray
    used: np.ndarray

    @property
    def plan(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """As a graph takes it: order; where each batch begins, int32 [batches, 1]; how many examples it has, float32 [batches]
        and int32 [batches, 1].
        """
        lengths = np.diff(self.bounds)
        return self.order, self.bounds[:-1, np.newaxis], lengths.astype(np.float32), lengths[:, np.newaxis]


def options(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the keyword arguments of `batches` that the `train` section decides."""
    return {"batch_size": settings["batch_size"], "shuffle": bool(settings["shuffle"]), "cap": settings["max_examples"]}


def batches(
    sizes: np.ndarray,
    epochs: np.ndarray,
    seeds: np.ndarray,
    *,
    batch_size: int,
    shuffle: bool,
    cap: int | None = None,
    first_epoch: int = 0,
) -> Batches:
    """Makes the batches of k clients; a batch does not reach into the next epoch (McMahan et al. 2017, algorithm 1).

    Args:
      sizes: int64[k], examples of each client, at least 1.
      epochs: int64[k], passes over them.
      seeds: uint64[k].
      batch_size: examples in a batch; the last one of an epoch may be smaller.
      shuffle: anew for each epoch; False keeps the order in which they are stored.
      cap: at most so many examples of a client are used, the same ones in all epochs, drawn at random if `shuffle`.
      first_epoch: number of the first of these epochs, for whoever asks for one epoch after the other.
    """
    starts = np.cumsum(sizes) - sizes
    kept = [np.arange(size) for size in sizes] if cap is None else None
    used = sizes if cap is None else np.minimum(sizes, cap)
    chosen = np.concatenate(kept) if kept is not None else _chosen(sizes, used, seeds, shuffle)
    client, epoch = _passes(epochs)
    length = used[client]
    pass_start = np.cumsum(length) - length
    within = np.arange(length.sum()) - np.repeat(pass_start, length)
    position = chosen[np.repeat((np.cumsum(used) - used)[client], length) + within]
    if shuffle:
        keys = _hash(np.repeat(seeds[client], length), np.repeat(epoch + first_epoch + 1, length), position)
        position = position[_sorted_within(np.repeat(np.arange(len(client)), length), keys)]
    order = np.repeat(starts[client], length) + position
    counts = -(-length // batch_size)
    number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    bounds = np.append(np.repeat(pass_start, counts) + number * batch_size, length.sum())
    first = np.append(0, np.cumsum(np.bincount(client, weights=counts, minlength=len(sizes))))
    return Batches(order.astype(np.int32), bounds.astype(np.int32), first.astype(np.int32), used)


def _passes(epochs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A row per pass over a client's examples: which client, and its how many-th pass."""
    client = np.repeat(np.arange(len(epochs)), epochs)
    return client, np.arange(len(client)) - np.repeat(np.cumsum(epochs) - epochs, epochs)


def _chosen(sizes: np.ndarray, used: np.ndarray, seeds: np.ndarray, shuffle: bool) -> np.ndarray:
    """The positions of the examples that are used, client after client."""
    owner = np.repeat(np.arange(len(sizes)), sizes)
    position = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    ranked = position[_sorted_within(owner, _hash(seeds[owner], np.zeros_like(position), position))] if shuffle else position
    return ranked[position < used[owner]]


def _sorted_within(group: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Sorts by key within each group; groups are ascending. The 40 highest bits of a key decide, then the position."""
    return np.argsort((group.astype(np.uint64) << np.uint64(40)) | (keys >> np.uint64(24)), kind="stable")


def _hash(seeds: np.ndarray, epoch: np.ndarray, position: np.ndarray) -> np.ndarray:
    """SplitMix64 (Steele et al. 2014, "Fast Splittable Pseudorandom Number Generators") over seed, epoch and position."""
    with np.errstate(over="ignore"):
        return mix(mix(seeds + epoch.astype(np.uint64) * _STEP) + position.astype(np.uint64) * _STEP)


def mix(value: np.ndarray) -> np.ndarray:
    """Returns well mixed uint64s of uint64s."""
    value = (value ^ (value >> np.uint64(30))) * _MIX[0]
    value = (value ^ (value >> np.uint64(27))) * _MIX[1]
    return value ^ (value >> np.uint64(31))
