"""What clients keep from round to round (SCAFFOLD's control variates), held where the rounds are run.

Only clients that took part have something; for all others it is 0. The memory this takes grows with the clients that ever took
part, times the size of the model: that is the algorithm's nature, and it goes into checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Kept:
    """Arrays of the given shapes for every client, by position; with no shapes nothing is kept."""

    def __init__(self, shapes: Sequence[tuple[int, ...]]) -> None:
        self._shapes = list(shapes)
        self._of: dict[int, list[np.ndarray]] = {}

    def get(self, clients: np.ndarray) -> list[np.ndarray]:
        """Returns float32 [n, ...] for each shape: what n clients keep."""
        found = [self._of.get(client) for client in clients.tolist()]
        return [
            np.stack([one[number] if one else np.zeros(shape, np.float32) for one in found])
            if found
            else np.zeros((0, *shape), np.float32)
            for number, shape in enumerate(self._shapes)
        ]

    def put(self, clients: np.ndarray, states: Sequence[np.ndarray]) -> None:
        """Keeps for n clients what they returned, [n, ...] each."""
        if self._shapes:
            for row, client in enumerate(clients.tolist()):
                self._of[client] = [np.array(state[row]) for state in states]

    def arrays(self) -> list[np.ndarray]:
        """Returns everything as arrays: the clients that keep something, and what, [n, ...] each; `of` takes them back."""
        clients = np.array(sorted(self._of), np.int64)
        return [clients, *self.get(clients)]

    @classmethod
    def of(cls, arrays: Sequence[np.ndarray]) -> Kept:
        """Makes it of what `arrays` returned."""
        clients, *states = arrays
        kept = cls([state.shape[1:] for state in states])
        kept.put(clients, states)
        return kept
