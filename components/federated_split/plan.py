"""The plan of a division: which ranks of which stratum go to which client, and which client to which shard.

All records are thought of in one global order: by stratum, then by digest. Strata follow each other in the order of their
names, a client's portions of a stratum are ranges of that order, and a record's rank in it is its partition's base for its
stratum plus its rank by digest among the records of both.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from components.federated_split import sides
from components.federated_split.manifests import Manifest
from components.federated_split.parameters import strategy_parameters
from components.federated_split.partitioners import DROPPED, PARTITIONERS, Allocation
from components.federated_split.spills import read_table, write_table
from errors import DataError, IntegrityError

_MAX_SHARDS = 1024


@dataclass(frozen=True)
class Plan:
    """Who gets which ranks.

    clients: all client ids, sorted (large_string).
    boundaries: int64[k], the rank at which each portion ends, rising.
    client: int64[k], position in `clients` of each portion, or DROPPED.
    shard_of_client: int64[len(clients)], rising. num_shards: how many shard files each side has.
    held_out: bool[len(clients)], who is never trained on. holdout: fraction of all examples that is kept for evaluation.
    """

    clients: pa.LargeStringArray
    boundaries: np.ndarray
    client: np.ndarray
    shard_of_client: np.ndarray
    num_shards: int
    held_out: np.ndarray
    holdout: float

    def client_of_rank(self, ranks: np.ndarray) -> np.ndarray:
        """Returns int64[n], the position in `clients` of whoever gets each global rank."""
        return self.client[np.searchsorted(self.boundaries, ranks, side="right")]

    @property
    def dropped(self) -> int:
        """Returns how many examples go to nobody, on purpose."""
        return int(np.diff(self.boundaries, prepend=0)[self.client == DROPPED].sum())

    @property
    def dropped_strata(self) -> int:
        """Returns how many strata go to nobody; what is dropped always is a whole one."""
        return int((self.client == DROPPED).sum())


def make_plan(totals: Mapping[str, int], record_bytes: int, strategy: str, parameters: Mapping[str, Any], seed: int) -> Plan:
    """Runs the partitioner, lays out the shards, and draws the clients that are held out.

    Args:
      totals: examples in each stratum.
      record_bytes: bytes of all records; the number of shards follows from it alone, whatever the number of clients.
      strategy, parameters: as checked by `check_parameters`.
      seed: seeds the partitioner.

    Raises:
      DataError: the strategy cannot be carried out on these counts, or would drop all examples.
      IntegrityError: what it made is no division of these counts.
    """
    strata = in_order(totals)
    counts = np.array([totals[stratum] for stratum in strata], dtype=np.int64)
    partitioner = PARTITIONERS[strategy]
    own = {name: parameters.get(name) for name in strategy_parameters(strategy) if name != partitioner.strata}
    allocation = partitioner.divide(strata, counts, _generator(seed, strategy), **own)
    _check_allocation(allocation, int(counts.sum()), strategy)
    num_shards = min(_MAX_SHARDS, max(1, -(-record_bytes // parameters["shard_bytes"])))
    return Plan(
        clients=pa.array(allocation.clients, pa.large_string()),
        boundaries=np.cumsum(allocation.size),
        client=allocation.client,
        shard_of_client=_shards(allocation.sizes, num_shards),
        num_shards=num_shards,
        held_out=sides.draw_clients(allocation.clients, allocation.sizes, parameters.get("holdout_clients"), seed),
        holdout=parameters.get("holdout") or 0.0,
    )


def _check_allocation(allocation: Allocation, examples: int, strategy: str) -> None:
    if (allocation.size <= 0).any() or allocation.size.sum() != examples:
        raise IntegrityError(
            f"expected portions above 0 that add up to {examples} examples, got {allocation.size.sum()} in {strategy!r}; "
            "report this with the split's parameters."
        )
    if allocation.dropped == examples:
        raise DataError(
            f"expected a split that gives examples to somebody, got {strategy!r} dropping all {examples}; change its "
            "parameters."
        )


def _shards(sizes: np.ndarray, num_shards: int) -> np.ndarray:
    """Returns the shard of each client: neighbours share one, and all get about as many examples.

    A client that is larger than a shard is the last one in its own, and the next numbers stay empty.
    """
    return np.minimum((np.cumsum(sizes) - sizes) * num_shards // max(1, int(sizes.sum())), num_shards - 1)


def in_order(strata: Iterable[str]) -> list[str]:
    """Returns the strata sorted as whole numbers if they all are, else as text."""
    names = list(strata)
    if all(len(name) < 20 and name.removeprefix("-").isdecimal() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def _generator(seed: int, strategy: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(_stable_hash(f"{strategy}\0{seed}")))


def _stable_hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def sum_strata(folder: str, manifests: Iterable[Manifest]) -> dict[str, int]:
    """Returns how many examples each stratum holds in all partitions."""
    totals: Counter[str] = Counter()
    for manifest in manifests:
        strata = manifest.strata(folder)
        totals.update(dict(zip(strata["stratum"].to_pylist(), strata["count"].to_pylist(), strict=True)))
    return dict(totals)


def save_bases(folder: str, manifests: Iterable[Manifest], totals: Mapping[str, int]) -> None:
    """Writes, for each partition, the global rank at which its records of each stratum start.

    Args:
      folder: where the files go.
      manifests: in the order of their partitions.
      totals: as from `sum_strata`.
    """
    names = in_order(totals)
    position = {stratum: number for number, stratum in enumerate(names)}
    counts = np.array([totals[stratum] for stratum in names], dtype=np.int64)
    reached = np.cumsum(counts) - counts
    for manifest in manifests:
        strata = manifest.strata(folder)
        here = np.array([position[stratum] for stratum in strata["stratum"].to_pylist()], dtype=np.int64)
        columns = [strata["stratum"].combine_chunks(), pa.array(reached[here])]
        write_table(_bases_path(folder, manifest.partition), pa.table(columns, ["stratum", "base"]))
        reached[here] += strata["count"].to_numpy()


def load_bases(folder: str, partition: int) -> pa.Table:
    """Returns the columns stratum (large_string) and base (int64) of a partition."""
    return read_table(_bases_path(folder, partition))


def save_plan(folder: str, plan: Plan) -> None:
    """Writes the plan where the workers' `load_plan` finds it."""
    arrays = {name: value for name, value in vars(plan).items() if isinstance(value, np.ndarray)}
    np.savez(Path(folder, "plan.npz"), **arrays)
    write_table(Path(folder, "clients.arrow"), pa.table([plan.clients], ["client_id"]))
    Path(folder, "plan.json").write_text(json.dumps({"num_shards": plan.num_shards, "holdout": plan.holdout}))


@functools.lru_cache(maxsize=1)
def load_plan(folder: str) -> Plan:
    """Reads the plan; it is kept, because one worker takes many partitions (each division has a folder name of its own)."""
    numbers = json.loads(Path(folder, "plan.json").read_text())
    clients = read_table(Path(folder, "clients.arrow"))["client_id"].chunk(0)
    with np.load(Path(folder, "plan.npz")) as arrays:
        return Plan(clients=clients, **numbers, **arrays)


def _bases_path(folder: str, partition: int) -> Path:
    return Path(folder, f"bases-{partition:05d}.arrow")
