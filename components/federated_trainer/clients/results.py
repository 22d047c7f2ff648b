"""What the clients' half of a round gave: sums and rows, merged from wherever they were computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.federated_trainer.clients.contribution import COUNTED, LOSS_SUM, SEEN, WEIGHT

# Of sums, their squared norm. Clients with a squared norm that is infinite in float32, above 3e38, are left out.
_MOST_ENERGY = 1e36


@dataclass(frozen=True)
class Result:
    """Of a round, or of some of its clients; see ClientHalf for the fields' shapes.

    Rows, states and stacked updates are in the order of the clients they were asked of.
    """

    sums: list[np.ndarray]
    metrics: list[np.ndarray]
    rows: np.ndarray
    states: list[np.ndarray]
    stacks: bool

    @classmethod
    def of(cls, folded: Mapping[str, Any], stacks: bool) -> Result:
        """Takes what ClientHalf.fold or close returned, as tensors or arrays."""
        arrays = {key: [np.asarray(value) for value in folded[key]] for key in ("sums", "metrics", "states")}
        return cls(rows=np.asarray(folded["rows"]), stacks=stacks, **arrays)

    @property
    def finite(self) -> bool:
        """Whether all clients' losses are finite numbers, and the sums so small that the norm of each update surely is one."""
        energy = sum(float(np.vdot(total, total)) for total in self.sums)  # NaN and infinities stay what they are in it
        return energy < _MOST_ENERGY and bool(np.isfinite(self.rows[:, LOSS_SUM]).all())

    @property
    def counted(self) -> np.ndarray:
        """bool[n]: whose update is finite."""
        return self.rows[:, COUNTED] > 0

    @property
    def weights(self) -> np.ndarray:
        """float64[n]: the weight of each client, 0 for those that do not count."""
        return np.where(self.counted, self.rows[:, WEIGHT], 0).astype(np.float64)

    @property
    def loss(self) -> float:
        """Mean over all the examples that counted clients saw; NaN if there are none."""
        seen = self.rows[self.counted, SEEN].astype(np.float64).sum()
        return float(self.rows[self.counted, LOSS_SUM].astype(np.float64).sum() / seen) if seen else float("nan")


def merge(parts: Iterable[Result]) -> Result:
    """Adds sums up and puts rows, states and stacked updates one after the other; in float64, in the order given."""
    parts = list(parts)
    first = parts[0]
    across = [list(values) for values in zip(*(part.sums for part in parts), strict=True)]
    return Result(
        sums=[np.concatenate(values) for values in across] if first.stacks else [_total(values) for values in across],
        metrics=[_total(list(values)) for values in zip(*(part.metrics for part in parts), strict=True)],
        rows=np.concatenate([part.rows for part in parts]),
        states=[np.concatenate(values) for values in zip(*(part.states for part in parts), strict=True)],
        stacks=first.stacks,
    )


class Tree:
    """Adds up numbered parts 0, 1, 2, ... in an order that does not depend on when they come, in small memory if neighbours do.

    Parts 2k and 2k + 1 are merged as soon as both are there, and what comes of it likewise: a tree of sums. Floating-point sums
    depend on their order, so this is what makes a round come out the same from any schedule.
    """

    def __init__(self) -> None:
        self._nodes: dict[tuple[int, int], Result] = {}

    def add(self, number: int, part: Result, level: int = 0) -> None:
        """Adds the part `number`; each must come once."""
        while (sibling := self._nodes.pop((level, number ^ 1), None)) is not None:
            part = merge((sibling, part) if number % 2 else (part, sibling))
            level, number = level + 1, number // 2
        self._nodes[level, number] = part

    def join(self, other: Tree) -> None:
        """Adds all that `other` has."""
        for (level, number), part in other._nodes.items():
            self.add(number, part, level)

    def total(self) -> Result:
        """Returns the sum of all parts, of which there is at least one."""
        return merge(part for _, part in sorted(self._nodes.items(), key=lambda node: node[0][1] << node[0][0]))


def _total(values: list[np.ndarray]) -> np.ndarray:
    exact = np.issubdtype(values[0].dtype, np.integer)
    total: np.ndarray = values[0].astype(np.int64 if exact else np.float64)
    for value in values[1:]:
        np.add(total, value, out=total)
    return total
