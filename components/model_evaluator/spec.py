"""Inputs, parameters and outputs of the Evaluator node: the stock ones that are used, and what is looked at first."""

from __future__ import annotations

import tensorflow_model_analysis as tfma
from tfx.types import standard_artifacts
from tfx.types import standard_component_specs as keys
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.types.system_executions import Evaluate

from components import artifacts, judged

PAIRED_SCORES = "paired_scores"

NOT_EVALUATED_FILE = "not_evaluated.json"  # {"reason": ...}: all that such an evaluation holds


class ModelEvaluatorSpec(ComponentSpec):
    """See component.ModelEvaluator."""

    PARAMETERS = {
        keys.EVAL_CONFIG_KEY: ExecutionParameter(type=tfma.EvalConfig),
        judged.CODE_VERSION: ExecutionParameter(type=str),
    }
    INPUTS = {
        keys.EXAMPLES_KEY: ChannelParameter(type=standard_artifacts.Examples),
        keys.MODEL_KEY: ChannelParameter(type=standard_artifacts.Model),
        keys.BASELINE_MODEL_KEY: ChannelParameter(type=standard_artifacts.Model, optional=True),
        judged.SERVING_REPORT: ChannelParameter(type=artifacts.ServingReport),
        PAIRED_SCORES: ChannelParameter(type=artifacts.PairedScores),
    }
    OUTPUTS = {
        keys.EVALUATION_KEY: ChannelParameter(type=standard_artifacts.ModelEvaluation),
    }
    TYPE_ANNOTATION = Evaluate
