"""The clients that can take part, by position: how many examples they have, and their bytes on disk."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from components.federated_split import blocks
from errors import IntegrityError


class Population:
    """The clients of one split of a FederatedExamples artifact; safe to read from several threads."""

    def __init__(self, clients: blocks.Clients) -> None:
        self._first, self._blocks = clients.all_blocks()
        self._examples = clients.block_examples()
        self.sizes: np.ndarray = np.add.reduceat(self._examples, self._first[:-1]) if len(clients) else np.zeros(0, np.int64)
        self.labels: list[str] = clients.all_labels()
        """The different labels that the split counted, none if it counted none."""
        self._files = [os.open(path, os.O_RDONLY) for path in clients.shard_paths]
        self.shard_paths, self.shard_sizes = clients.shard_paths, clients.shard_sizes

    @classmethod
    def open(cls, uri: str, split: str = "train") -> Population:
        """Opens a split.

        Raises:
          IntegrityError: a file is missing or is not what was published.
        """
        return cls(blocks.Clients.open(uri, split))

    def __len__(self) -> int:
        return len(self._first) - 1

    def close(self) -> None:
        """Closes the files."""
        for file in self._files:
            os.close(file)

    def blocks_of(self, client: int) -> np.ndarray:
        """Returns the rows of a client's blocks, rising."""
        return np.arange(self._first[client], self._first[client + 1])

    def blocks_of_all(self, clients: np.ndarray) -> np.ndarray:
        """Returns the rows of the blocks of some clients, client after client."""
        first, counts = self._first[clients], self._first[clients + 1] - self._first[clients]
        return np.arange(counts.sum()) + np.repeat(first - np.cumsum(counts) + counts, counts)

    def places(self, rows: np.ndarray) -> np.ndarray:
        """Returns int64 [n, 3], shard, offset and length of some blocks."""
        return self._blocks[rows]

    def examples_in(self, rows: np.ndarray) -> np.ndarray:
        """Returns int64 [n], how many examples some blocks hold."""
        return self._examples[rows]

    def read(self, rows: Sequence[int] | np.ndarray) -> bytes:
        """Returns some blocks as one: a serialized tf.string tensor of all their records, one after the other.

        Raises:
          IntegrityError: a file has been cut since the training began.
        """
        parts = [blocks.block_header(int(self._examples[rows].sum()))]
        for (shard, offset, length), count in zip(self._blocks[rows].tolist(), self._examples[rows].tolist(), strict=True):
            header = len(blocks.block_header(count))
            data = os.pread(self._files[shard], length - header, offset + header)
            if len(data) != length - header:
                raise IntegrityError(
                    f"expected a block at bytes {offset} to {offset + length} of {self.shard_paths[shard]}, found its end;"
                    " run FederatedSplit again."
                )
            parts.append(data)
        return b"".join(parts)
