"""Keys and ComponentSpec of DeployGate, and what its blessing says beyond the stock one."""

from __future__ import annotations

from tfx.types import component_spec, standard_artifacts

from components.artifacts import ClientMetrics, GateDecision, PairedScores, ServingReport

MODEL_KEY = "model"
EVALUATION_KEY = "evaluation"
SERVING_REPORT_KEY = "serving_report"
PAIRED_SCORES_KEY = "paired_scores"
CLIENT_METRICS_KEY = "client_metrics"
SERVED_KEY = "served"
INFRA_BLESSING_KEY = "infra_blessing"
BLESSING_KEY = "blessing"
DECISION_KEY = "decision"

SETTINGS_KEY = "settings"
MODEL_NODE_KEY = "model_node"
MODEL_DIR_KEY = "model_dir"
JUDGES_KEY = "judges"
STATE_DIR_KEY = "state_dir"
APPROVALS_KEY = "approvals"


class DeployGateSpec(component_spec.ComponentSpec):
    """ComponentSpec of DeployGate; the parameters are described in component.py."""

    PARAMETERS = {
        SETTINGS_KEY: component_spec.ExecutionParameter(type=str),
        MODEL_NODE_KEY: component_spec.ExecutionParameter(type=str),
        MODEL_DIR_KEY: component_spec.ExecutionParameter(type=str),
        JUDGES_KEY: component_spec.ExecutionParameter(type=str),
        STATE_DIR_KEY: component_spec.ExecutionParameter(type=str),
        APPROVALS_KEY: component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        MODEL_KEY: component_spec.ChannelParameter(type=standard_artifacts.Model),
        EVALUATION_KEY: component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation, optional=True),
        SERVING_REPORT_KEY: component_spec.ChannelParameter(type=ServingReport, optional=True),
        PAIRED_SCORES_KEY: component_spec.ChannelParameter(type=PairedScores, optional=True),
        CLIENT_METRICS_KEY: component_spec.ChannelParameter(type=ClientMetrics, optional=True),
        SERVED_KEY: component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True),
        INFRA_BLESSING_KEY: component_spec.ChannelParameter(type=standard_artifacts.InfraBlessing, optional=True),
    }
    OUTPUTS = {
        BLESSING_KEY: component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
        DECISION_KEY: component_spec.ChannelParameter(type=GateDecision),
    }
