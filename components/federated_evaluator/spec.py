"""Keys and ComponentSpec of FederatedEvaluator; those that it shares with PairedEvaluator are in `components.judged`."""

from __future__ import annotations

from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components import judged
from components.artifacts import ClientMetrics, FederatedExamples, ServingReport

FEDERATED_EXAMPLES = "federated_examples"
MIN_CLIENTS = "min_clients"
CLIENT_METRICS = "client_metrics"

# Custom properties of ClientMetrics, besides those of `components.evidence`.
CLIENTS, SHOWN = "clients", "shown"


class FederatedEvaluatorSpec(ComponentSpec):
    """The parameters are described in component.py."""

    PARAMETERS = {
        judged.MODULE: ExecutionParameter(type=str),
        judged.MODULE_DIGEST: ExecutionParameter(type=str),
        judged.KIND: ExecutionParameter(type=str),
        judged.METRICS: ExecutionParameter(type=str),
        judged.BATCH_SIZE: ExecutionParameter(type=int),
        MIN_CLIENTS: ExecutionParameter(type=int),
        judged.CODE_VERSION: ExecutionParameter(type=str),
    }
    INPUTS = {
        FEDERATED_EXAMPLES: ChannelParameter(type=FederatedExamples),
        judged.MODEL: ChannelParameter(type=standard_artifacts.Model),
        judged.SERVING_REPORT: ChannelParameter(type=ServingReport, optional=True),
        judged.SERVED_MODEL: ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS = {CLIENT_METRICS: ChannelParameter(type=ClientMetrics)}
