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

from components.federated_split.parameters import strategy_parameters
from components.federated_split.partitioners import PARTITIONERS
from components.federated_split.spills import Manifest

_MAX_SHARDS = 1024


@dataclass(frozen=True)
class Plan:
    """Who gets which ranks.

    clients: all client ids, sorted.
    boundaries: int64[k], the rank at which each portion ends, rising. client: int64[k], position in `clients` of each portion.
    shard_of_client: int64[len(clients)]. num_shards: how many shard files there are.
    """

    clients: list[str]
    boundaries: np.ndarray
    client: np.ndarray
    shard_of_client: np.ndarray
    num_shards: int

    def client_of_rank(self, ranks: np.ndarray) -> np.ndarray:
        """Returns int64[n], the position in `clients` of whoever gets each global rank."""
        return self.client[np.searchsorted(self.boundaries, ranks, side="right")]


def make_plan(totals: Mapping[str, int], record_bytes: int, strategy: str, parameters: Mapping[str, Any], seed: int) -> Plan:
    """Runs the partitioner and lays out the shards.

    Args:
      totals: examples in each stratum.
      record_bytes: bytes of all records; the number of shards follows from it alone, whatever the number of clients.
      strategy, parameters: as checked by `check_parameters`.
      seed: seeds the partitioner.

    Raises:
      DataError: the strategy cannot be carried out on these counts.
    """
    strata = sorted(totals)
    counts = np.array([totals[stratum] for stratum in strata], dtype=np.int64)
    partitioner = PARTITIONERS[strategy]
    own = {name: parameters[name] for name in strategy_parameters(strategy) if name != partitioner.strata}
    allocation = partitioner.divide(strata, counts, _generator(seed, strategy), **own)
    num_shards = min(_MAX_SHARDS, max(1, -(-record_bytes // parameters["shard_bytes"])))
    shards = np.array([_stable_hash(client) % num_shards for client in allocation.clients], dtype=np.int64)
    return Plan(allocation.clients, np.cumsum(allocation.size), allocation.client, shards, num_shards)


def _generator(seed: int, strategy: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(_stable_hash(f"{strategy}\0{seed}")))


def _stable_hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def sum_strata(manifests: Iterable[Manifest]) -> dict[str, int]:
    """Returns how many examples each stratum holds in all partitions."""
    totals: Counter[str] = Counter()
    for manifest in manifests:
        totals.update(manifest.strata)
    return dict(totals)


def save_bases(folder: str, manifests: Iterable[Manifest], totals: Mapping[str, int]) -> None:
    """Writes, for each partition, the global rank at which its records of each stratum start.

    Args:
      folder: where the files go.
      manifests: in the order of their partitions.
      totals: as from `sum_strata`.
    """
    reached, start = {}, 0
    for stratum in sorted(totals):
        reached[stratum] = start
        start += totals[stratum]
    for manifest in manifests:
        names = list(manifest.strata)
        table = pa.table(
            [pa.array(names, pa.large_string()), pa.array([reached[n] for n in names], pa.int64())], ["stratum", "base"]
        )
        with pa.OSFile(_bases_path(folder, manifest.partition), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
        for stratum, count in manifest.strata.items():
            reached[stratum] += count


def load_bases(folder: str, partition: int) -> pa.Table:
    """Returns the columns stratum (large_string) and base (int64) of a partition."""
    with pa.OSFile(_bases_path(folder, partition)) as file:
        return pa.ipc.open_stream(file).read_all()


def save_plan(folder: str, plan: Plan) -> None:
    """Writes the plan where the workers' `load_plan` finds it."""
    arrays = {"boundaries": plan.boundaries, "client": plan.client, "shard_of_client": plan.shard_of_client}
    np.savez(Path(folder, "plan.npz"), **arrays)
    Path(folder, "plan.json").write_text(json.dumps({"clients": plan.clients, "num_shards": plan.num_shards}))


@functools.lru_cache(maxsize=1)
def load_plan(folder: str) -> Plan:
    """Reads the plan; it is kept, because one worker takes many partitions (each division has a folder name of its own)."""
    names = json.loads(Path(folder, "plan.json").read_text())
    with np.load(Path(folder, "plan.npz")) as arrays:
        return Plan(**names, **arrays)


def _bases_path(folder: str, partition: int) -> str:
    return str(Path(folder, f"bases-{partition:05d}.arrow"))
