"""Runs the model module's run_fn as the stock Trainer does, and records the digest of what it wrote."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.components.trainer import executor as stock_executor
from tfx.types import artifact_utils
from tfx.types import standard_component_specs as keys

from lineage.digests import tree_digest


class Executor(stock_executor.GenericExecutor):
    """See component.CentralisedTrainer."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Trains, and sets the custom property `digest` of the model."""
        super().Do(input_dict, output_dict, exec_properties)
        model = artifact_utils.get_single_instance(output_dict[keys.MODEL_KEY])
        model.set_string_custom_property("digest", tree_digest(model.uri))
