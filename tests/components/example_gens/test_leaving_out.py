"""ExampleGen leaves forgotten clients out of every split, whichever format the data have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components.beam_errors import cause_of
from components.example_gens import example_gen
from errors import IntegrityError
from lineage import forgotten
from lineage.forgotten import Omission

ROWS = [f"{name},{number}" for number in range(40) for name in ("ann", "bob", "7")]


@pytest.fixture
def omission(tmp_path: Path) -> Omission:
    """Bob and 7 are forgotten."""
    key = forgotten.make_key(tmp_path)
    for client in ("bob", "7"):
        forgotten.add(tmp_path, "clinic", forgotten.keyed_hash(key, "clinic", client), "user")
    found = forgotten.omission(tmp_path, "clinic")
    assert found is not None
    return found


@pytest.fixture
def users(tmp_path_factory: pytest.TempPathFactory, records: Callable[..., list[bytes]]) -> Callable[..., dict[str, list]]:
    """A function: arguments of `example_gen` -> the artifact's users of each split."""

    def run(**arguments) -> dict[str, list]:
        node = example_gen(seed=1, **arguments)
        examples = standard_artifacts.Examples()
        examples.uri = str(tmp_path_factory.mktemp("examples"))
        executor = node.executor_spec.executor_class
        executor(executor.Context(beam_pipeline_args=[])).Do({}, {"examples": [examples]}, dict(node.exec_properties))
        counted = examples.get_int_custom_property("forgotten") if examples.has_custom_property("forgotten") else None
        return {**{split: [user_of(one) for one in records(examples, split)] for split in ("train", "eval")}, "count": counted}

    return run


def user_of(record: bytes) -> str | int:
    feature = tf.train.Example.FromString(record).features.feature["user"]
    return feature.bytes_list.value[0].decode() if feature.bytes_list.value else feature.int64_list.value[0]


def test_rows_of_a_csv_file_are_left_out_of_both_splits(tmp_path, users, omission) -> None:
    (tmp_path / "a.csv").write_text("user,x\n" + "\n".join(ROWS) + "\n")
    where = {"data_format": "csv", "path": str(tmp_path / "a.csv"), "splits": {"train": 3, "eval": 1}}
    everybody, rest = users(**where), users(**where, forgotten=omission)
    assert {"ann", "bob", "7"} == set(everybody["train"]) == set(everybody["eval"])
    assert (everybody["count"], rest["count"]) == (None, 2)
    assert set(rest["train"]) == set(rest["eval"]) == {"ann"}
    # Who stays is where it was: what is drawn for an example depends on it alone.
    assert [len(rest[split]) for split in ("train", "eval")] == [everybody[split].count("ann") for split in ("train", "eval")]


def test_ids_that_are_numbers_are_known_by_their_digits_and_splits_may_be_given(tmp_path, users, omission) -> None:
    for name in ("train", "eval"):
        (tmp_path / f"{name}.csv").write_text("user,x\n" + "\n".join(f"{number % 9},1" for number in range(30)) + "\n")
    splits = {"train": "train.csv", "eval": "eval.csv"}
    rest = users(data_format="csv", path=str(tmp_path), splits=splits, forgotten=omission)
    assert set(rest["train"]) == set(rest["eval"]) == {0, 1, 2, 3, 4, 5, 6, 8}


def test_lost_key_stops_the_node(tmp_path, users, omission) -> None:
    (tmp_path / "a.csv").write_text("user,x\n" + "\n".join(ROWS) + "\n")
    (tmp_path / ".clients" / "key").unlink()
    with pytest.raises(Exception) as caught:
        users(data_format="csv", path=str(tmp_path / "a.csv"), splits={"train": 3, "eval": 1}, forgotten=omission)
    assert isinstance(cause_of(caught.value), IntegrityError)


def test_node_that_leaves_nobody_out_has_the_parameters_it_always_had(tmp_path, omission) -> None:
    (tmp_path / "a.csv").write_text("user,x\n1,2\n")
    where = {"data_format": "csv", "path": str(tmp_path / "a.csv"), "splits": {"train": 3, "eval": 1}, "seed": 1}
    plain, told = example_gen(**where).exec_properties, example_gen(**where, forgotten=omission).exec_properties
    assert omission.digest not in str(plain)
    assert omission.digest in str(told)
    assert {name for name in plain if plain[name] != told[name]} == {"custom_config"}
