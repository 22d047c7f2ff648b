"""The second pass: a digest range -> every record's exact rank in its stratum, hence its client and side; spilled by shard.

Ranks come from the content alone, so neither the order of the input nor of the bundles, nor the number of workers, shows in
the output. Equal records have equal digests and are interchangeable: each still gets its own rank.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.federated_split import sides
from components.federated_split.disk import full_disk_is_one_line
from components.federated_split.manifests import READ, load_segments
from components.federated_split.partitioners import DROPPED
from components.federated_split.plan import Plan, load_bases, load_plan
from components.federated_split.spills import PLACED_SCHEMA, READ_SCHEMA, Segment, SpillFile, runs


def place(partition: int, folder: str, stage: str = READ) -> Iterator[tuple[tuple[str, int], Segment]]:
    """Finds each record's client and yields ((side, shard), segment), whose rows are sorted by client and digest.

    Reads the partition's segments as `stage` left them (see `manifests`), the plan and the partition's bases, which `divide`
    left in `folder`.

    Raises:
      FedtfxError: the disk is full.
    """
    plan = load_plan(folder)
    batches = [segment.batch(READ_SCHEMA) for segment in load_segments(folder, partition, stage)]
    stratum, label, digest, record = (pa.concat_arrays(columns) for columns in zip(*(b.columns for b in batches), strict=True))
    words = digest_words(digest)
    order = digest_order(words)
    client = _clients(stratum.take(pa.array(order)), plan, load_bases(folder, partition))
    kept = client != DROPPED
    order, client = order[kept], client[kept]
    evaluated = sides.is_evaluated(words[order], client, plan.held_out, plan.holdout)
    with full_disk_is_one_line(folder), SpillFile(folder) as spill:
        for side, chosen in ((sides.TRAIN, np.flatnonzero(~evaluated)), (sides.EVAL, np.flatnonzero(evaluated))):
            by_client = chosen[np.argsort(client[chosen], kind="stable")]
            take = pa.array(order[by_client])
            columns = [pa.array(client[by_client]), label.take(take), record.take(take)]
            placed = pa.record_batch(columns, schema=PLACED_SCHEMA)
            for shard, first, last in runs(plan.shard_of_client[client[by_client]]):
                offset, length = spill.append(placed.slice(first, last - first))
                yield (side, shard), Segment(partition, spill.path, offset, length, last - first)


def digest_words(digests: pa.FixedSizeBinaryArray) -> np.ndarray:
    """Returns uint64[n, 4] whose rows sort like the 32-byte digests."""
    data = digests.buffers()[1].slice(digests.offset * 32, len(digests) * 32)
    return np.frombuffer(data, ">u8").reshape(-1, 4).astype(np.uint64)


def digest_order(words: np.ndarray) -> np.ndarray:
    """Returns int64[n], the positions of the digests in rising order; of equal ones in any."""
    order = np.argsort(words[:, 0])
    leading = words[order, 0]
    return order if np.all(leading[1:] > leading[:-1]) else np.lexsort(words[:, ::-1].T)


def _clients(strata: pa.LargeStringArray, plan: Plan, bases: pa.Table) -> np.ndarray:
    """Returns int64[n], the client of each record of a partition, or DROPPED; given in digest order."""
    codes = pc.index_in(strata, value_set=bases["stratum"].combine_chunks()).to_numpy()
    return plan.client_of_rank(bases["base"].to_numpy()[codes] + _occurrence(codes))


def _occurrence(codes: np.ndarray) -> np.ndarray:
    """Returns int64[n], how many equal codes come before each."""
    order = np.argsort(codes, kind="stable")
    in_order = codes[order]
    before = np.empty(len(codes), dtype=np.int64)
    before[order] = np.arange(len(codes)) - np.searchsorted(in_order, in_order, side="left")
    return before
