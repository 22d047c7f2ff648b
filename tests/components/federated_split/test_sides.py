import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import FederatedExamples
from components.federated_split import sides
from components.federated_split.blocks import Clients
from errors import DataError, IntegrityError
from lineage.digests import tree_digest

pytestmark = pytest.mark.slow  # each runs the split on Beam
IID = {"strategy": "iid", "clients": 10, "label": "label"}
BY_KEY = {"strategy": "by_key", "key": "user", "label": "label"}


@pytest.fixture
def records(make_example) -> list[bytes]:
    rng = random.Random(1)
    users = [b"user-%02d" % number for number in range(20)]
    return [make_example(label=rng.randrange(5), user=rng.choice(users), x=rng.random()) for _ in range(1000)]


def examples(uri: str, split: str) -> dict[str, list[bytes]]:
    clients = Clients.open(uri, split)
    clients.verify()
    return {client: clients.examples(client) for client in clients.ids}


def contents(uri: str, split: str) -> Counter[bytes]:
    return Counter(record for records in examples(uri, split).values() for record in records)


def partition(uri: str) -> dict:
    return json.loads(Path(uri, "partition.json").read_text())


@pytest.mark.parametrize("how", [IID, BY_KEY], ids=lambda how: how["strategy"])
def test_each_client_keeps_about_the_fraction_for_evaluation(how, records, write_examples, divide) -> None:
    uri = divide(write_examples(records, files=3), **how, holdout=0.25).uri
    train, evaluation = examples(uri, "train"), examples(uri, "eval")
    assert contents(uri, "train") + contents(uri, "eval") == Counter(records)
    assert train.keys() == evaluation.keys()
    for client in train:
        whole = len(train[client]) + len(evaluation[client])
        assert abs(len(evaluation[client]) - whole / 4) <= 4 * (whole * 3 / 16) ** 0.5  # four standard deviations
    assert abs(contents(uri, "eval").total() - 250) <= 4 * (1000 * 3 / 16) ** 0.5


def test_the_sides_together_are_the_division_without_sides(records, write_examples, divide) -> None:
    given = write_examples(records)
    whole = examples(divide(given, out="whole", **IID).uri, "train")
    uri = divide(given, out="sides", **IID, holdout=0.3, holdout_clients=2).uri
    train, evaluation = examples(uri, "train"), examples(uri, "eval")
    for client in whole:
        assert sorted(whole[client]) == sorted(train.get(client, []) + evaluation.get(client, []))


def test_held_out_clients_are_never_trained_on(records, write_examples, divide) -> None:
    uri = divide(write_examples(records), **BY_KEY, holdout_clients=5).uri
    train, evaluation = examples(uri, "train"), examples(uri, "eval")
    assert len(train) == 15
    assert len(evaluation) == 5
    assert not train.keys() & evaluation.keys()


def test_held_out_clients_can_be_told_from_the_others(records, write_examples, divide) -> None:
    uri = divide(write_examples(records), **BY_KEY, holdout=0.3, holdout_clients=3).uri
    train, evaluation = FederatedExamples.open(uri), FederatedExamples.open(uri, "eval")
    assert train.held_out == []
    assert len(evaluation.held_out) == 3
    assert set(evaluation.held_out) == set(evaluation.clients) - set(train.clients)


def test_clients_without_evaluation_examples_are_counted_and_warned_of(make_example, write_examples, divide, caplog) -> None:
    given = write_examples([make_example(label=0, x=number) for number in range(60)])
    federated = divide(given, strategy="iid", clients=20, label="label", holdout=0.3, holdout_clients=2)
    bare = partition(federated.uri)["clients_without_evaluation_examples"]
    assert bare == len(set(Clients.open(federated.uri).ids) - set(Clients.open(federated.uri, "eval").ids)) > 0
    assert f"{bare} of 18 clients have no evaluation examples" in caplog.text


def test_fraction_of_held_out_clients_is_of_those_with_examples(make_example, write_examples, divide) -> None:
    given = write_examples([make_example(label=0, x=number) for number in range(40)])
    how = {"strategy": "dirichlet", "clients": 40, "alpha": 0.02, "min_examples": 0, "label": "label"}
    whole = Clients.open(divide(given, out="whole", **how).uri)
    found = partition(divide(given, out="sides", **how, holdout_clients=0.5).uri)
    assert found["held_out_clients"] == round(len(whole) / 2)


