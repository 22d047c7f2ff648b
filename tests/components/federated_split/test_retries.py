"""Beam may run a step twice and in any order: the same bytes come of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.federated_split import assembling, manifests, placing, ranking, reading, summary
from components.federated_split.blocks import split_folder
from components.federated_split.division import Request, _plan
from components.federated_split.indexing import write_index
from components.federated_split.parameters import check_parameters
from components.federated_split.sides import EVAL, TRAIN
from lineage.digests import tree_digest

SIDES = {"label": "label", "holdout": 0.2, "holdout_clients": 2, "block_bytes": 500, "shard_bytes": 2000}
HOW: dict[str, dict[str, Any]] = {
    "dirichlet": {"clients": 8, "alpha": 0.5, **SIDES},
    "continuous": {"feature": "x", "clients": 8, "strictness": 0.5, **SIDES},
}


def every(step: Callable[[Any], Iterable | None], items: Iterable, times: int) -> Iterator:
    """Results of the last attempt at each item; from the last item to the first if there is more than one attempt."""
    for item in sorted(items, key=lambda item: item if isinstance(item, str | int) else item[0], reverse=times > 1):
        results: list = []
        for _ in range(times):
            results = list(step(item) or ())
        yield from results


def grouped(pairs: Iterable[tuple]) -> list[tuple]:
    groups = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return list(groups.items())


def divided(files: list[str], folder: Path, request: Request, times: int) -> str:
    """The digest of what the steps of a division make without Beam."""
    work, output = str(folder), str(folder / "artifact")
    for side in (TRAIN, EVAL):
        split_folder(output, side).mkdir(parents=True)
    how = reading.Reading(work, request.seed, 5, request.stratum, "label", request.numeric)
    spilled = grouped(every(lambda path: reading.read_and_spill(path, how), files, times))
    list(every(lambda group: manifests.save_manifest(group, work), spilled, times))
    read, stage = manifests.load_manifests(work), manifests.READ
    if request.numeric:
        ranks = ranking.make_ranking(work, read, str(request.stratum), request.parameters["strictness"])
        list(every(lambda partition: ranking.rank(partition, work, ranks), range(len(read)), times))
        read, stage = manifests.load_manifests(work, manifests.RANKED), manifests.RANKED
    plan = _plan(work, read, request)
    placed = grouped(every(lambda partition: placing.place(partition, work, stage), range(len(read)), times))
    list(every(lambda shard: assembling.assemble(shard, work, output, request.parameters["block_bytes"]), placed, times))
    sides = {side: write_index(work, output, side, plan.num_shards) for side in (TRAIN, EVAL)}
    summary.write_partition(output, sides, plan, request.facts())
    return tree_digest(output)


@pytest.mark.parametrize("strategy", HOW)
def test_steps_that_run_twice_and_backwards_give_the_bytes_of_a_plain_run(
    strategy, make_example, write_examples, divide, tmp_path
) -> None:
    examples = write_examples([make_example(label=n % 3, x=float(n % 90)) for n in range(300)], files=3)
    files = [str(path) for path in Path(examples.uri, "Split-train").iterdir()]
    request = Request(strategy, check_parameters(strategy, HOW[strategy]), 42)
    plain = tree_digest(divide(examples, strategy=strategy, **HOW[strategy]).uri)
    assert [divided(files, tmp_path / f"{times} times", request, times) for times in (1, 2)] == [plain, plain]
