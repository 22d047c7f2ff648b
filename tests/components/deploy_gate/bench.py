"""A model before the gate, with findings of every judge in the formats that the judges write."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet
from tfx.types import standard_artifacts

from components import artifacts, evidence
from components.deploy_gate.case import Case, Live
from components.deploy_gate.executor import Executor
from components.deploy_gate.observers import Check, judge
from components.deploy_gate.requirements import requirements
from lineage.digests import tree_digest

ACCURACY, LOSS = "SparseCategoricalAccuracy", "SparseCategoricalCrossentropy"
SETTINGS: dict[str, Any] = {
    "kind": "classes",
    "first_deploy": "refuse",
    "thresholds": {ACCURACY: {"min": 0.9, "max": None}},
    "parameters": {},
    "change": {ACCURACY: {"min": -0.01, "max": None, "relative": False}},
    "metrics": [],
    "slices": [],
    "better_than_constant": True,
    "clients": {
        "metric": ACCURACY,
        "min_clients": 10,
        "min_examples": 1,
        "quantiles": {},
        "worst_decile": None,
        "dispersion": None,
        "worsened": None,
    },
    "baseline": {"metric": ACCURACY, "margin": 0.02, "relative": False, "confidence": 0.95, "resamples": 500},
    "privacy": None,
    "participation": {
        "min_clients_per_round": None,
        "min_rounds": None,
        "max_excluded_updates": None,
        "max_weight_share": None,
    },
    "serving": {
        "samples": 32,
        "requests": 200,
        "tolerance": 1e-4,
        "max_p50_ms": None,
        "max_p99_ms": None,
        "max_memory_mb": None,
        "max_size_mb": None,
        "allowed_ops": [],
    },
    "seed": 7,
}
REPORT: dict[str, Any] = {
    "format": 1,
    "loadable": True,
    "size_bytes": 2_000_000,
    "problems": [],
    "refused_ops": [],
    "weights": {"arrays": 4, "values": 1000, "non_finite": 0},
    "server": {
        "problem": None,
        "load_seconds": 0.8,
        "samples": 32,
        "requests": 200,
        "non_finite": 0,
        "errors": {"rest": 0, "grpc": 0},
        "max_difference": {"rest": 0.0, "grpc": 2e-7},
        "latency_ms": {"rest": {"p50": 2.0, "p99": 5.0}, "grpc": {"p50": 1.0, "p99": 8.0}},
        "memory_bytes": 300_000_000,
    },
}


class Bench:
    """Everything that the gate is given; each part can be changed before it is asked."""

    def __init__(self, root: Path) -> None:
        self.root, self.model_dir, self.next_id = root, root / "served" / "digits", 1
        self.settings = copy.deepcopy(SETTINGS)
        self.report = copy.deepcopy(REPORT)
        self.judges: list[str] = []
        self.approvals = ""
        self.state_dir = ""
        self.failed_nodes = ""
        self.served = self.make_model("served")
        self.model = self.make_model("candidate")
        self.serve(self.served)
        self.metrics = {
            (): {
                "candidate": {"sparse_categorical_accuracy": 0.95, "example_count": 1000},
                "baseline": {"sparse_categorical_accuracy": 0.94, "example_count": 1000},
            }
        }
        hits = np.arange(1000) % 20 != 0
        self.scores = {"candidate": {ACCURACY: hits}, "baseline": {ACCURACY: hits}, "served": {ACCURACY: hits}}
        self.paired = {"constant": {ACCURACY: 0.2}, "evaluated": True}
        self.clients = {"candidate": {ACCURACY: np.full(20, 0.9)}, "served": {ACCURACY: np.full(20, 0.9)}}
        self.client_examples = np.full(20, 50)
        self.client_summary: dict[str, Any] = {}
        self.inputs: dict[str, list[Any]] = {}

    def artifact(self, kind: type, name: str) -> Any:
        made = kind()
        made.id, self.next_id = self.next_id, self.next_id + 1
        folder = self.root / f"{made.id}-{name}"
        folder.mkdir()
        made.uri = str(folder)
        return made

    def make_model(self, weights: str) -> Any:
        model = self.artifact(standard_artifacts.Model, "model")
        export = Path(model.uri, "Format-Serving")
        export.mkdir()
        (export / "saved_model.pb").write_text(weights)
        model.set_string_custom_property("digest", tree_digest(model.uri))
        return model

    def serve(self, model: Any, version: int = 1) -> None:
        folder = self.model_dir / str(version)
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").write_bytes(Path(model.uri, "Format-Serving", "saved_model.pb").read_bytes())

    def write(self) -> dict[str, list[Any]]:
        """Writes all findings and returns the gate's inputs."""
        served = [self.served] if self.served else []
        self.inputs = {
            "model": [self.model],
            "served": served,
            "serving_report": [self.write_report()],
            "evaluation": [self.write_evaluation()],
            "paired_scores": [self.write_scores()],
            "client_metrics": [self.write_clients()],
        }
        return self.inputs

    def recorded(self, finding: Any, compares: bool = True) -> Any:
        evidence.record(finding, self.model, self.served if compares else None)
        return finding

    def write_report(self) -> Any:
        finding = self.artifact(artifacts.ServingReport, "report")
        Path(finding.uri, "serving_report.json").write_text(json.dumps(self.report))
        return self.recorded(finding, compares=False)

    def write_evaluation(self) -> Any:
        finding = self.artifact(standard_artifacts.ModelEvaluation, "evaluation")
        write_metrics(finding.uri, self.metrics)
        return self.recorded(finding)

    def write_scores(self) -> Any:
        finding = self.artifact(artifacts.PairedScores, "scores")
        columns = {f"{m}:{name}": np.asarray(v, np.float64) for m, values in self.scores.items() for name, v in values.items()}
        parquet.write_table(pa.table(columns), Path(finding.uri, "scores.parquet"))
        broken = {
            model: int(sum(~np.isfinite(np.asarray(v, np.float64)).all() for v in of.values()))
            for model, of in self.scores.items()
        }
        means = {model: {name: json_number(np.mean(v)) for name, v in of.items()} for model, of in self.scores.items()}
        summary = {
            "format": 1,
            "examples": len(next(iter(columns.values()))),
            "models": list(self.scores),
            "non_finite": broken,
            "problems": {},
        }
        Path(finding.uri, "summary.json").write_text(json.dumps({**summary, "means": means, **self.paired}))
        return self.recorded(finding)

    def write_clients(self) -> Any:
        finding = self.artifact(artifacts.ClientMetrics, "clients")
        sizes = np.asarray(self.client_examples, np.int64)
        shown = len(sizes) >= self.settings["clients"]["min_clients"]
        summary = {"format": 1, "evaluated": True, "shown": shown, "clients": len(sizes), "min_clients": 10}
        if shown:
            columns: dict[str, Any] = {"client": np.arange(len(sizes), dtype=np.int32), "examples": sizes}
            for model, metrics in self.clients.items():
                columns |= {f"{model}:{name}": pa.array(values, from_pandas=True) for name, values in metrics.items()}
            parquet.write_table(pa.table(columns), Path(finding.uri, "client_metrics.parquet"))
            summary |= {"examples": int(sizes.sum()), "non_finite": dict.fromkeys(self.clients, 0), "problems": {}}
        Path(finding.uri, "summary.json").write_text(json.dumps({**summary, **self.client_summary}))
        return self.recorded(finding)

    def case(self) -> Case:
        """What the observers see of the inputs as they are, written if they were not."""
        inputs = self.inputs or self.write()
        keys = {"ServingCheck": "serving_report", "Evaluator": "evaluation", "PairedEvaluator": "paired_scores"}
        keys["FederatedEvaluator"] = "client_metrics"
        return Case(
            settings=self.settings,
            model=self.model,
            model_node="FederatedTrainer",
            findings={judge: inputs[key][0] for judge, key in keys.items() if inputs.get(key)},
            served=self.served,
            live=Live.now(str(self.model_dir), self.model),
            infra_blessing=next(iter(inputs.get("infra_blessing", [])), None),
            failed_nodes=self.failed_nodes,
            state_dir=self.state_dir,
        )

    def checks(self) -> dict[str, Check]:
        """All checks, by id."""
        return {check.id: check for check in judge(requirements(self.settings, self.judges), self.case())}

    def check(self, name: str) -> Check:
        """The one check."""
        required = [each for each in requirements(self.settings, self.judges) if each.id == name]
        (check,) = judge(required, self.case())
        return check

    def verdict(self, name: str) -> str:
        return self.check(name).verdict

    def decide(self) -> tuple[dict[str, Any], Any, Any]:
        """Runs the executor; returns decision.json, the blessing and the GateDecision."""
        inputs = self.inputs or self.write()
        blessing = self.artifact(standard_artifacts.ModelBlessing, "blessing")
        decision = self.artifact(artifacts.GateDecision, "decision")
        properties = {
            "settings": json.dumps(self.settings),
            "judges": json.dumps(self.judges),
            "model_node": "FederatedTrainer",
            "model_dir": str(self.model_dir),
            "state_dir": self.state_dir,
            "approvals": str(self.approvals),
            "failed_nodes": self.failed_nodes,
        }
        Executor().Do(inputs, {"blessing": [blessing], "decision": [decision]}, properties)
        return json.loads(Path(decision.uri, "decision.json").read_text()), blessing, decision


def json_number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def write_metrics(uri: str, metrics: Mapping[tuple[tuple[str, str | bytes], ...], Mapping[str, Mapping[str, float]]]) -> None:
    """Writes metrics as TFMA does: slice -> model -> name -> value."""
    import tensorflow as tf
    from tensorflow_model_analysis.proto import metrics_for_slice_pb2, validation_result_pb2

    with tf.io.TFRecordWriter(f"{uri}/metrics.tfrecord") as writer:
        for slice_key, models in metrics.items():
            message = metrics_for_slice_pb2.MetricsForSlice()
            for column, value in slice_key:
                message.slice_key.single_slice_keys.add(
                    column=column, bytes_value=value if isinstance(value, bytes) else value.encode()
                )
            for model, values in models.items():
                for name, value in values.items():
                    item = message.metric_keys_and_values.add()
                    item.key.name, item.key.model_name = name, model
                    item.value.double_value.value = value
            writer.write(message.SerializeToString())
    with tf.io.TFRecordWriter(f"{uri}/validations.tfrecord") as writer:
        writer.write(validation_result_pb2.ValidationResult(validation_ok=True).SerializeToString())
