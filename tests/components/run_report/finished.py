"""A finished run as RunReport finds it: real files in the directories, and the graph that ML Metadata gives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.deploy_gate.evaluation import Evaluation, Key
from components.run_report import facts as facts_of
from components.run_report.roles import ROLES
from components.run_report.sources import Sources
from lineage.graph import COMPLETE, LIVE, Artifact, Execution, Graph, Run, Use

START = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)
CLIENT = "client-of-whom-nobody-may-know"
ACCURACY = "SparseCategoricalAccuracy"
CARD = {
    "title": "Digits & <script>alert(1)</script>",
    "description": "What is written?",
    "intended_use": ["To show", 'a "whole" run | with a bar'],
    "license": "CC BY 4.0",
}
# Node -> what it takes, as roles.
TAKEN = {
    "ExampleGen": [],
    "StatisticsGen": ["examples"],
    "SchemaGen": ["statistics"],
    "ExampleValidator": ["statistics", "schema"],
    "FederatedSplit": ["examples"],
    "Trainer": ["examples"],
    "FederatedTrainer": ["federated_examples"],
    "BaselineEvaluator": ["examples", "central_model"],
    "ServingCheck": ["examples", "federated_model"],
    "PairedEvaluator": ["examples", "federated_model", "central_model", "serving_report"],
    "Evaluator": ["examples", "federated_model", "serving_report", "paired_scores"],
    "FederatedEvaluator": ["federated_examples", "federated_model", "serving_report"],
    "DeployGate": ["federated_model", "serving_report", "paired_scores", "evaluation", "client_metrics"],
    "Pusher": ["federated_model", "blessing"],
}
MODEL_FACTS = {
    "algorithm": "fedavg",
    "rounds": 3,
    "clients": 20,
    "exported": "last",
    "exported_round": 3,
    "least_clients": 9,
    "largest_weight_share": 0.25,
    "excluded_updates": 0,
    "sampling_digest": "5a" * 16,
}
PRIVATE = {
    "epsilon": 2.5,
    "epsilon_total": 4.0,
    "delta": 1e-5,
    "privacy_unit": "client level",
    "noise": "secret",
    "noise_multiplier": 1.1,
}
CHECKS = [
    {
        "verdict": "passed",
        "what": "accuracy",
        "observed": "0.9",
        "required": "at least 0.8",
        "judge": "Evaluator",
        "forceable": True,
    },
    {
        "verdict": "passed",
        "what": "files",
        "observed": "unaltered",
        "required": "unaltered",
        "judge": "DeployGate",
        "forceable": False,
    },
]
DECISION = {
    "blessed": True,
    "passed": True,
    "decided_at": START.isoformat(),
    "served": None,
    "override": None,
    "approvals": [],
    "checks": CHECKS,
}


def overall(values: Mapping[str, Mapping[str, float]]) -> dict[str, dict[Key, float]]:
    """Model -> metric -> value, as an Evaluation has them."""
    return {model: {Key(name, ""): value for name, value in of.items()} for model, of in values.items()}


EVALUATION = Evaluation(
    {
        (): overall({"candidate": {"sparse_categorical_accuracy": 0.9, "example_count": 50.0}}),
        (("label", "3"),): overall({"candidate": {"sparse_categorical_accuracy": 0.8, "example_count": 20.0}}),
        (("label", "7"),): overall({"candidate": {"sparse_categorical_accuracy": 0.6, "example_count": 30.0}}),
    }
)


class Made:
    """The run; roles can be left out, and artifacts given other properties."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.properties: dict[str, dict[str, Any]] = {
            "federated_model": dict(MODEL_FACTS),
            "examples": {"num_examples_train": 1200, "num_examples_eval": 50, "input_fingerprint": "f1" * 32},
            "pushed_model": {
                "pushed": 1,
                "live": 1,
                "pushed_version": "17",
                "pushed_destination": "/models/digits/17",
                "digest": "ab" * 32,
            },
        }
        self.without: set[str] = set()
        self.card: dict[str, Any] | None = CARD
        for role in ROLES:
            (root / role).mkdir()
        _write_files(root)

    def sources(self) -> Sources:
        """Returns what RunReport sees."""
        numbers = {role: number for number, role in enumerate(ROLES, start=1)}
        artifacts = {
            role: self._artifact(role, numbers[role]) for role in ROLES if role not in {"served_model", "infra_blessing"}
        }
        executions = {number: _execution(number, node) for number, node in enumerate(TAKEN, start=1)}
        uses = [
            Use(number, numbers[role], ROLES[role][1], 0, True, START)
            for number, one in executions.items()
            for role in artifacts
            if ROLES[role][0] == one.node
        ]
        uses += [
            Use(number, numbers[role], role, 0, False, START) for number, one in executions.items() for role in TAKEN[one.node]
        ]
        run = Run(1, "run-1", "digits", {"git_commit": "c0ffee", "version_tfx": "1.15.1", "seed": 42}, START)
        earlier = Run(2, "run-0", "digits", {"git_commit": "bead"}, START)
        graph = Graph({one.id: one for one in artifacts.values()}, executions, tuple(uses), {"run-1": run, "run-0": earlier})
        return Sources("digits", "run-1", {r: a for r, a in artifacts.items() if r not in self.without}, graph, self.card)

    def facts(self) -> dict[str, Any]:
        """Returns what is known of it."""
        return facts_of.collect(self.sources(), lambda uri: EVALUATION, START)

    def _artifact(self, role: str, number: int) -> Artifact:
        properties = {"digest": f"{number:02x}" * 32, **self.properties.get(role, {})}
        kind = "PushedModel" if role == "pushed_model" else role.title().replace("_", "")
        return Artifact(number, kind, str(self.root / role), LIVE, "", properties, START)


