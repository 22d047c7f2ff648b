"""The Trainer node."""

from __future__ import annotations

from tfx.components import Trainer
from tfx.dsl.components.base import executor_spec

from components.centralised_trainer.executor import Executor


class CentralisedTrainer(Trainer):
    """The stock Trainer with a digest on its model, which may begin a federated training or go live itself."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
