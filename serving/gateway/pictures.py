"""Uploaded pictures made into what the model was trained on, whatever they claim to be and however they were made.

What is answered is always a new encoding of the pixels alone, so nothing that was hidden in a file goes further.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from serving.gateway.refusals import Refusal

# Decoders that are in wide use, and so well tried. The kind is told by content; names and Content-Type say nothing.
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP")
_ORIENTATION = 0x0112  # EXIF's tag
_GAP = 3  # so many times the wanted size, and averaging first changes nothing that can be seen
_BAND_PIXELS = 1 << 19
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error, MemoryError)


@dataclass(frozen=True)
class PictureRules:
    """What pictures become.

    Attributes:
      size: width and height, or None to leave them.
      mode: `grey` or `colour`.
      fit: `stretch`, `pad` (with black) or `crop` (at the middle) for other proportions.
      max_pixels: more are refused, before decoding.
    """

    size: tuple[int, int] | None
    mode: str
    fit: str
    max_pixels: int


def to_png(content: bytes, rules: PictureRules) -> bytes:
    """A picture's bytes as a PNG by the rules.

    Raises:
      Refusal: 415 for another kind of file, 413 for too many pixels, 422 for a damaged file.
    """
    out = io.BytesIO()
    _read(content, rules).save(out, "PNG")
    return out.getvalue()


def to_pixels(content: bytes, rules: PictureRules) -> np.ndarray:
    """A picture by the rules as uint8 [height, width, 1 or 3]; raises as `to_png`."""
    pixels = np.asarray(_read(content, rules))
    return pixels[..., np.newaxis] if pixels.ndim == 2 else pixels


def _read(content: bytes, rules: PictureRules) -> Image.Image:
    try:
        with warnings.catch_warnings():
            # Ours is the limit of pixels; Pillow's own, on top, is an error as well.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
                return _prepared(opened, rules)
    except UnidentifiedImageError:
        raise Refusal(415, f"this is no picture that is read here; expected one of {', '.join(FORMATS)}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Refusal(413, f"the picture has too many pixels; at most {rules.max_pixels} are allowed") from None
    except _DAMAGE:
        raise Refusal(422, "the picture is damaged or was cut off") from None


def _prepared(opened: Image.Image, rules: PictureRules) -> Image.Image:
    if opened.width * opened.height > rules.max_pixels:
        size = f"{opened.width} x {opened.height}"
        raise Refusal(413, f"the picture has {size} pixels; at most {rules.max_pixels} are allowed")
    turned = opened.getexif().get(_ORIENTATION, 1)
    width, height = rules.size or opened.size
    if turned >= 5:  # a quarter turn
        width, height = height, width
    if rules.size:
        opened.draft(None, (_GAP * width, _GAP * height))  # lets a JPEG be decoded smaller at once
    factor = max(1, min(opened.width // (_GAP * width), opened.height // (_GAP * height))) if rules.size else 1
    picture = _in_bands(opened, "L" if rules.mode == "grey" else "RGB", factor)
    picture.getexif()[_ORIENTATION] = turned
    ImageOps.exif_transpose(picture, in_place=True)
    return _sized(picture, rules) if rules.size and picture.size != rules.size else picture


def _in_bands(opened: Image.Image, mode: str, factor: int) -> Image.Image:
    """Flat, in `mode` and smaller by a factor, made band by band: what is large is in memory as it was decoded, and no more."""
    made = Image.new(mode, (-(-opened.width // factor), -(-opened.height // factor)))
    rows = max(1, _BAND_PIXELS // opened.width // factor) * factor
    for top in range(0, opened.height, rows):
        band = opened.crop((0, top, opened.width, min(top + rows, opened.height)))
        made.paste(_flat(band).convert(mode).reduce(factor), (0, top // factor))
    return made


def _flat(picture: Image.Image) -> Image.Image:
    """Without transparency, which becomes white, and with 8 bits a channel."""
    if picture.mode.startswith("I"):
        return picture.convert("I").point(lambda value: value / 257).convert("L")
    if picture.has_transparency_data:
        layered = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert("RGB")
    return picture


def _sized(picture: Image.Image, rules: PictureRules) -> Image.Image:
    size = rules.size or picture.size
    if rules.fit == "pad":
        return ImageOps.pad(picture, size, Image.Resampling.LANCZOS)
    if rules.fit == "crop":
        return ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
    return picture.resize(size, Image.Resampling.LANCZOS)
