"""Executor of DigestedInfraValidator."""

from __future__ import annotations

from tfx.components.infra_validator import executor as stock

from components.digested import Digested


class Executor(Digested, stock.Executor):
    """See component.DigestedInfraValidator."""
