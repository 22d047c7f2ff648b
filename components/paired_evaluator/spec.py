"""Keys and ComponentSpec of PairedEvaluator; those that it shares with FederatedEvaluator are in `components.judged`."""

from __future__ import annotations

from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components import judged
from components.artifacts import PairedScores, ServingReport

EXAMPLES = "examples"
PAIRED_SCORES = "paired_scores"


class PairedEvaluatorSpec(ComponentSpec):
    """The parameters are described in component.py."""

    PARAMETERS = {
        judged.MODULE: ExecutionParameter(type=str),
        judged.MODULE_DIGEST: ExecutionParameter(type=str),
        judged.KIND: ExecutionParameter(type=str),
        judged.METRICS: ExecutionParameter(type=str),
        judged.BATCH_SIZE: ExecutionParameter(type=int),
        judged.CODE_VERSION: ExecutionParameter(type=str),
    }
    INPUTS = {
        EXAMPLES: ChannelParameter(type=standard_artifacts.Examples),
        judged.MODEL: ChannelParameter(type=standard_artifacts.Model),
        judged.SERVING_REPORT: ChannelParameter(type=ServingReport, optional=True),
        judged.SERVED_MODEL: ChannelParameter(type=standard_artifacts.Model, optional=True),
        judged.BASELINE_MODEL: ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS = {PAIRED_SCORES: ChannelParameter(type=PairedScores)}
