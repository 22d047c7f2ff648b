"""Runs the model module's run_fn as the stock Trainer does, and records the digest of what it wrote."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.components.trainer import executor as stock
from tfx.types import artifact_utils
from tfx.types import standard_component_specs as keys
from tfx.utils import json_utils

from components import properties
from components.digested import Digested


class Executor(Digested, stock.GenericExecutor):
    """See component.CentralisedTrainer."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> Any:
        """Trains, and sets on the model by what code: custom properties `module`, `module_digest` and `code_version`."""
        done = super().Do(input_dict, output_dict, exec_properties)
        told = json_utils.loads(exec_properties.get(keys.CUSTOM_CONFIG_KEY) or "null") or {}
        code = {name: told[name] for name in ("module_digest", "code_version") if name in told}
        module = str(exec_properties.get(keys.RUN_FN_KEY) or "").rpartition(".")[0]
        model = artifact_utils.get_single_instance(output_dict[keys.MODEL_KEY])
        properties.put(model, {**({"module": module} if module else {}), **code})
        return done
