"""Which splits hold a client, on indexes as FederatedSplit writes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.federated_split.blocks import INDEX_FILE, INDEX_SCHEMA
from errors import IntegrityError
from lineage import clients, forgotten, reading, store
from lineage.graph import Graph

Split = Callable[..., int]


def write_index(folder: Path, ids: Sequence[str], rows: int = 1000) -> None:
    """Two blocks per client, row groups as of several shards."""
    names = [one for one in sorted(ids) for _ in range(2)]
    columns: dict[str, Any] = {
        "client_id": names,
        "block": [0, 1] * len(ids),
        **{name: [0] * len(names) for name in ("shard", "offset", "length", "num_examples")},
        "held_out": [False] * len(names),
        "labels": [[]] * len(names),
        "sha256": ["0" * 64] * len(names),
    }
    folder.mkdir(parents=True)
    pq.write_table(pa.table(columns, INDEX_SCHEMA), folder / INDEX_FILE, row_group_size=rows)


@pytest.fixture
def split(store_writer: Any, tmp_path: Path) -> Split:
    """A function: ids, how it was divided -> id of the split; it writes Examples, split, baseline and federated model."""

    def write(ids: Sequence[str] | None, strategy: str = "by_key", pipeline: str = "clinic", side: str = "train") -> int:
        number = len(store_writer.store.get_artifacts())
        uri = tmp_path / pipeline / "FederatedSplit" / "federated_examples" / str(number)
        if ids is not None:
            write_index(uri / f"Split-{side}", ids)
        node = {"pipeline": pipeline, "run": f"run-{number}"}
        artifact = store_writer.artifact
        _, made = store_writer.execute(node="ExampleGen", outputs={"examples": [artifact("Examples", f"{uri}-e")]}, **node)
        [examples] = made["examples"]
        asked = {"key": "patient"} if strategy.endswith("by_key") else {"clients": 3}
        _, made = store_writer.execute(
            node="FederatedSplit",
            inputs={"examples": [examples]},
            outputs={"federated_examples": [artifact("components.FederatedExamples", str(uri), strategy=strategy)]},
            strategy=strategy,
            parameters=json.dumps(asked),
            **node,
        )
        return int(made["federated_examples"][0])

    return write


@pytest.fixture
def graph(store_writer: Any) -> Callable[[], Graph]:
    def read() -> Graph:
        with store.opened(str(store_writer.path)) as opened:
            return reading.everything(opened)

    return read


def test_client_is_found_in_whichever_side_of_whichever_split(split, graph, tmp_path) -> None:
    first, other, held_out = split(["ann", "bob"]), split(["bob"]), split(["ann"], side="eval")
    found = clients.splits_holding(tmp_path, graph(), "ann")
    assert found == clients.Holding(held=(first, held_out), possible=(), unknown=(), clear=(other,))


def test_keyed_hash_finds_the_same_splits_of_its_pipeline(split, graph, tmp_path) -> None:
    first, _, elsewhere = split(["ann", "bob"]), split(["bob"]), split(["ann"], pipeline="other")
    key = forgotten.make_key(tmp_path)
    hashed = f"{clients.HASH}{forgotten.keyed_hash(key, 'clinic', 'ann')}"
    assert clients.splits_holding(tmp_path, graph(), "ann").held == (first, elsewhere)
    assert clients.splits_holding(tmp_path, graph(), hashed).held == (first,)
    assert clients.splits_holding(tmp_path, graph(), "ann", "other").held == (elsewhere,)


def test_keyed_hash_without_its_key_is_an_error_and_not_a_no(split, graph, tmp_path) -> None:
    split(["ann"])
    with pytest.raises(IntegrityError, match="put it back from a copy"):
        clients.splits_holding(tmp_path, graph(), f"{clients.HASH}{'0' * 64}")


def test_split_that_is_gone_or_damaged_cannot_tell(split, graph, tmp_path) -> None:
    gone, damaged = split(None), split(["ann"])
    index = next(tmp_path.rglob(INDEX_FILE))
    index.write_bytes(index.read_bytes()[:50])
    assert clients.splits_holding(tmp_path, graph(), "ann").unknown == (gone, damaged)


def test_groups_may_hold_anybody_and_are_found_by_their_own_name(split, graph, tmp_path) -> None:
    groups = split(["group-00000", "group-00001"], strategy="grouped_by_key")
    assert clients.splits_holding(tmp_path, graph(), "ann").possible == (groups,)
    assert clients.splits_holding(tmp_path, graph(), "group-00001").held == (groups,)


def test_invented_client_is_found_by_its_name_in_the_split(split, graph, tmp_path) -> None:
    invented = split(["client-0", "client-1"], strategy="iid")
    assert clients.splits_holding(tmp_path, graph(), "client-1").held == (invented,)
    assert clients.splits_holding(tmp_path, graph(), "ann") == clients.Holding((), (), (), ())
    assert [one.feature for one in clients.divisions(graph())] == [None]


def test_client_among_a_hundred_thousand_is_found_without_reading_them_all(split, graph, tmp_path, monkeypatch) -> None:
    many = split([f"patient {number:06d}" for number in range(100_000)])
    read: list[int] = []
    groups = pq.ParquetFile.read_row_group
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", lambda file, at, **more: read.append(at) or groups(file, at, **more))
    assert clients.splits_holding(tmp_path, graph(), "patient 077777").held == (many,)
    assert len(read) == 1
    assert clients.splits_holding(tmp_path, graph(), "patient 0777770").clear == (many,)
    hashed = forgotten.keyed_hash(forgotten.make_key(tmp_path), "clinic", "patient 099999")
    assert clients.splits_holding(tmp_path, graph(), f"{clients.HASH}{hashed}").held == (many,)


def test_carriers_are_all_models_that_were_trained_on_it_and_not_those_that_were_compared(
    split, graph, store_writer, tmp_path
) -> None:
    def node(name: str, inputs: dict[str, list[int]], **outputs: str) -> list[int]:
        made = {key: [store_writer.artifact(kind, f"/{name}/{key}")] for key, kind in outputs.items()}
        _, ids = store_writer.execute("clinic", "run", name, inputs, made)
        return [ids[key][0] for key in outputs]

    held, other = split(["ann", "bob"]), split(["bob"])
    examples = held - 1
    [baseline] = node("Trainer", {"examples": [examples]}, model="Model")
    [federated] = node("FederatedTrainer", {"federated_examples": [held]}, model="Model")
    [warm] = node("FederatedTrainer", {"federated_examples": [other], "base_model": [baseline]}, model="Model")
    [evaluation] = node("Evaluator", {"model": [federated]}, evaluation="ModelEvaluation")
    [pushed] = node("Pusher", {"model": [federated]}, pushed_model="PushedModel")
    [later] = node("FederatedTrainer", {"federated_examples": [other]}, model="Model")
    [compared] = node("Evaluator", {"model": [later], "served": [federated]}, evaluation="ModelEvaluation")
    [blessing] = node("DeployGate", {"model": [later], "evaluation": [compared]}, blessing="ModelBlessing")
    node("Pusher", {"model": [later], "model_blessing": [blessing], "examples": [examples]}, pushed_model="PushedModel")
    known = graph()
    found = clients.carriers(known, clients.splits_holding(tmp_path, known, "ann"))
    assert found == {examples, held, baseline, federated, warm, pushed}
    assert evaluation not in found
