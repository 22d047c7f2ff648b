import json
import random
from collections import Counter
from pathlib import Path

import apache_beam as beam
import pytest

from components.federated_split import division
from components.federated_split.blocks import Clients
from components.federated_split.parameters import check_parameters
from errors import DataError, FedtfxError
from lineage.digests import tree_digest

DIRICHLET = {"strategy": "dirichlet", "clients": 10, "alpha": 0.5, "label": "label"}
BY_KEY = {"strategy": "by_key", "key": "user", "label": "label"}
IID = {"strategy": "iid", "clients": 10, "label": "label"}


@pytest.fixture
def records(make_example) -> list[bytes]:
    rng = random.Random(1)
    return [make_example(label=rng.randrange(5), user=rng.choice([b"ann", b"bob", b"cy"]), x=rng.random()) for _ in range(600)]


def contents(uri: str) -> list[bytes]:
    clients = Clients.open(uri)
    return [record for client in clients.ids for record in clients.examples(client)]


@pytest.mark.parametrize("how", [IID, DIRICHLET, BY_KEY], ids=lambda how: how["strategy"])
def test_every_example_is_with_exactly_one_client(how, records, write_examples, divide) -> None:
    federated = divide(write_examples(records, files=3), **how)
    Clients.open(federated.uri).verify()
    assert Counter(contents(federated.uri)) == Counter(records)


@pytest.mark.parametrize("how", [IID, DIRICHLET, BY_KEY], ids=lambda how: how["strategy"])
def test_order_and_files_of_the_input_do_not_show_in_the_output(how, records, write_examples, divide, monkeypatch) -> None:
    first = divide(write_examples(records, files=1, name="one"), out="first", **how)
    random.Random(2).shuffle(records)
    monkeypatch.setattr(division, "_PARTITION_BYTES", 500)  # Many digest ranges instead of one.
    second = divide(write_examples(records, files=4, name="four"), out="second", **how)
    assert tree_digest(first.uri) == tree_digest(second.uri)


def test_another_seed_gives_another_division(records, write_examples, divide) -> None:
    examples = write_examples(records)
    first, second = (divide(examples, out=f"seed{seed}", seed=seed, **IID) for seed in (1, 2))
    assert contents(first.uri) != contents(second.uri)
    assert Counter(contents(first.uri)) == Counter(contents(second.uri))


def test_equal_examples_are_all_kept_and_spread_exactly(make_example, write_examples, divide) -> None:
    same = [make_example(label=1)] * 95 + [make_example(label=2)] * 5
    clients = Clients.open(divide(write_examples(same, files=2), **IID).uri)
    assert [clients.num_examples(client) for client in clients.ids] == [10] * 10
    assert sum((Counter(clients.labels(client)) for client in clients.ids), Counter()) == {"1": 95, "2": 5}


def test_natural_keys_are_the_client_ids(records, write_examples, divide) -> None:
    clients = Clients.open(divide(write_examples(records), **BY_KEY).uri)
    assert clients.ids == ["ann", "bob", "cy"]
    assert all(b"bob" in record for record in clients.examples("bob"))


def test_whole_numbers_are_keys_as_well(make_example, write_examples, divide) -> None:
    examples = write_examples([make_example(user=number % 3, label=0) for number in range(9)])
    assert Clients.open(divide(examples, **BY_KEY).uri).ids == ["0", "1", "2"]


def test_the_facts_are_in_partition_json_and_in_the_artifact(records, write_examples, divide) -> None:
    federated = divide(write_examples(records), **DIRICHLET)
    partition = json.loads(Path(federated.uri, "partition.json").read_text())
    assert (partition["strategy"], partition["seed"], partition["parameters"]["alpha"]) == ("dirichlet", 42, 0.5)
    assert (partition["num_clients"], partition["clients_without_examples"], partition["num_examples"]) == (10, 0, 600)
    assert sum(partition["label_totals"].values()) == 600
    assert partition["examples_per_client"]["min"] >= 1
    assert federated.get_string_custom_property("strategy") == "dirichlet"
    assert federated.get_int_custom_property("clients") == 10
    assert federated.get_int_custom_property("examples") == 600
    assert federated.get_int_custom_property("seed") == 42
    assert federated.get_string_custom_property("digest") == tree_digest(federated.uri)


