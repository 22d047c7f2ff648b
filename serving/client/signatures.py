"""SignatureDef, as metadata holds it, to what the client knows of a signature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serving import protocol
from serving.server.signature import Signature, TensorSpec


def signatures(definitions: Mapping[str, Any]) -> dict[str, Signature]:
    """Signatures by name, without those that only restore variables.

    Args:
      definitions: name -> tensorflow.SignatureDef.
    """
    return {
        name: Signature(name, _specs(definition.inputs), _specs(definition.outputs))
        for name, definition in sorted(definitions.items())
        if definition.method_name
    }


def _specs(tensors: Mapping[str, Any]) -> dict[str, TensorSpec]:
    return {name: _spec(tensors[name]) for name in sorted(tensors)}


def _spec(info: Any) -> TensorSpec:
    shape = info.tensor_shape
    sizes = None if shape.unknown_rank else tuple(None if axis.size < 0 else axis.size for axis in shape.dim)
    return TensorSpec(protocol.name_of("tensorflow.DataType", info.dtype), sizes)
