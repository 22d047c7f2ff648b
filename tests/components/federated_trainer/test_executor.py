"""The executor on artifacts that FederatedSplit's executor made."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components import FederatedExamples
from components.federated_split import executor as split_executor
from components.federated_trainer import executor
from errors import IntegrityError
from lineage.digests import tree_digest


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
def do(make_job, federated):
    """Runs the executor on the linear model, two clients in each of two rounds; returns the model and the run."""

    def run(
        name: str, base_model: standard_artifacts.Model | None = None, **settings: object
    ) -> tuple[standard_artifacts.Model, standard_artifacts.ModelRun]:
        model, model_run = standard_artifacts.Model(), standard_artifacts.ModelRun()
        job = make_job(name, federated.uri, **{"rounds": 2, "clients_per_round": 2, **settings})
        model.uri, model_run.uri = job.model_dir, job.run_dir
        properties = {
            "module": job.module,
            "module_digest": "0123",
            "settings": json.dumps(job.settings),
            "seed": job.seed,
            "state_dir": job.state_dir,
            "code_version": "1",
        }
        inputs, outputs = {"federated_examples": [federated]}, {"model": [model], "model_run": [model_run]}
        if base_model:
            inputs["base_model"] = [base_model]
        executor.Executor().Do(inputs, outputs, properties)
        return model, model_run

    return run


def properties(model: standard_artifacts.Model) -> dict[str, object]:
    values = model.mlmd_artifact.custom_properties
    return {key: getattr(value, value.WhichOneof("value")) for key, value in values.items()}


@pytest.mark.slow
def test_a_model_says_how_it_came_about_and_names_no_client(do, records) -> None:
    model, model_run = do("good")
    facts = properties(model)
    assert facts.pop("train_loss") > 0
    assert 0 < facts.pop("largest_weight_share") <= 1
    assert len(facts.pop("sampling_digest")) == 32
    assert facts.pop("module")
    assert facts == {
        "algorithm": "fedavg",
        "rounds": 2,
        "clients": 4,
        "clients_per_round": 2,
        "exported": "last",
        "exported_round": 2,
        "attempts": 2,
        "excluded_updates": 0,
        "least_clients": 2,
        "digest": tree_digest(model.uri),
        "module_digest": "0123",
        "code_version": "1",
    }
    served = tf.saved_model.load(str(Path(model.uri, "Format-Serving")))
    answer = served.signatures["regress"](inputs=tf.constant(records(5, 2)))["outputs"]
    assert answer.shape == [5, 1]
    assert Path(model_run.uri, "rounds.csv").is_file()


@pytest.mark.slow
def test_what_privacy_promises_is_on_the_model_and_in_the_run(do) -> None:
    model, model_run = do("private", weighting="uniform", privacy={"noise_multiplier": 0.5, "delta": 0.1})
    told = properties(model)
    assert told["epsilon"] == told["epsilon_total"] > 0
    assert (told["delta"], told["noise_multiplier"]) == (0.1, 0.5)
    assert told["privacy_unit"] == "client level, replace one client by another, delta=0.1"
    assert max(len(str(value)) for value in told.values()) < 100
    assert json.loads(Path(model_run.uri, "privacy.json").read_text())["epsilon"] == told["epsilon"]


@pytest.mark.slow
def test_a_training_goes_on_from_the_model_it_is_given(do, make_job, train, federated) -> None:
    base_model = standard_artifacts.Model()
    job = make_job("base", federated.uri, rounds=2, clients_per_round=2)
    base_model.uri = str(Path(job.model_dir).parent / "published")
    first = train(replace(job, model_dir=str(Path(base_model.uri, "Format-Serving"))))
    base_model.set_string_custom_property("digest", tree_digest(base_model.uri))
    still, _ = do("still", base_model, client_learning_rate=1e-12)
    found = tf.keras.models.load_model(str(Path(still.uri, "Format-Serving")), compile=False).get_weights()
    assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(first.weights, found, strict=True))


def test_a_model_to_begin_with_that_was_changed_is_not_trained_on(do, folder) -> None:
    base_model = standard_artifacts.Model()
    base_model.uri = str(folder / "base")
    (folder / "base" / "Format-Serving").mkdir(parents=True)
    (folder / "base" / "Format-Serving" / "saved_model.pb").write_text("graph")
    base_model.set_string_custom_property("digest", "0123456789abcdef")
    with pytest.raises(IntegrityError) as caught:
        do("warm", base_model)
    assert str(caught.value).startswith(f"expected the base model at {base_model.uri} as published (digest 0123456789ab), got")
    assert str(caught.value).endswith("run again with --from Trainer.")


def test_examples_that_were_changed_are_not_trained_on(do, federated) -> None:
    shard = next(path for path in Path(federated.uri, "Split-train").glob("clients-*") if path.stat().st_size)
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        with pytest.raises(IntegrityError) as caught:
            do("tampered")
    finally:
        shard.write_bytes(whole)
    assert str(caught.value).startswith(f"expected the federated examples at {federated.uri} as published (digest ")
    assert str(caught.value).endswith("run again with --from FederatedSplit.")


def test_examples_that_nobody_published_are_not_trained_on(do, federated) -> None:
    digest = federated.get_string_custom_property("digest")
    federated.set_string_custom_property("digest", "")
    try:
        with pytest.raises(IntegrityError, match=r"as published \(digest none\)"):
            do("unpublished")
    finally:
        federated.set_string_custom_property("digest", digest)
