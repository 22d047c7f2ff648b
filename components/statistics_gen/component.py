"""The StatisticsGen node."""

from __future__ import annotations

from tfx.components.statistics_gen.component import StatisticsGen
from tfx.dsl.components.base import executor_spec

from components.statistics_gen.executor import Executor


class DigestedStatisticsGen(StatisticsGen):
    """The stock StatisticsGen with a digest on its statistics, which the schema and the validation are made of."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)
