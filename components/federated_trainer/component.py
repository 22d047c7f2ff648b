"""FederatedTrainer: federated learning over the clients of a FederatedExamples artifact."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts

from components.federated_trainer import executor, spec
from components.federated_trainer.code_version import code_version


class FederatedTrainer(base_beam_component.BaseBeamComponent):
    """Trains the model of a model module federatedly, on this machine, on Beam or on TensorFlow Federated's runtime.

    Outputs:
      model: a Model, exported with the design's signatures; its custom properties tell algorithm, rounds, clients and digest.
      model_run: a ModelRun with TensorBoard events and rounds.csv, a line per round.
    """

    SPEC_CLASS = spec.FederatedTrainerSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        *,
        federated_examples: types.BaseChannel,
        module: str,
        module_digest: str,
        settings: Mapping[str, Any],
        seed: int,
        state_dir: str,
        base_model: types.BaseChannel | None = None,
    ) -> None:
        """Makes the node.

        Args:
          federated_examples: channel of FederatedExamples, whose `train` split is trained on.
          module: import path of the model module.
          module_digest: digest of its source, so that an edit of it is seen by TFX's cache.
          settings: the `train` section of the config with every default filled in, nested sections as mappings.
          seed: decides initial weights, sampling of clients and order of their examples.
          state_dir: folder of what outlives an execution: checkpoints and privacy ledgers.
          base_model: channel of a Model of the same module, whose weights are round 0's; None: the module's initial ones.
        """
        super().__init__(
            spec.FederatedTrainerSpec(
                federated_examples=federated_examples,
                module=module,
                module_digest=module_digest,
                settings=json.dumps(dict(settings), sort_keys=True),
                seed=seed,
                state_dir=state_dir,
                base_model=base_model,
                code_version=code_version(),
                model=types.Channel(type=standard_artifacts.Model),
                model_run=types.Channel(type=standard_artifacts.ModelRun),
            )
        )
