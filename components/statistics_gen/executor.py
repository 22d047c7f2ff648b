"""Executor of DigestedStatisticsGen."""

from __future__ import annotations

from tfx.components.statistics_gen import executor as stock

from components.digested import Digested


class Executor(Digested, stock.Executor):
    """See component.DigestedStatisticsGen."""
