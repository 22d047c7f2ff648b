"""The FederatedSplit component."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec

from components import artifacts, charts
from components.federated_split import executor, spec
from components.federated_split.parameters import check_parameters
from lineage import digests
from lineage import forgotten as omissions
from lineage.digests import code_digest
from lineage.forgotten import Omission

# They read what was written, and decide none of its bytes.
_READERS = ("reader.py", "datasets.py")


class FederatedSplit(base_beam_component.BaseBeamComponent):
    """Divides the `train` split of Examples among federated clients; other splits stay where they are.

        FederatedSplit(
            examples=example_gen.outputs["examples"],
            strategy="dirichlet",
            parameters={"clients": 20, "alpha": 0.5, "min_examples": 1, "label": "label"},
            seed=42,
        )

    The same examples, strategy, parameters and seed give the same bytes on every Beam runner.
    """

    SPEC_CLASS = spec.FederatedSplitSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        strategy: str,
        parameters: Mapping[str, Any],
        seed: int,
        code_version: str | None = None,
        forgotten: Omission | None = None,
    ):
        """Makes the component.

        Args:
          examples: channel of Examples whose `train` split is divided.
          strategy: a key of `partitioners.PARTITIONERS`.
          parameters: the strategy's parameters, and `label`, `block_bytes`, `shard_bytes`; entries that are None are left out.
          seed: seeds the assignment and the order of examples.
          code_version: part of TFX's cache key; by default the digest of this component's sources.
          forgotten: who is to be left out.

        Raises:
          errors.DataError: the strategy is unknown or a parameter is missing, unknown or out of range.
        """
        checked = check_parameters(strategy, parameters)
        left_out = {} if forgotten is None else {spec.FORGOTTEN: forgotten.as_text()}
        super().__init__(
            self.SPEC_CLASS(
                **{
                    spec.EXAMPLES: examples,
                    spec.STRATEGY: strategy,
                    spec.PARAMETERS_JSON: json.dumps(checked, sort_keys=True),
                    spec.SEED: seed,
                    spec.CODE_VERSION: code_version or code_digest(*_sources()),
                    **left_out,
                    spec.FEDERATED_EXAMPLES: types.Channel(type=artifacts.FederatedExamples),
                }
            )
        )


def _sources() -> list[str]:
    """Returns the sources that decide what is written."""
    package = sorted(str(path) for path in Path(__file__).parent.rglob("*.py") if path.name not in _READERS)
    return [*package, artifacts.__file__, charts.__file__, digests.__file__, omissions.__file__]