def test_client_ids_are_only_in_the_index_and_the_examples(make_example, write_examples, divide, caplog) -> None:
    examples = write_examples([make_example(user=b"zelda-%d" % (number % 3), label=0) for number in range(9)])
    with caplog.at_level("DEBUG"):
        federated = divide(examples, **BY_KEY)
    assert "zelda" not in Path(federated.uri, "partition.json").read_text()
    assert "zelda" not in str(federated.mlmd_artifact)
    assert "zelda" not in caplog.text


def test_clients_without_examples_are_counted_but_not_indexed(make_example, write_examples, divide) -> None:
    examples = write_examples([make_example(label=0) for _ in range(30)])
    federated = divide(examples, strategy="dirichlet", clients=30, alpha=0.01, min_examples=0, label="label")
    partition = json.loads(Path(federated.uri, "partition.json").read_text())
    assert partition["num_clients"] == 30
    assert 0 < partition["clients_without_examples"] == 30 - len(Clients.open(federated.uri))
    assert partition["examples_per_client"]["min"] == 0


def test_a_label_that_cannot_be_counted_does_not_stop_a_division_that_does_not_need_it(
    make_example, write_examples, divide
) -> None:
    examples = write_examples([make_example(label=0.5), make_example(label=1), make_example(x=1)] * 4)
    federated = divide(examples, **IID)
    partition = json.loads(Path(federated.uri, "partition.json").read_text())
    assert (partition["label_totals"], partition["examples_without_label"]) == ({"1": 4}, 8)


@pytest.mark.parametrize(
    ("rows", "warning"),
    [
        ([{"x": 1}] * 20, "none of 20 examples has the label 'label'"),
        ([{"label": 1}] * 12 + [{"label": b"1"}] * 8, "has several types in 20 examples: {'whole numbers': 12, 'text': 8}"),
        ([{"label": 1}] * 17 + [None] * 3, "3 of 20 examples are no readable tf.Examples"),
    ],
    ids=["missing", "mixed", "unreadable"],
)
def test_a_label_that_is_only_counted_is_warned_of(rows, warning, make_example, write_examples, divide, caplog) -> None:
    divide(write_examples([b"\xffnonsense" if row is None else make_example(**row) for row in rows]), **IID)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert any(warning in message for message in warnings)


def test_a_good_label_is_not_warned_of(records, write_examples, divide, caplog) -> None:
    divide(write_examples(records), **IID)
    assert not [
        record for record in caplog.records if "FederatedSplit" in record.getMessage() and record.levelname == "WARNING"
    ]


def test_many_clients_need_no_file_each(make_example, write_examples, divide) -> None:
    federated = divide(write_examples([make_example(x=number) for number in range(2000)]), strategy="iid", clients=2000)
    names = sorted(path.name for path in Path(federated.uri, "Split-train").iterdir())
    assert names == ["clients-00000-of-00001", "index.parquet"]


WRONG = {
    "more clients than examples": ([{"label": 1}] * 3, IID, r"at most as many clients as training examples \(3\), got 10"),
    "label missing": ([{"label": 1}] * 20 + [{"x": 1}] * 2, DIRICHLET, r"'label'.*got none in 2 of 22 examples"),
    "float label": ([{"label": 1.0}] * 20, DIRICHLET, "whole numbers or text, got floats in 20 of 20 examples"),
    "several labels": ([{"label": [1, 2]}] + [{"label": 1}] * 20, DIRICHLET, "one value per example, got several in 1 of 21"),
    "key missing": ([{"label": 1}] * 20, BY_KEY, r"feature 'user' \(split parameter 'key'\).*got none in 20 of 20"),
    "float key": ([{"user": 1.5}] * 20, BY_KEY, "got floats in 20 of 20 examples"),
    "key of two types": ([{"user": 1}] * 3 + [{"user": b"1"}] * 2, BY_KEY, "whole numbers in 3 and text in 2 of 5"),
    "key not UTF-8": ([{"user": b"\xff\xfe"}, {"user": b"a"}], BY_KEY, "UTF-8 text, got other bytes in 1 of 2"),
    "keys alike": ([{"user": b"Ann"}, {"user": b"ann "}], BY_KEY, "got 1 of 2 that repeat another"),
    "empty key": ([{"user": b""}, {"user": b"a"}], BY_KEY, "got an empty one"),
    "no examples": ([], IID, "expected examples in split 'train', found none"),
    "no Dirichlet draw": ([{"label": 1}] * 20, {**DIRICHLET, "min_examples": 3}, "at least 3 examples for each of 10 clients"),
    "unknown strategy": ([{"label": 1}] * 20, {"strategy": "idd"}, "out of by_key, continuous, .*, square, got 'idd'"),
}