@pytest.mark.slow
def test_seed_decides_who_is_held_out_and_which_examples(records, write_examples, divide) -> None:
    given = write_examples(records)
    first, again, other = (
        divide(given, out=out, seed=seed, **BY_KEY, holdout=0.2, holdout_clients=0.25)
        for out, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    assert tree_digest(first.uri) == tree_digest(again.uri)
    first_held, other_held = (set(examples(f.uri, "eval")) - set(examples(f.uri, "train")) for f in (first, other))
    assert first_held != other_held
    assert contents(first.uri, "eval") != contents(other.uri, "eval")


def test_equal_examples_are_on_one_side_whoever_has_them(make_example, write_examples, divide) -> None:
    twins = [make_example(label=1, x=number) for number in range(30)] * 10
    uri = divide(write_examples(twins, files=4), **IID, holdout=0.3, holdout_clients=1).uri
    train, evaluation = contents(uri, "train"), contents(uri, "eval")
    assert not train.keys() & evaluation.keys()
    assert train + evaluation == Counter(twins)


def test_without_either_option_there_is_one_side(records, write_examples, divide) -> None:
    given = write_examples(records)
    plain = divide(given, out="plain", **IID)
    assert not Path(plain.uri, "Split-eval").exists()
    assert "eval" not in partition(plain.uri)
    none = divide(given, out="none", **IID, holdout=0.0, holdout_clients=0)
    assert tree_digest(str(Path(plain.uri, "Split-train"))) == tree_digest(str(Path(none.uri, "Split-train")))
    assert not Path(none.uri, "Split-eval").exists()


def test_facts_of_both_sides_are_told(make_example, write_examples, divide) -> None:
    given = write_examples([make_example(label=number % 2, x=number) for number in range(60)])
    federated = divide(given, strategy="iid", clients=20, label="label", holdout=0.7, holdout_clients=2)
    found, train = partition(federated.uri), Clients.open(federated.uri)
    assert list(found["index_sha256"]) == ["eval", "train"]
    assert found["num_clients"] == 18
    assert found["clients_without_training_examples"] == 18 - len(train) > 0
    assert found["eval"]["num_clients"] == len(Clients.open(federated.uri, "eval"))
    assert found["num_examples"] + found["eval"]["num_examples"] == 60
    assert federated.get_int_custom_property("held_out_clients") == 2
    assert federated.get_int_custom_property("eval_examples") == found["eval"]["num_examples"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"holdout_clients": 10}, r"fewer held-out clients than clients with examples \(10\), got 10"),
        ({"holdout": 1e-9}, "got none of 1000 on the eval side"),
        ({"holdout": 1 - 1e-9}, "got none of 1000 on the train side"),
        ({"holdout": 1.0}, "below 1 as split parameter 'holdout', got 1.0"),
        ({"holdout_clients": -1}, "as split parameter 'holdout_clients', got -1"),
    ],
)
def test_an_impossible_hold_out_is_refused_in_one_line(options, message, records, write_examples, divide, tmp_path) -> None:
    with pytest.raises(DataError, match=message) as raised:
        divide(write_examples(records), **IID, **options)
    assert "\n" not in str(raised.value)
    assert list((tmp_path / "federated").iterdir()) == []


def wrong_sides(words: np.ndarray, client: np.ndarray, held_out: np.ndarray, holdout: float) -> np.ndarray:
    """Every second example, whatever it is and whose."""
    return np.arange(len(words)) % 2 == 0


def test_executor_finds_an_example_on_both_sides(make_example, write_examples, divide, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sides, "is_evaluated", wrong_sides)
    given = write_examples([make_example(label=0, x=number // 2) for number in range(100)])
    with pytest.raises(IntegrityError, match="expected each example on one side, found 50 on both"):
        divide(given, **IID, holdout=0.5)
    assert list((tmp_path / "federated").iterdir()) == []


def test_executor_finds_a_held_out_client_that_is_trained_on(records, write_examples, divide, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sides, "is_evaluated", wrong_sides)
    with pytest.raises(IntegrityError, match="no held-out client in the training side, found 2"):
        divide(write_examples(records), **IID, holdout_clients=2)
    assert list((tmp_path / "federated").iterdir()) == []


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=60), st.floats(0, 0.99))
def test_equal_digests_share_a_side_and_held_out_clients_have_no_other(pairs: list[tuple[int, int]], holdout: float) -> None:
    pairs = sorted(pairs)
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**64, size=(6, 4), dtype=np.uint64)[[digest for digest, _ in pairs]]
    client = np.array([client for _, client in pairs])
    evaluated = sides.is_evaluated(words, client, np.array([False, True, False, False]), holdout)
    assert evaluated[client == 1].all()
    by_digest: dict[int, set[bool]] = {}
    for (digest, _), side in zip(pairs, evaluated.tolist(), strict=True):
        by_digest.setdefault(digest, set()).add(side)
    assert all(len(found) == 1 for found in by_digest.values())
