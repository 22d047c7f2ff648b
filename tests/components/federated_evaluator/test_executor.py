"""Client metrics on FederatedExamples that FederatedSplit's executor made, on real Beam."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components import FederatedExamples, evidence, scores
from components.artifacts import ClientMetrics
from components.federated_evaluator import executor, measuring
from components.federated_split import executor as split_executor
from errors import IntegrityError
from lineage.digests import tree_digest

PROCESSES = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
KERNEL = np.array([[2.0], [0.0], [0.0]])
RANDOM = np.random.default_rng(11)
X = RANDOM.normal(size=[400, 3])
Y = (X[:, 0] + RANDOM.normal(scale=0.5, size=400) > 0).astype(int)


@pytest.fixture(scope="module")
def federated(tmp_path_factory: pytest.TempPathFactory, judged_records) -> FederatedExamples:
    """400 examples on 24 clients of very uneven size, of which 3 are held out, and half of the others' examples."""
    folder = tmp_path_factory.mktemp("divided")
    examples, federated = standard_artifacts.Examples(), FederatedExamples()
    examples.uri, examples.split_names = str(folder / "examples"), json.dumps(["train"])
    (folder / "examples" / "Split-train").mkdir(parents=True)
    with tf.io.TFRecordWriter(str(folder / "examples" / "Split-train" / "data.gz"), "GZIP") as writer:
        for record in judged_records(X, Y):
            writer.write(record)
    federated.uri = str(folder / "federated")
    Path(federated.uri).mkdir()
    parameters = {"clients": 24, "alpha": 0.3, "label": "y", "holdout": 0.5, "holdout_clients": 3, "block_bytes": 400}
    properties = {"strategy": "dirichlet", "parameters": json.dumps(parameters), "seed": 4, "code_version": "1"}
    split_executor.Executor().Do({"examples": [examples]}, {"federated_examples": [federated]}, properties)
    return federated


@pytest.fixture
def evaluate(tmp_path: Path, federated, judged_module) -> Callable[..., ClientMetrics]:
    """Runs the executor on the binary module into a new directory of the given name; inputs by keyword."""

    def run(out: str, min_clients: int = 5, batch_size: int = 32, beam: Any = (), **inputs: Any) -> ClientMetrics:
        finding = ClientMetrics()
        finding.uri = str(tmp_path / out)
        properties = {
            "module": judged_module("binary"),
            "module_digest": "0",
            "kind": "binary",
            "metrics": json.dumps(scores.chosen("binary", None, scores.CLIENT_KINDS)),
            "batch_size": batch_size,
            "min_clients": min_clients,
            "code_version": "1",
        }
        given = {"federated_examples": federated, **inputs}
        given = {key: value if isinstance(value, list) else [value] for key, value in given.items()}
        context = executor.Executor.Context(beam_pipeline_args=list(beam))
        executor.Executor(context).Do(given, {"client_metrics": [finding]}, properties)
        return finding

    return run


def summary(finding: ClientMetrics) -> dict[str, Any]:
    return json.loads(Path(finding.uri, "summary.json").read_text())


def expected(uri: str, kernel: np.ndarray) -> dict[str, list[Any]]:
    """The table as Keras and scikit-learn make it, client by client."""
    from sklearn.metrics import roc_auc_score

    clients = FederatedExamples.open(uri, "eval")
    rows: dict[str, list[Any]] = {"client": [], "held_out": [], "examples": [], "BinaryAccuracy": [], "AUC": []}
    for number, client in enumerate(clients.clients):
        features = {"x": tf.io.FixedLenFeature([3], tf.float32), "y": tf.io.FixedLenFeature([], tf.int64)}
        raw = next(iter(clients.client(client, features=features).batch(1000)))
        chances, labels = tf.sigmoid(raw["x"] @ kernel.astype(np.float32)), raw["y"].numpy()
        accuracy = tf.keras.metrics.BinaryAccuracy()
        accuracy.update_state(labels[:, None], chances)
        rows["client"].append(number)
        rows["held_out"].append(client in clients.held_out)
        rows["examples"].append(len(labels))
        rows["BinaryAccuracy"].append(pytest.approx(float(accuracy.result()), abs=1e-6))
        both = len(set(labels.tolist())) == 2
        rows["AUC"].append(pytest.approx(roc_auc_score(labels, chances)) if both else None)
    return rows


