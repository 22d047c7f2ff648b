"""Pictures as a model's input takes them: the gateway's rules, which `predict` shares."""

from __future__ import annotations

from typing import Any

import numpy as np

from serving.gateway.pictures import PictureRules, to_pixels, to_png
from serving.server.signature import Signature, TensorSpec

_PIXEL_TYPES = ("DT_UINT8", "DT_FLOAT")


def pixel_size(spec: TensorSpec) -> tuple[int, int] | None:
    """Width and height of an input of pixels, [batch, height, width, 1 or 3]; None if it is another input."""
    if spec.dtype not in _PIXEL_TYPES or spec.shape is None or len(spec.shape) != 4:
        return None
    _, height, width, channels = spec.shape
    return (width, height) if height and width and channels in (1, 3) else None


def rules_for(signature: Signature, wanted: PictureRules) -> PictureRules:
    """The rules wanted, but with size and mode of the input where it is one of pixels, which tells them."""
    spec = next(iter(signature.inputs.values()))
    size = pixel_size(spec)
    if not size or spec.shape is None:
        return wanted
    return PictureRules(size, "grey" if spec.shape[3] == 1 else "colour", wanted.fit, wanted.max_pixels)


def as_input(content: bytes, signature: Signature, rules: PictureRules) -> dict[str, Any]:
    """A picture's bytes as a batch of one: a PNG, or pixels as uint8 or as float32 from 0 to 1.

    Raises:
      Refusal: 415 for another kind of file, 413 for too many pixels, 422 for a damaged file.
    """
    name, spec = next(iter(signature.inputs.items()))
    if spec.dtype == "DT_STRING":
        return {name: [to_png(content, rules)]}
    pixels = to_pixels(content, rules)
    return {name: pixels if spec.dtype == "DT_UINT8" else pixels.astype(np.float32) / 255.0}
