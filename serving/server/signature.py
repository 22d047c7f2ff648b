"""What a servable's signature takes and gives, free of TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

DEFAULT_SIGNATURE = "serving_default"


@dataclass(frozen=True)
class TensorSpec:
    """One input or output.

    Attributes:
      dtype: TensorFlow's name, such as `DT_FLOAT`.
      shape: sizes with None for any size; None as a whole for any rank.
    """

    dtype: str
    shape: tuple[int | None, ...] | None

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of this shape fits."""
        if self.shape is None:
            return True
        return len(self.shape) == len(shape) and all(
            size is None or size == given for size, given in zip(self.shape, shape, strict=True)
        )

    def shape_text(self) -> str:
        """The shape as TensorFlow writes it: `[?,2]`."""
        return "<unknown>" if self.shape is None else f"[{','.join('?' if size is None else str(size) for size in self.shape)}]"


@dataclass(frozen=True)
class Signature:
    """A named entry into a model: input and output names with their specs, in order of name.

    `defaults` are the values of inputs that a gRPC request may leave out.
    """

    name: str
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    defaults: Mapping[str, np.ndarray] = field(default_factory=dict)
