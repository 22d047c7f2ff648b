"""Facts of a division, from an index that is written here directly, so that every count is known."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.federated_split import blocks, census, facts
from components.federated_split.census import take_census
from components.federated_split.facts import describe

# Of each client: of each of its blocks: how many examples of which label.
Index = Sequence[Sequence[Mapping[str, int]]]

indices = st.lists(
    st.lists(st.dictionaries(st.sampled_from("abcde"), st.integers(1, 40), min_size=1), min_size=1, max_size=3),
    min_size=1,
    max_size=12,
)


@pytest.fixture
def write_index(tmp_path: Path) -> Callable[[Index], Path]:
    def write(index: Index, unlabelled: int = 0) -> Path:
        rows = [
            {
                "client_id": f"zelda-{client:07d}",
                "block": number,
                "num_examples": sum(labels.values()) + unlabelled,
                "labels": [{"label": label, "count": count} for label, count in labels.items()],
            }
            for client, parts in enumerate(index)
            for number, labels in enumerate(parts)
        ]
        columns = {row_name: [row.get(row_name) for row in rows] for row_name in blocks.INDEX_SCHEMA.names}
        pq.write_table(pa.table(columns, schema=blocks.INDEX_SCHEMA), tmp_path / "index.parquet")
        return tmp_path / "index.parquet"

    return write


def table_of(index: Index, clients: int) -> tuple[list[str], np.ndarray]:
    """The dense int64[clients, labels]."""
    labels = sorted({label for parts in index for block in parts for label in block})
    table = np.zeros((clients, len(labels)), dtype=np.int64)
    for client, parts in enumerate(index):
        for block in parts:
            for label, count in block.items():
                table[client, labels.index(label)] += count
    return labels, table


@given(index=indices, without=st.integers(0, 3), batch=st.integers(1, 9))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_facts_are_those_of_the_whole_table_however_it_is_read(write_index, index: Index, without: int, batch: int) -> None:
    clients = len(index) + without
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(census, "_BATCH_ROWS", batch)
        told = describe(take_census(write_index(index), clients))
    labels, table = table_of(index, clients)
    sizes = table.sum(axis=1)
    percents = [0, 10, 25, 50, 75, 90, 100]
    assert (told["num_clients"], told["clients_without_examples"]) == (clients, without)
    assert (told["num_examples"], told["examples_without_label"], told["num_labels"]) == (sizes.sum(), 0, len(labels))
    assert told["label_totals"] == dict(zip(labels, table.sum(axis=0).tolist(), strict=True))
    np.testing.assert_allclose(list(told["examples_per_client"].values()), np.percentile(sizes, percents), atol=1e-6)
    for column, label in enumerate(labels):
        found = list(told["label_counts_per_client"][label].values())
        np.testing.assert_allclose(found, np.percentile(table[:, column], percents), atol=1e-6)


def test_means_weigh_clients_by_their_examples(write_index) -> None:
    told = describe(take_census(write_index([[{"a": 30, "b": 30}], [{"a": 10}], [{"b": 10}]]), 3))["heterogeneity"]
    assert told["effective_labels"] == pytest.approx((60 * 2 + 20 * 1) / 80)
    assert told["label_divergence"] == pytest.approx(20 * 0.311278 / 80, abs=1e-6)
    assert told["effective_labels_of_all"] == 2


def test_clients_of_one_mix_do_not_diverge(write_index) -> None:
    told = describe(take_census(write_index([[{"a": 2, "b": 4}], [{"a": 1, "b": 2}]]), 2))["heterogeneity"]
    assert (told["label_divergence"], told["label_hellinger_distance"]) == (0, 0)


def test_without_labels_only_sizes_are_told(write_index) -> None:
    told = describe(take_census(write_index([[{}], [{}]], unlabelled=5), 2))
    assert (told["num_labels"], told["label_totals"], told["label_counts_per_client"]) == (0, {}, {})
    assert told["examples_without_label"] == 10
    assert told["heterogeneity"] == {"gini_of_sizes": 0}


def test_labels_can_be_left_out(write_index) -> None:
    told = describe(take_census(write_index([[{"zelda-0000000": 3}]]), 1, with_labels=False))
    assert "zelda" not in json.dumps(told)
    assert told["examples_without_label"] == 3


def test_a_label_with_very_many_values_is_not_listed_whole(write_index, monkeypatch) -> None:
    monkeypatch.setattr(facts, "_LISTED_LABELS", 3)
    told = describe(take_census(write_index([[{f"word{number}": number + 1 for number in range(10)}]]), 1))
    assert told["num_labels"] == 10
    assert told["label_totals"] == {"word9": 10, "word8": 9, "word7": 8}
    assert list(told["label_counts_per_client"]) == ["word9", "word8", "word7"]
    assert told["examples_without_label"] == 0
