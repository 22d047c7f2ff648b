"""What a client asks for, what it gets, and the one error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from errors import FedtfxError
from serving.server.signature import Signature

# By input or output name; strings as bytes objects in an object array.
Arrays: TypeAlias = "Mapping[str, np.ndarray]"

_REMEDIES = {
    "UNAVAILABLE": "see that the model server runs there and that the address is right",
    "DEADLINE_EXCEEDED": "allow more time or ask for less at once",
    "NOT_FOUND": "`python -m serving status` tells which models, versions and labels are served",
    "UNAUTHENTICATED": "give the certificate that the server asks for",
    "RESOURCE_EXHAUSTED": "send less at once or later",
}


class RequestError(FedtfxError):
    """A request that was not answered.

    Attributes:
      address: that was asked.
      code: the canonical code's name, such as `NOT_FOUND`, whichever way the model was asked.
      reason: what the server or the network said, in one line.
      transient: whether the same request may succeed a little later: connection refused, UNAVAILABLE, HTTP 429 or 503.
    """

    def __init__(self, address: str, code: str, reason: str, *, transient: bool = False, remedy: str = "") -> None:
        self.address = address
        self.code = code
        self.reason = " ".join(reason.split()).rstrip(".") or "no reason given"
        self.transient = transient
        if "servable version label" in reason:  # as TensorFlow Serving calls it
            remedy = remedy or _REMEDIES["NOT_FOUND"]
        remedy = remedy or _REMEDIES.get(code, "")
        super().__init__(f"{address}: {code}: {self.reason}" + (f"; {remedy}." if remedy else "."))


@dataclass(frozen=True)
class Target:
    """Which model: its name, and a version or a label, or neither for the one that the server prefers."""

    model_name: str
    version: int | None = None
    label: str = ""


@dataclass(frozen=True)
class Metadata:
    """A version's signatures by name."""

    version: int
    signatures: Mapping[str, Signature]


@dataclass(frozen=True)
class VersionStatus:
    """A version and whether it can answer.

    Attributes:
      version: its number.
      state: START, LOADING, AVAILABLE, UNLOADING or END.
      code: OK, or the canonical code's name of why it failed.
      message: of that failure.
    """

    version: int
    state: str
    code: str = "OK"
    message: str = ""


@dataclass(frozen=True)
class _Answered:
    model_name: str
    version: int
    signature: str


@dataclass(frozen=True)
class Answer(_Answered):
    """Outputs by name from the version that answered, whatever label or none was asked for."""

    outputs: Arrays


@dataclass(frozen=True)
class Classified(_Answered):
    """For each example its classes as (label, score), in the model's order; the label is empty if the model gives none."""

    results: tuple[tuple[tuple[str, float], ...], ...]


@dataclass(frozen=True)
class Regressed(_Answered):
    """A number for each example."""

    results: tuple[float, ...]
