"""Executor of CuratedSchema."""

from __future__ import annotations

from tfx.components.schema_gen.import_schema_gen import executor as stock

from components.digested import Digested


class Executor(Digested, stock.Executor):
    """See component.CuratedSchema."""
