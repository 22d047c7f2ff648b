"""ExampleValidator that stops the run: the stock one records anomalies and lets training go on with them."""

from __future__ import annotations

from tfx.components import ExampleValidator
from tfx.dsl.components.base import executor_spec

from components.example_validator import executor


class StoppingExampleValidator(ExampleValidator):
    """tfx.components.ExampleValidator, except that an anomaly in any split fails the node."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
