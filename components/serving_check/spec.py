"""The keys and the ComponentSpec of ServingCheck."""

from __future__ import annotations

from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.artifacts import ServingReport

MODEL = "model"
EXAMPLES = "examples"
SERVING_REPORT = "serving_report"
MODULE = "module"
MODULE_DIGEST = "module_digest"
SETTINGS = "settings"
SEED = "seed"
CODE_VERSION = "code_version"


class ServingCheckSpec(ComponentSpec):
    """Model and Examples in, ServingReport out; `settings` is the `serving` part of the gate's settings as JSON."""

    PARAMETERS = {
        MODULE: ExecutionParameter(type=str),
        MODULE_DIGEST: ExecutionParameter(type=str),
        SETTINGS: ExecutionParameter(type=str),
        SEED: ExecutionParameter(type=int),
        CODE_VERSION: ExecutionParameter(type=str),
    }
    INPUTS = {
        MODEL: ChannelParameter(type=standard_artifacts.Model),
        EXAMPLES: ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS = {SERVING_REPORT: ChannelParameter(type=ServingReport)}
