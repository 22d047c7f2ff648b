"""Every strategy through the real executor, on real files."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from components.federated_split.blocks import Clients
from components.federated_split.partitioners import PARTITIONERS
from lineage.digests import tree_digest

LABEL = {"label": "label"}
HOW = {
    "iid": {"clients": 7},
    "sizes": {"sizes": [100, 150, 350]},
    "linear": {"clients": 7},
    "square": {"clients": 7},
    "exponential": {"clients": 7},
    "lognormal": {"clients": 7, "sigma": 1.0},
    "dirichlet": {"clients": 7, "alpha": {"9": 0.1, "10": 5.0, "11": 1.0}, "self_balancing": True, **LABEL},
    "inner_dirichlet": {"sizes": [0.5, 0.25, 0.25], "alpha": [0.1, 1, 5], **LABEL},
    "shards": {"clients": 7, **LABEL},
    "pathological": {"clients": 2, "classes_per_client": 1, "assignment": "deterministic", **LABEL},
    "distribution": {"matrix": {"9": [0, 1, 0], "10": [1, 1, 1], "11": [0, 0, 0]}, **LABEL},
    "power_law": {"clients": 7, "min_per_label": 2, **LABEL},
    "continuous": {"clients": 7, "feature": "x", "strictness": 0.8},
    "by_key": {"key": "user"},
    "grouped_by_key": {"key": "user", "group_size": 2, "remainder": "drop-remainder"},
}
DROPPING = {"pathological", "distribution", "grouped_by_key"}
# The others do the same with their strata, and are held to their promises by tests of their own.
FAST = {"sizes", "distribution", "grouped_by_key", "continuous"}


@pytest.fixture
def records(make_example) -> list[bytes]:
    rng = random.Random(1)
    users = [b"ann", b"bob", b"cy", b"dee", b"eve"]
    return [make_example(label=9 + rng.randrange(3), user=rng.choice(users), x=rng.random()) for _ in range(600)]


@pytest.mark.parametrize("strategy", [pytest.param(s, marks=() if s in FAST else pytest.mark.slow) for s in PARTITIONERS])
def test_each_example_has_one_client_whatever_the_order_of_the_input(strategy, records, write_examples, divide, monkeypatch):
    first = divide(write_examples(records, name="one"), strategy, out="first", **HOW[strategy])
    monkeypatch.setattr("components.federated_split.division._PARTITION_BYTES", 5000)  # Many digest ranges instead of one.
    second = divide(write_examples(records[::-1], files=3, name="three"), strategy, out="second", **HOW[strategy])
    assert tree_digest(first.uri) == tree_digest(second.uri)
    clients = Clients.open(first.uri)
    divided = Counter(record for client in clients.ids for record in clients.examples(client))
    assert divided <= Counter(records)
    partition = json.loads(Path(first.uri, "partition.json").read_text())
    dropped = partition.get("dropped_examples", 0)
    assert partition["num_examples"] == divided.total() == 600 - dropped
    assert (dropped > 0) == (strategy in DROPPING)


def test_labels_that_are_numbers_are_in_the_order_of_numbers(records, write_examples, divide) -> None:
    clients = Clients.open(divide(write_examples(records), "pathological", **HOW["pathological"]).uri)
    assert [set(clients.labels(client)) for client in clients.ids] == [{"9"}, {"10"}]


def test_labels_may_be_text(make_example, write_examples, divide) -> None:
    records = [make_example(kind=kind, x=number) for kind in (b"ant", b"bee") for number in range(12)]
    how = {"matrix": {"bee": [3, 1], "ant": [1, 0]}, "label": "kind"}
    clients = Clients.open(divide(write_examples(records), "distribution", **how).uri)
    assert [clients.labels(client) for client in clients.ids] == [{"ant": 12, "bee": 9}, {"bee": 3}]


def test_what_nobody_gets_is_told_by_a_warning_and_the_artifact(records, write_examples, divide, caplog) -> None:
    federated = divide(write_examples(records), "distribution", **HOW["distribution"])
    dropped = json.loads(Path(federated.uri, "partition.json").read_text())["dropped_examples"]
    assert federated.get_int_custom_property("dropped") == dropped > 0
    assert f"{dropped} of 600 examples go to nobody: all with one of 1 values of 'label'" in caplog.text
