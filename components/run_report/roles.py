"""Which artifact of a run is what to a report: role -> the nodes that may make it, and under which output key."""

from __future__ import annotations

ROLES: dict[str, tuple[str, str]] = {
    "examples": ("ExampleGen", "examples"),
    "statistics": ("StatisticsGen", "statistics"),
    "schema": ("SchemaGen", "schema"),
    "anomalies": ("ExampleValidator", "anomalies"),
    "federated_examples": ("FederatedSplit", "federated_examples"),
    "federated_model": ("FederatedTrainer", "model"),
    "federated_run": ("FederatedTrainer", "model_run"),
    "central_model": ("Trainer", "model"),
    "central_run": ("Trainer", "model_run"),
    "baseline_evaluation": ("BaselineEvaluator", "evaluation"),
    "served_model": ("ServedModel", "model"),
    "serving_report": ("ServingCheck", "serving_report"),
    "paired_scores": ("PairedEvaluator", "paired_scores"),
    "evaluation": ("Evaluator", "evaluation"),
    "client_metrics": ("FederatedEvaluator", "client_metrics"),
    "infra_blessing": ("InfraValidator", "blessing"),
    "decision": ("DeployGate", "decision"),
    "blessing": ("DeployGate", "blessing"),
    "pushed_model": ("Pusher", "pushed_model"),
}
