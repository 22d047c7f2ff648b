"""The pipeline's own TFX components and artifact types.

Names are resolved on first use, so that a Beam worker that imports one of our modules does not pay for importing TFX.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from components.artifacts import FederatedExamples
    from components.federated_split.component import FederatedSplit

__all__ = ["FederatedExamples", "FederatedSplit"]

_HOMES = {
    "FederatedExamples": "components.artifacts",
    "FederatedSplit": "components.federated_split.component",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'components' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
