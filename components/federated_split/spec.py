"""The keys and the ComponentSpec of FederatedSplit."""

from __future__ import annotations

from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.artifacts import FederatedExamples

EXAMPLES = "examples"
FEDERATED_EXAMPLES = "federated_examples"
STRATEGY = "strategy"
PARAMETERS_JSON = "parameters"
SEED = "seed"
CODE_VERSION = "code_version"
FORGOTTEN = "forgotten"


class FederatedSplitSpec(ComponentSpec):
    """Examples in, FederatedExamples out; `parameters` is JSON, so that new strategies need no new keys.

    `forgotten` is a `lineage.forgotten.Omission` as text, and not there while nobody was forgotten.
    """

    PARAMETERS = {
        STRATEGY: ExecutionParameter(type=str),
        PARAMETERS_JSON: ExecutionParameter(type=str),
        SEED: ExecutionParameter(type=int),
        CODE_VERSION: ExecutionParameter(type=str),
        FORGOTTEN: ExecutionParameter(type=str, optional=True),
    }
    INPUTS = {EXAMPLES: ChannelParameter(type=standard_artifacts.Examples)}
    OUTPUTS = {FEDERATED_EXAMPLES: ChannelParameter(type=FederatedExamples)}
