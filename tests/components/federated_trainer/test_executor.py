"""The executor on artifacts that FederatedSplit's executor made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components import FederatedExamples
from components.federated_split import executor as split_executor
from components.federated_trainer import executor
from errors import IntegrityError
from lineage.digests import tree_digest

SETTINGS = {
    "algorithm": "fedavg",
    "rounds": 2,
    "clients_per_round": 2,
    "local_epochs": 1,
    "batch_size": 4,
    "client_learning_rate": 0.1,
    "server_learning_rate": 1.0,
}


@pytest.fixture(scope="module")
def federated(folder: Path, records) -> FederatedExamples:
    """60 examples divided among four clients by the real executor."""
    examples = standard_artifacts.Examples()
    examples.uri, examples.split_names = str(folder / "examples"), json.dumps(["train"])
    (folder / "examples" / "Split-train").mkdir(parents=True)
    with tf.io.TFRecordWriter(str(folder / "examples" / "Split-train" / "data.gz"), "GZIP") as writer:
        for record in records(60, 1):
            writer.write(record)
    federated = FederatedExamples()
    federated.uri = str(folder / "federated")
    Path(federated.uri).mkdir()
    properties = {"strategy": "iid", "parameters": json.dumps({"clients": 4}), "seed": 1, "code_version": "1"}
    split_executor.Executor().Do({"examples": [examples]}, {"federated_examples": [federated]}, properties)
    return federated


@pytest.fixture
def do(folder: Path, federated, write_module, linear_source):
    """Runs the executor; returns the model and the run."""

    def run(name: str) -> tuple[standard_artifacts.Model, standard_artifacts.ModelRun]:
        model, model_run = standard_artifacts.Model(), standard_artifacts.ModelRun()
        model.uri, model_run.uri = str(folder / name / "model"), str(folder / name / "run")
        properties = {
            "module": write_module(linear_source),
            "module_digest": "0123",
            "settings": json.dumps(SETTINGS),
            "seed": 1,
            "code_version": "1",
        }
        inputs, outputs = {"federated_examples": [federated]}, {"model": [model], "model_run": [model_run]}
        executor.Executor().Do(inputs, outputs, properties)
        return model, model_run

    return run


@pytest.mark.slow
def test_a_model_says_how_it_came_about_and_names_no_client(do, records) -> None:
    model, model_run = do("good")
    facts = {key: getattr(model, f"get_{kind}_custom_property")(key) for key, kind in FACTS.items()}
    assert facts.pop("train_loss") > 0
    assert facts.pop("private_network") in (0, 1)  # as the kernel allows; test_private_network tells
    assert facts == {
        "algorithm": "fedavg",
        "rounds": 2,
        "clients": 4,
        "clients_per_round": 2,
        "digest": tree_digest(model.uri),
    }
    assert set(model.mlmd_artifact.custom_properties) == {*FACTS}
    served = tf.saved_model.load(str(Path(model.uri, "Format-Serving")))
    answer = served.signatures["regress"](inputs=tf.constant(records(5, 2)))["outputs"]
    assert answer.shape == [5, 1]
    assert Path(model_run.uri, "rounds.csv").is_file()


FACTS = {
    "algorithm": "string",
    "rounds": "int",
    "clients": "int",
    "clients_per_round": "int",
    "private_network": "int",
    "train_loss": "float",
    "digest": "string",
}


def test_examples_that_were_changed_are_not_trained_on(do, federated) -> None:
    shard = next(path for path in Path(federated.uri, "Split-train").glob("clients-*") if path.stat().st_size)
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        with pytest.raises(IntegrityError) as caught:
            do("tampered")
    finally:
        shard.write_bytes(whole)
    assert "are not the ones that were published" in str(caught.value)
    assert str(caught.value).endswith("run again with --from FederatedSplit.")


def test_examples_that_nobody_published_are_not_trained_on(do, federated) -> None:
    digest = federated.get_string_custom_property("digest")
    federated.set_string_custom_property("digest", "")
    try:
        with pytest.raises(IntegrityError, match="expected none"):
            do("unpublished")
    finally:
        federated.set_string_custom_property("digest", digest)
