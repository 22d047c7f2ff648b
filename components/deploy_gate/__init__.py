"""DeployGate: what all judges found about a model in, one recorded decision and the one blessing that Pusher obeys out."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from components.deploy_gate.component import DeployGate

__all__ = ["DeployGate"]


def __getattr__(name: str) -> Any:
    """Imports TFX with the component only, so that `requirements` and `approvals` can be read without it."""
    if name not in __all__:
        raise AttributeError(f"module 'components.deploy_gate' has no attribute {name!r}")
    return getattr(importlib.import_module("components.deploy_gate.component"), name)
