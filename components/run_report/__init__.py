"""RunReport: everything that is known of a run's model in, one page for people and the same facts for machines out."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from components.run_report.component import RunReport

__all__ = ["RunReport"]


def __getattr__(name: str) -> Any:
    """Imports TFX with the component only, so that a report can be made without it."""
    if name not in __all__:
        raise AttributeError(f"module 'components.run_report' has no attribute {name!r}")
    return getattr(importlib.import_module("components.run_report.component"), name)