@pytest.mark.parametrize(("rows", "how", "message"), WRONG.values(), ids=WRONG.keys())
def test_bad_input_is_refused_in_one_line_and_leaves_nothing(
    rows, how, message, make_example, write_examples, divide, tmp_path
) -> None:
    with pytest.raises(DataError, match=message) as raised:
        divide(write_examples([make_example(**row) for row in rows]), **how)
    assert "\n" not in str(raised.value)
    assert list((tmp_path / "federated").iterdir()) == []


def test_bytes_that_are_no_example_are_refused_where_they_are_parsed(write_examples, divide) -> None:
    with pytest.raises(DataError, match=r"readable tf\.Examples, got bytes that are none in 20 of 20"):
        divide(write_examples([b"\xffnonsense"] * 20), **DIRICHLET)


def test_a_cut_input_file_is_refused_and_named(records, write_examples, divide, tmp_path) -> None:
    examples = write_examples(records)
    (path,) = Path(examples.uri, "Split-train").iterdir()
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=f"{path.name}, found a cut or damaged one"):
        divide(examples, **IID)
    assert list((tmp_path / "federated").iterdir()) == []


def test_a_missing_split_is_refused(records, write_examples, divide) -> None:
    examples = write_examples(records)
    examples.split_names = json.dumps(["fit", "eval"])
    with pytest.raises(DataError, match="split named 'train', got fit, eval"):
        divide(examples, **IID)


def test_another_payload_is_refused(records, write_examples, divide) -> None:
    examples = write_examples(records)
    examples.set_string_custom_property("payload_format", "FORMAT_PARQUET")
    with pytest.raises(DataError, match="FORMAT_TF_EXAMPLE, got FORMAT_PARQUET"):
        divide(examples, **IID)


def divide_files(examples, uri: Path, make_pipeline=beam.Pipeline) -> None:
    files = [str(path) for path in Path(examples.uri, "Split-train").iterdir()]
    request = division.Request("iid", check_parameters("iid", {"clients": 10, "label": "label"}), 42)
    division.divide(files, str(uri), request, make_pipeline)


def test_a_failure_half_way_leaves_nothing(records, write_examples, tmp_path) -> None:
    pipelines = iter([beam.Pipeline()])

    def second_one_fails() -> beam.Pipeline:
        for pipeline in pipelines:
            return pipeline
        raise OSError(28, "No space left on device")

    with pytest.raises(FedtfxError, match="found the disk full \\(No space left on device\\); make room"):
        divide_files(write_examples(records), tmp_path / "out", second_one_fails)
    assert list((tmp_path / "out").iterdir()) == []


def test_leftovers_of_a_killed_attempt_are_not_part_of_the_artifact(records, write_examples, divide, tmp_path) -> None:
    examples = write_examples(records)
    clean = divide(examples, out="clean", **IID)
    again = tmp_path / "again"
    (again / ".work-dead").mkdir(parents=True)
    (again / "Split-train").mkdir()
    (again / "Split-train" / "clients-00000-of-00009").write_bytes(b"half")
    divide_files(examples, again)
    assert tree_digest(again) == tree_digest(clean.uri)


def test_a_split_without_files_is_refused(write_examples, divide) -> None:
    with pytest.raises(DataError, match="expected examples in split 'train', found none"):
        divide(write_examples([], files=0), **IID)
