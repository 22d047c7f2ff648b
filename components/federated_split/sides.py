"""Which examples are trained on and which are kept for evaluation, per client and by whole clients.

An example's side is decided by its serialized bytes: by digest bits that its order does not use, against the fraction to keep.
So byte-equal examples are on one side whoever has them, and a client's fraction is only about the one asked for. The same
features serialized in another order are another example; our ExampleGens write each in one order. If one of several byte-equal
examples falls to a held-out client, the others are kept for evaluation as well, by the clients that have them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from errors import DataError

TRAIN, EVAL = "train", "eval"


def sides_of(parameters: Mapping[str, Any]) -> list[str]:
    """Returns the sides that a division with these parameters has."""
    return [TRAIN, EVAL] if parameters.get("holdout") or parameters.get("holdout_clients") else [TRAIN]


def draw_clients(client_ids: Sequence[str], sizes: np.ndarray, wanted: float | int | None, seed: int) -> np.ndarray:
    """Returns bool[n], which clients are held out; drawn by seed and id from those that have examples.

    Args:
      client_ids: of all clients.
      sizes: int64[n], examples of each.
      wanted: how many; below 1 a fraction of those that have examples, of which at least one is drawn.
      seed: seeds the draw.

    Raises:
      DataError: nobody would be left to train on.
    """
    held_out = np.zeros(len(client_ids), dtype=bool)
    if not wanted:
        return held_out
    eligible = np.flatnonzero(sizes)
    count = wanted if isinstance(wanted, int) else max(1, round(wanted * len(eligible)))
    if count >= len(eligible):
        raise DataError(
            f"expected fewer held-out clients than clients with examples ({len(eligible)}), got {count}; use a smaller "
            "holdout_clients."
        )
    drawn = sorted(eligible.tolist(), key=lambda number: _drawn(f"{seed}\0held out\0{client_ids[number]}"))
    held_out[drawn[:count]] = True
    return held_out


def _drawn(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def is_evaluated(words: np.ndarray, client: np.ndarray, held_out: np.ndarray, holdout: float) -> np.ndarray:
    """Returns bool[n], which examples are kept for evaluation.

    Args:
      words: uint64[n, 4], the examples' seeded digests (see `placing.digest_words`), sorted, all equal ones there are included.
      client: int64[n], who has each.
      held_out: bool[clients].
      holdout: fraction to keep, at least 0 and below 1.
    """
    evaluated = held_out[client] | (words[:, 3] < np.uint64(int(holdout * 2.0**64)))
    if len(words) and held_out.any():
        differs = (words[1:] != words[:-1]).any(axis=1)
        starts = np.flatnonzero(np.concatenate([[True], differs]))
        together = np.logical_or.reduceat(evaluated, starts)
        evaluated = np.repeat(together, np.diff(starts, append=len(words)))
    return evaluated
