"""RunReport: every artifact of a run in, the model's card out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec

from components import artifacts
from components.run_report import spec
from components.run_report.executor import Executor
from components.run_report.roles import ROLES
from components.uncached_driver import UncachedDriver
from errors import ConfigError


class RunReport(base_component.BaseComponent):
    """Writes down what a run made and found, for people and for machines; see `artifacts.RunReport`.

    Never fails a run: by then the model may be live. What is missing or cannot be read stands in the page as not available.
    Never cached: what is served, and what was decided, are new in every run.

    Outputs:
      report: a RunReport.
    """

    SPEC_CLASS = spec.RunReportSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
    DRIVER_CLASS = UncachedDriver

    def __init__(
        self, *, name: str, inputs: Mapping[str, types.BaseChannel], metadata: str, card: Mapping[str, Any] | None = None
    ) -> None:
        """Makes the node.

        Args:
          name: of the pipeline, under which the model is served.
          inputs: role -> artifacts; see `roles.ROLES`.
          metadata: where ML Metadata is, as `lineage.store.opened` takes it; read for what made what.
          card: the config's section `model_card`, as plain values.

        Raises:
          ConfigError: an input has no role.
        """
        if unknown := sorted(set(inputs) - set(ROLES)):
            raise ConfigError(f"RunReport: expected inputs out of {', '.join(ROLES)}, got {', '.join(unknown)}.")
        super().__init__(
            spec.RunReportSpec(
                **dict(inputs),
                name=name,
                card=json.dumps(dict(card or {}), sort_keys=True),
                metadata=metadata,
                report=types.Channel(type=artifacts.RunReport),
            )
        )


def inputs_of(nodes: Mapping[str, Any]) -> dict[str, types.BaseChannel]:
    """Returns the inputs that nodes, by id, have for a report."""
    return {role: nodes[node].outputs[key] for role, (node, key) in ROLES.items() if node in nodes}