def _execution(number: int, node: str) -> Execution:
    settings = {"rounds": 3, "batch_size": 10, "participation": {"quorum": 2, "retries": None}}
    properties = {"code_version": f"{number:04d}", "settings": json.dumps(settings), "seed": 42}
    run = "run-0" if node == "ExampleGen" else "run-1"
    return Execution(
        number, f"components.{node}", node, "digits", run, COMPLETE, properties, START, START + timedelta(seconds=2)
    )


def _write_files(root: Path) -> None:
    (root / "federated_run" / "rounds.csv").write_text(
        "round,sampled,loss,accuracy,heldout_loss,cohort\n1,10,2.0,0.5,,aa\n2,10,1.0,0.7,1.25,bb\n3,10,0.5,0.9,0.75,cc\n"
    )
    partition = {
        "strategy": "dirichlet",
        "parameters": {"alpha": 0.5, "matrix": [[1]]},
        "seed": 42,
        "num_clients": 20,
        "num_examples": 1200,
        "examples_per_client": {"min": 10, "max": 90, "median": 55.5},
        "heterogeneity": {"label_divergence": 0.25},
        "eval": {"num_clients": 20, "num_examples": 300},
    }
    write_json(root / "federated_examples" / "partition.json", partition)
    (root / "federated_examples" / "index.parquet").write_bytes(CLIENT.encode())
    spread = {"mean": 0.9, "worst_decile": 0.7, "quantiles": {"0": 0.6, "0.5": 0.95, "1": 1.0}}
    clients = {"evaluated": True, "shown": True, "clients": 20, "examples": 300, "metrics": {ACCURACY: {"candidate": spread}}}
    write_json(root / "client_metrics" / "summary.json", clients)
    (root / "client_metrics" / "clients.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" class="clients"><title>clients</title></svg>'
    )
    scores = {f"candidate:{ACCURACY}": np.arange(50) < 45, f"baseline:{ACCURACY}": np.arange(50) < 25}
    pq.write_table(pa.table({name: of.astype(float) for name, of in scores.items()}), root / "paired_scores" / "scores.parquet")
    summary = {"metrics": [ACCURACY], "examples": 50, "constant": {ACCURACY: 0.12}}
    write_json(root / "paired_scores" / "summary.json", summary)
    server = {
        "load_seconds": 0.5,
        "memory_bytes": 5_000_000,
        "latency_ms": {"rest": {"p50": 1.5, "p99": 4.0}},
        "max_difference": {"rest": 1e-7},
    }
    report = {"loadable": True, "size_bytes": 270_000, "weights": {"values": 33802}, "server": {**server, "problem": None}}
    write_json(root / "serving_report" / "serving_report.json", report)
    write_json(root / "decision" / "decision.json", DECISION)
    (root / "schema" / "schema.pbtxt").write_text(
        'feature { name: "image" type: BYTES presence { min_fraction: 1.0 } shape { dim { size: 1 } } }'
    )


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
