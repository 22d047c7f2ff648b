"""ExampleValidator that stops the run: the stock one records anomalies and lets training go on with them."""

from __future__ import annotations

from pathlib import Path

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts

from components.example_validator import executor, spec
from lineage.digests import code_digest
from modeling import contract


class StoppingExampleValidator(base_component.BaseComponent):
    """tfx.components.ExampleValidator, except that two things in any split fail the node: an anomaly, and data that a model
    module could not be trained on."""

    SPEC_CLASS = spec.StoppingExampleValidatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(self, *, statistics: types.BaseChannel, schema: types.BaseChannel, module: str, module_digest: str) -> None:
        """Makes the node.

        Args:
          statistics: channel of ExampleStatistics; all of its splits are validated.
          schema: channel of the Schema that they must fit.
          module: import path of the model module whose FEATURES they must fit.
          module_digest: digest of its source, so that an edit of it is seen by TFX's cache.
        """
        super().__init__(
            spec.StoppingExampleValidatorSpec(
                statistics=statistics,
                schema=schema,
                exclude_splits="[]",
                module=module,
                module_digest=module_digest,
                code_version=code_digest(Path(__file__).parent, contract.__file__),
                anomalies=types.Channel(type=standard_artifacts.ExampleAnomalies),
            )
        )
