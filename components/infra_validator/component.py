"""The InfraValidator node."""

from __future__ import annotations

from tfx.components.infra_validator.component import InfraValidator
from tfx.dsl.components.base import executor_spec

from components.infra_validator.executor import Executor


class DigestedInfraValidator(InfraValidator):
    """The stock InfraValidator with a digest on its blessing, which the gate's decision rests on."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