@pytest.mark.slow
def test_every_client_has_its_metrics_and_no_name(evaluate, federated, judged_model) -> None:
    good, constant = judged_model("binary", "chance", KERNEL), judged_model("binary", "one-chance", 0.0, [1.0])
    finding = evaluate("out", model=good, served=constant)
    found = pq.read_table(Path(finding.uri, "client_metrics.parquet")).to_pydict()
    right = expected(federated.uri, KERNEL)
    assert {key: found[key] for key in ("client", "held_out", "examples")} == {
        key: right[key] for key in ("client", "held_out", "examples")
    }
    assert sum(found["held_out"]) == 3
    assert 1 in found["examples"]
    for metric in ("BinaryAccuracy", "AUC"):
        assert found[f"candidate:{metric}"] == right[metric]
    assert None in found["candidate:AUC"]
    assert {value for value in found["served:AUC"] if value is not None} == {0.5}
    told = summary(finding)
    assert told["examples"] == sum(found["examples"])
    assert told["non_finite"] == {"candidate": 0, "served": 0}
    accuracy, auc = told["metrics"]["BinaryAccuracy"]["candidate"], told["metrics"]["AUC"]["candidate"]
    values = np.array(found["candidate:BinaryAccuracy"])
    assert accuracy["quantiles"]["0.1"] == pytest.approx(np.quantile(values, 0.1))
    assert accuracy["worst_decile"] == pytest.approx(np.sort(values)[: len(values) // 10].mean())
    assert accuracy["weighted_mean"] == pytest.approx(np.average(values, weights=found["examples"]))
    assert auc["undefined"] == found["candidate:AUC"].count(None)
    assert (finding.get_int_custom_property("clients"), finding.get_int_custom_property("shown")) == (len(values), 1)
    assert evidence.problem(finding, good, constant) is None
    assert "client_0" not in Path(finding.uri, "clients.svg").read_text()
    assert len(list(Path(finding.uri).iterdir())) == 3


@pytest.mark.slow
def test_same_clients_give_the_same_bytes_whatever_the_batches_parts_and_runner(evaluate, judged_model, monkeypatch) -> None:
    model = judged_model("binary", "chance", KERNEL)
    findings = [
        evaluate("one", model=model),
        evaluate("two", model=model, served=[]),
        evaluate("small", model=model, batch_size=7),
        evaluate("processes", model=model, beam=PROCESSES),
    ]
    monkeypatch.setattr(measuring, "_PART_EXAMPLES", 40)
    findings.append(evaluate("parts", model=model))
    assert len({tree_digest(finding.uri) for finding in findings}) == 1


def test_of_too_few_clients_nothing_is_told_but_how_many_they_are(evaluate, federated, judged_model) -> None:
    clients = len(FederatedExamples.open(federated.uri, "eval"))
    finding = evaluate("few", min_clients=clients + 1, model=judged_model("binary", "chance", KERNEL))
    assert summary(finding) == {
        "format": 1,
        "evaluated": True,
        "shown": False,
        "clients": clients,
        "min_clients": clients + 1,
    }
    assert [path.name for path in Path(finding.uri).iterdir()] == ["summary.json"]
    assert finding.get_int_custom_property("shown") == 0
    assert summary(evaluate("enough", min_clients=clients, model=judged_model("binary", "chance", KERNEL)))["shown"]


@pytest.mark.slow
def test_a_model_of_nan_is_a_finding_and_not_an_error(evaluate, judged_model) -> None:
    told = summary(evaluate("out", model=judged_model("binary", "nan-chance", np.nan)))
    assert told["non_finite"] == {"candidate": told["examples"]}
    for of_metric in told["metrics"].values():
        assert of_metric["candidate"]["undefined"] == told["clients"]
        assert of_metric["candidate"]["worst_decile"] is None


@pytest.mark.slow
def test_a_model_that_fails_on_some_examples_has_no_metrics_of_any_client(evaluate, judged_model, tmp_path) -> None:
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def answer(examples: Any) -> dict[str, Any]:
        x = tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([3], tf.float32)})["x"]
        return {"predictions": tf.gather(tf.zeros([1]), tf.cast(x[:, 0] > 1.5, tf.int64))}

    network, picky = tf.Module(), standard_artifacts.Model()
    network.answer, picky.uri, picky.id = answer, str(tmp_path / "picky"), 99
    tf.saved_model.save(network, str(tmp_path / "picky" / "Format-Serving"), signatures={"serve_examples": answer})
    good = judged_model("binary", "chance", KERNEL)
    findings = [evaluate(f"of-{size}", model=picky, served=good, batch_size=size) for size in (8, 32)]
    told = summary(findings[0])
    assert told["non_finite"] == {"candidate": told["examples"], "served": 0}
    assert told["problems"]["candidate"].endswith("an index is outside of the valid range of [0, 1).")
    assert told["metrics"]["BinaryAccuracy"]["candidate"]["undefined"] == told["clients"]
    assert len({tree_digest(finding.uri) for finding in findings}) == 1


def test_a_model_that_must_not_be_loaded_is_not(evaluate, judged_model, serving_report) -> None:
    model = judged_model("binary", "chance", KERNEL)
    finding = evaluate("out", model=model, serving_report=serving_report(model, loadable=False))
    assert summary(finding) == {"format": 1, "evaluated": False}
    assert evidence.problem(finding, model) is None


def test_altered_clients_are_refused(evaluate, federated, judged_model, tmp_path: Path) -> None:
    import shutil

    altered = FederatedExamples()
    altered.uri = str(tmp_path / "altered")
    shutil.copytree(federated.uri, altered.uri)
    altered.set_string_custom_property("digest", federated.get_string_custom_property("digest"))
    shard = next(Path(altered.uri, "Split-eval").glob("clients-*"))
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    with pytest.raises(IntegrityError, match="as published"):
        evaluate("out", federated_examples=altered, model=judged_model("binary", "chance", KERNEL))
