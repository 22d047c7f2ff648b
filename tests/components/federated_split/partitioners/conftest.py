"""Calls partitioners as the division does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from components.federated_split.partitioners import PARTITIONERS, Allocation


@pytest.fixture(scope="session")
def allot() -> Callable[..., Allocation]:
    """Runs a strategy on counts of strata named 0, 1, ... (or `strata`)."""

    def run(strategy: str, counts: Any, seed: int = 0, strata: list[str] | None = None, **parameters: Any) -> Allocation:
        array = np.asarray(counts, dtype=np.int64)
        names = strata if strata is not None else [str(number) for number in range(len(array))]
        return PARTITIONERS[strategy].divide(names, array, np.random.default_rng(seed), **parameters)

    return run


@pytest.fixture(scope="session")
def table() -> Callable[[Allocation, Any], np.ndarray]:
    """Returns int64[strata, clients], the examples that each client gets of each stratum."""

    def make(allocation: Allocation, counts: Any) -> np.ndarray:
        ends = np.cumsum(allocation.size)
        stratum = np.searchsorted(np.cumsum(counts), ends, side="left")
        kept = allocation.client >= 0
        matrix = np.zeros((len(counts), len(allocation.clients)), dtype=np.int64)
        np.add.at(matrix, (stratum[kept], allocation.client[kept]), allocation.size[kept])
        return matrix

    return make
