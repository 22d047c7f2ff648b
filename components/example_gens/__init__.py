"""Data in: one ExampleGen for every format, with a seeded split and a cache that follows content.

Names are resolved on first use, so that a Beam worker that reads files does not pay for importing the component.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from components.example_gens.component import FORMATS, example_gen

__all__ = ["FORMATS", "example_gen"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'components.example_gens' has no attribute {name!r}")
    from components.example_gens import component

    return getattr(component, name)
