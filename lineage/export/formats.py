"""The formats by name."""

from __future__ import annotations

from collections.abc import Callable

from lineage.export import dot, mermaid, openlineage, plain_json, prov
from lineage.export.scope import Scope

FORMATS: dict[str, Callable[[Scope], str]] = {
    "json": plain_json.export,
    "openlineage": openlineage.export,
    "prov": prov.export,
    "dot": dot.export,
    "mermaid": mermaid.export,
}
