"""The pipeline's own TFX components and artifact types.

Names are resolved on first use, so that a Beam worker or a training process that imports one of our modules does not pay for
importing TFX.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from components.artifacts import ClientMetrics, FederatedExamples, GateDecision, PairedScores, ServingReport
    from components.atomic_pusher.component import AtomicPusher
    from components.atomic_pusher.served_model import ServedModelStrategy
    from components.deploy_gate.component import DeployGate
    from components.example_gens.component import example_gen
    from components.example_validator.component import StoppingExampleValidator
    from components.federated_evaluator.component import FederatedEvaluator
    from components.federated_split.component import FederatedSplit
    from components.federated_trainer.component import FederatedTrainer
    from components.model_evaluator.component import ModelEvaluator
    from components.paired_evaluator.component import PairedEvaluator
    from components.run_report.component import RunReport
    from components.serving_check.component import ServingCheck

__all__ = [
    "AtomicPusher",
    "ClientMetrics",
    "DeployGate",
    "FederatedEvaluator",
    "FederatedExamples",
    "FederatedSplit",
    "FederatedTrainer",
    "GateDecision",
    "ModelEvaluator",
    "PairedEvaluator",
    "PairedScores",
    "RunReport",
    "ServedModelStrategy",
    "ServingCheck",
    "ServingReport",
    "StoppingExampleValidator",
    "example_gen",
]

_HOMES = {
    "AtomicPusher": "components.atomic_pusher.component",
    "ClientMetrics": "components.artifacts",
    "DeployGate": "components.deploy_gate.component",
    "FederatedEvaluator": "components.federated_evaluator.component",
    "FederatedExamples": "components.artifacts",
    "FederatedSplit": "components.federated_split.component",
    "FederatedTrainer": "components.federated_trainer.component",
    "GateDecision": "components.artifacts",
    "ModelEvaluator": "components.model_evaluator.component",
    "PairedEvaluator": "components.paired_evaluator.component",
    "PairedScores": "components.artifacts",
    "RunReport": "components.run_report.component",
    "ServedModelStrategy": "components.atomic_pusher.served_model",
    "ServingCheck": "components.serving_check.component",
    "ServingReport": "components.artifacts",
    "StoppingExampleValidator": "components.example_validator.component",
    "example_gen": "components.example_gens.component",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'components' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
