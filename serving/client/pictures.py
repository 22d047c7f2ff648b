"""Pictures of `python -m serving predict`: as they are, or made by the gateway's rules what the model takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errors import DataError
from serving.server.signature import Signature

_LARGEST_BYTES = 256 << 20
_MOST_PIXELS = 50_000_000


@dataclass(frozen=True)
class Fitting:
    """What becomes of pictures. Without size and mode they are sent as they are, unless the model takes pixels.

    Attributes:
      size: width and height, or None to leave them.
      mode: `grey` or `colour`; colour if empty and pictures are made anew.
      fit: `stretch`, `pad` or `crop` for other proportions.
    """

    size: tuple[int, int] | None = None
    mode: str = ""
    fit: str = "stretch"

    def inputs(self, path: Path, signature: Signature) -> Any:
        """What Client.predict takes for a picture's file.

        Raises:
          DataError: a file that cannot be read, or that is no picture where it has to be made anew.
        """
        content = _read(path)
        only = next(iter(signature.inputs.values())) if len(signature.inputs) == 1 else None
        if only is None or (only.dtype == "DT_STRING" and not self.size and not self.mode):
            return content
        # Here, because Pillow is not needed for pictures that are sent as they are.
        from serving.gateway import fitting
        from serving.gateway.pictures import PictureRules
        from serving.gateway.refusals import Refusal

        if only.dtype != "DT_STRING" and not fitting.pixel_size(only):
            return content
        wanted = PictureRules(self.size, self.mode or "colour", self.fit, _MOST_PIXELS)
        try:
            return fitting.as_input(content, signature, fitting.rules_for(signature, wanted))
        except Refusal as refusal:
            raise DataError(f"{refusal.message}; give another picture.") from None


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise DataError(f"the file has more than {_LARGEST_BYTES} bytes; give a smaller picture.")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}; give a picture file.") from None
