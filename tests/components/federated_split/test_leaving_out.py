"""Forgotten clients are in nothing that the split writes, and the others' data are as if these had never been there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tfx.types import channel_utils, standard_artifacts

from components import FederatedExamples
from components.federated_split.component import FederatedSplit
from components.federated_split.executor import Executor
from errors import DataError, IntegrityError
from lineage import forgotten
from lineage.digests import tree_digest
from lineage.forgotten import Omission

CLIENTS = ["ann", "bob", "cid"]


@pytest.fixture
def records(make_example) -> list[bytes]:
    return [make_example(user=CLIENTS[n % 3].encode(), ward=n % 2, label=n % 2, x=float(n)) for n in range(60)]


@pytest.fixture
def forget(tmp_path: Path):
    """Forgets clients of a pipeline, and returns what its nodes are told."""
    forgotten.make_key(tmp_path)

    def add(*clients: str, feature: str = "user") -> Omission:
        for client in clients:
            key = forgotten.read_key(tmp_path)
            forgotten.add(tmp_path, "clinic", forgotten.keyed_hash(key, "clinic", client), feature)
        omission = forgotten.omission(tmp_path, "clinic")
        assert omission is not None
        return omission

    return add


@pytest.fixture
def divide_without(tmp_path: Path):
    """Divides by user with the real executor; `omission` as the component passes it on."""

    def run(
        examples: standard_artifacts.Examples, out: str, omission: Omission | None = None, strategy: str = "by_key", **more
    ) -> FederatedExamples:
        federated = FederatedExamples()
        federated.uri = str(tmp_path / out)
        Path(federated.uri).mkdir()
        parameters = json.dumps({"key": "user", "label": "label", **more} if strategy == "by_key" else more)
        properties = {"strategy": strategy, "parameters": parameters, "seed": 42, "code_version": "1"}
        if omission is not None:
            properties["forgotten"] = omission.as_text()
        Executor(Executor.Context(beam_pipeline_args=[])).Do(
            {"examples": [examples]}, {"federated_examples": [federated]}, properties
        )
        return federated

    return run


def files_of(artifact: FederatedExamples) -> dict[str, bytes]:
    base = Path(artifact.uri)
    return {str(path.relative_to(base)): path.read_bytes() for path in base.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_split_without_a_client_is_that_of_data_that_never_had_it(records, write_examples, divide_without, forget) -> None:
    others = [record for record in records if b"bob" not in record]
    never = divide_without(write_examples(others, name="never"), "of others", holdout=0.2)
    left_out = divide_without(write_examples(records, files=2), "left out", forget("bob"), holdout=0.2)
    expected, got = files_of(never), files_of(left_out)
    facts = json.loads(got.pop("partition.json"))
    assert facts.pop("forgotten") == 1
    assert facts == json.loads(expected.pop("partition.json"))
    assert got == expected
    assert FederatedExamples.open(left_out.uri).clients == ["ann", "cid"]
    assert left_out.get_int_custom_property("forgotten") == 1


def test_forgotten_client_is_left_out_by_the_feature_that_named_it_whatever_divides_now(
    records, write_examples, divide_without, forget
) -> None:
    divided = divide_without(write_examples(records), "iid", forget("bob"), strategy="iid", clients=4)
    assert divided.get_int_custom_property("examples") == 40
    assert b"bob" not in b"".join(files_of(divided).values())


def test_clients_that_were_forgotten_by_different_features_are_all_left_out(
    records, write_examples, divide_without, forget
) -> None:
    forget("bob")
    divided = divide_without(write_examples(records), "two", forget("1", feature="ward"))
    assert divided.get_int_custom_property("examples") == 20


def test_feature_that_the_examples_do_not_have_leaves_nobody_out(records, write_examples, divide_without, forget) -> None:
    divided = divide_without(write_examples(records), "none", forget("bob", feature="device"))
    assert divided.get_int_custom_property("examples") == 60


def test_split_that_would_be_empty_is_refused(records, write_examples, divide_without, forget) -> None:
    with pytest.raises(DataError, match="expected examples in split 'train', found none"):
        divide_without(write_examples(records), "empty", forget(*CLIENTS))


def test_lost_key_stops_the_split(records, write_examples, divide_without, forget, tmp_path) -> None:
    omission = forget("bob")
    (tmp_path / ".clients" / "key").unlink()
    with pytest.raises(IntegrityError, match="put it back from a copy"):
        divide_without(write_examples(records), "lost", omission)
    assert not files_of_folder(tmp_path / "lost")


def files_of_folder(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_node_that_leaves_nobody_out_has_the_parameters_it_always_had(forget) -> None:
    def properties(omission: Omission | None) -> dict:
        channel = channel_utils.as_channel([standard_artifacts.Examples()])
        return FederatedSplit(channel, "by_key", {"key": "user"}, seed=1, forgotten=omission).exec_properties

    plain, told = properties(None), properties(forget("bob"))
    assert plain.get("forgotten") is None
    assert {name: value for name, value in told.items() if name != "forgotten"} == {
        name: value for name, value in plain.items() if name != "forgotten"
    }


def test_same_division_without_a_list_has_the_same_bytes_as_ever(records, write_examples, divide_without, divide) -> None:
    examples = write_examples(records)
    plain = divide(examples, strategy="by_key", out="plain", key="user", label="label")
    assert tree_digest(divide_without(examples, "again").uri) == tree_digest(plain.uri)
    assert "forgotten" not in json.loads((Path(plain.uri) / "partition.json").read_text())
