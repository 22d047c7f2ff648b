"""The executor `local`: this process's threads, each with variables of its own, work for groups of clients.

How clients are grouped depends on the clients alone, and groups are added up in their order, so the same round gives the same
bits again, whichever thread was faster and however many there are.
"""

from __future__ import annotations

import queue
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from components.federated_trainer.clients.batching import Work
from components.federated_trainer.clients.population import Population
from components.federated_trainer.clients.results import Result, merge
from components.federated_trainer.executors.lane import Lane, tensors
from modeling.contract import ModelModule

# Groups of a round: enough to keep all threads busy to the end, few because each costs a millisecond. How many is decided by
# the work there is, counted in examples times weights.
_GROUPS = (4, 64)
_WORK = 150_000_000


class LocalExecutor:
    """Runs the clients' half of rounds; `lanes` threads at once."""

    def __init__(self, module: ModelModule, population: Population, settings: Mapping[str, Any], lanes: int) -> None:
        self._population = population
        self._lanes: queue.SimpleQueue[Lane] = queue.SimpleQueue()
        for _ in range(lanes):
            self._lanes.put(Lane(module, population, settings))
        self._threads = ThreadPoolExecutor(lanes)

    def run(self, message: Mapping[str, Any], work: Work, weights: np.ndarray, states: Sequence[np.ndarray]) -> Result:
        """Works for the clients of a round.

        Args:
          message: what the server sends.
          work: who does what.
          weights: float32[n], of each client.
          states: what each client kept, a list of [n, ...].
        """
        sent = tensors(message)
        if not len(work):
            return self._on_a_lane(lambda lane: lane.nothing(sent, states))
        jobs = [
            lambda lane, rows=rows: lane.run(sent, work.take(rows), weights[rows], [state[rows] for state in states])
            for rows in groups(self._population.sizes[work.clients], message)
        ]
        return merge(self._threads.map(self._on_a_lane, jobs))

    def close(self) -> None:
        """Ends the threads."""
        self._threads.shutdown()

    def _on_a_lane(self, job: Any) -> Result:
        lane = self._lanes.get()
        try:
            return job(lane)
        finally:
            self._lanes.put(lane)


def groups(sizes: np.ndarray, message: Mapping[str, Any]) -> list[np.ndarray]:
    """Returns positions of clients in groups of neighbours with about as many examples each, whatever runs them.

    Args:
      sizes: int64[n], examples of each client.
      message: what they are sent.
    """
    examples, weights = int(sizes.sum()), sum(np.size(weight) for weight in message["weights"])
    count = min(max(examples * weights // _WORK, _GROUPS[0]), _GROUPS[1])
    number = (np.cumsum(sizes) - 1) // -(-examples // count)
    return np.split(np.arange(len(sizes)), np.flatnonzero(np.diff(number)) + 1)
