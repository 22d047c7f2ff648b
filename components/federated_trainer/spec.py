"""Keys and ComponentSpec of FederatedTrainer."""

from __future__ import annotations

from tfx.types import component_spec, standard_artifacts

from components.artifacts import FederatedExamples

FEDERATED_EXAMPLES_KEY = "federated_examples"
BASE_MODEL_KEY = "base_model"
MODEL_KEY = "model"
MODEL_RUN_KEY = "model_run"
MODULE_KEY = "module"
MODULE_DIGEST_KEY = "module_digest"
SETTINGS_KEY = "settings"
SEED_KEY = "seed"
STATE_DIR_KEY = "state_dir"
CODE_VERSION_KEY = "code_version"


class FederatedTrainerSpec(component_spec.ComponentSpec):
    """ComponentSpec of FederatedTrainer; the parameters are described in component.py."""

    PARAMETERS = {
        MODULE_KEY: component_spec.ExecutionParameter(type=str),
        MODULE_DIGEST_KEY: component_spec.ExecutionParameter(type=str),
        SETTINGS_KEY: component_spec.ExecutionParameter(type=str),
        SEED_KEY: component_spec.ExecutionParameter(type=int),
        STATE_DIR_KEY: component_spec.ExecutionParameter(type=str),
        CODE_VERSION_KEY: component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        FEDERATED_EXAMPLES_KEY: component_spec.ChannelParameter(type=FederatedExamples),
        BASE_MODEL_KEY: component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS = {
        MODEL_KEY: component_spec.ChannelParameter(type=standard_artifacts.Model),
        MODEL_RUN_KEY: component_spec.ChannelParameter(type=standard_artifacts.ModelRun),
    }
