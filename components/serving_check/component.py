"""ServingCheck: may the model be loaded at all, and does it answer as it should where it is to be served?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec

from components import artifacts
from components.serving_check import executor, spec
from components.serving_check.code_version import code_version

# The rest of the settings are limits: DeployGate's business, and not a reason to measure again.
_MEASURED_BY = ("samples", "requests", "allowed_ops")


class ServingCheck(base_component.BaseComponent):
    """The first judge of a model: looks it over without loading it, then asks it in a model server of its own.

    It measures and decides nothing, except that the other judges load no model whose report says `loadable: false`.

    Outputs:
      serving_report: a ServingReport; see `components.artifacts`.
    """

    SPEC_CLASS = spec.ServingCheckSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        *,
        model: types.BaseChannel,
        examples: types.BaseChannel,
        module: str,
        module_digest: str,
        settings: Mapping[str, Any],
        seed: int,
    ) -> None:
        """Makes the node.

        Args:
          model: channel of the Model under test.
          examples: channel of Examples, from whose `eval` split the model is asked.
          module: import path of the model module, which says what the examples hold.
          module_digest: digest of its source, so that an edit of it is seen by TFX's cache.
          settings: the `serving` part of the gate's settings, of which `samples`, `requests` and `allowed_ops` are used.
          seed: decides which examples are chosen.
        """
        super().__init__(
            spec.ServingCheckSpec(
                model=model,
                examples=examples,
                module=module,
                module_digest=module_digest,
                settings=json.dumps({key: settings[key] for key in _MEASURED_BY}, sort_keys=True),
                seed=seed,
                code_version=code_version(),
                serving_report=types.Channel(type=artifacts.ServingReport),
            )
        )
