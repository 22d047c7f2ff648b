"""Keys and ComponentSpec of RunReport."""

from __future__ import annotations

from tfx.types import component_spec, standard_artifacts

from components import artifacts

REPORT_KEY = "report"

NAME_KEY = "name"
CARD_KEY = "card"
METADATA_KEY = "metadata"

MODEL_ID, MODEL_DIGEST, BLESSED, DIGEST = "model_id", "model_digest", "blessed", "digest"
"""Custom properties of the output; see artifacts.RunReport."""

_TYPES = {
    "examples": standard_artifacts.Examples,
    "statistics": standard_artifacts.ExampleStatistics,
    "schema": standard_artifacts.Schema,
    "anomalies": standard_artifacts.ExampleAnomalies,
    "federated_examples": artifacts.FederatedExamples,
    "federated_model": standard_artifacts.Model,
    "federated_run": standard_artifacts.ModelRun,
    "central_model": standard_artifacts.Model,
    "central_run": standard_artifacts.ModelRun,
    "baseline_evaluation": standard_artifacts.ModelEvaluation,
    "served_model": standard_artifacts.Model,
    "serving_report": artifacts.ServingReport,
    "paired_scores": artifacts.PairedScores,
    "evaluation": standard_artifacts.ModelEvaluation,
    "client_metrics": artifacts.ClientMetrics,
    "infra_blessing": standard_artifacts.InfraBlessing,
    "decision": artifacts.GateDecision,
    "blessing": standard_artifacts.ModelBlessing,
    "pushed_model": standard_artifacts.PushedModel,
}


class RunReportSpec(component_spec.ComponentSpec):
    """ComponentSpec of RunReport; inputs are the roles of roles.py, all optional, parameters are described in component.py."""

    PARAMETERS = {
        NAME_KEY: component_spec.ExecutionParameter(type=str),
        CARD_KEY: component_spec.ExecutionParameter(type=str),
        METADATA_KEY: component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {role: component_spec.ChannelParameter(type=kind, optional=True) for role, kind in _TYPES.items()}
    OUTPUTS = {REPORT_KEY: component_spec.ChannelParameter(type=artifacts.RunReport)}
