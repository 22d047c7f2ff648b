"""From what a person sends to what the model takes, and from its outputs to labels with scores."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from errors import DataError
from serving.client import Answer, Client, RequestError
from serving.client.labels import ClassNames, rank
from serving.client.report import to_json
from serving.gateway.fitting import as_input, pixel_size, rules_for
from serving.gateway.pictures import PictureRules
from serving.gateway.refusals import Refusal
from serving.gateway.settings import Settings
from serving.server.signature import Signature, TensorSpec

_WORDS_FOR_PICTURES = ("image", "picture", "photo", "img", "png", "jpeg", "jpg", "pixel")
_DECODED_AT_ONCE = 2  # each may take 4 bytes a pixel and more: --max_pixels and this make the memory that is needed


@dataclass(frozen=True)
class Picture:
    """An encoded picture as it came."""

    content: bytes


@dataclass(frozen=True)
class Text:
    """One text."""

    content: str


@dataclass(frozen=True)
class Rows:
    """Samples by input name; `single` if one was sent as such."""

    content: list[Mapping[str, Any]]
    single: bool


Question: TypeAlias = "Picture | Text | Rows"


class Model:
    """The model that the gateway stands before. Its methods block; they may be called by many threads."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._names = ClassNames(client)
        self._decoders = threading.BoundedSemaphore(_DECODED_AT_ONCE)

    def describe(self) -> dict[str, Any]:
        """What /v1/model answers: which version stands behind, what it takes and within which limits.

        Raises:
          Refusal: 502, 503 or 504.
        """
        settings = self._settings
        signature, version = self._signature(anew=True)
        size = _rules(settings, signature).size
        return {
            "title": settings.title,
            "model": settings.model_name,
            "version": version,
            "label": settings.label,
            "takes": takes(settings.takes, signature),
            "inputs": [_described(name, spec) for name, spec in signature.inputs.items()],
            "image": {"width": size[0], "height": size[1]} if size else None,
            "image_urls": settings.allow_image_urls,
            "max_upload_bytes": settings.max_upload_bytes,
        }

    def answer(self, question: Question) -> dict[str, Any]:
        """What /v1/predict answers.

        Raises:
          Refusal: 413, 415 or 422 for what the model cannot take; 502, 503 or 504 for the model server.
        """
        started = time.perf_counter()
        signature, _ = self._signature()
        inputs = self._inputs(question, signature)
        try:
            name, label, example = self._settings.model_name, self._settings.label, _example(inputs, signature)
            answer, names = self._names.predict(name, inputs, example, label=label)
            rows = self._rows(answer, names, question)
        except DataError as error:
            raise Refusal(422, str(error)) from None
        except RequestError as error:
            unsized = isinstance(question, Picture) and _rules(self._settings, signature).size is None
            raise _refusal(error, asked=True, hint=_HINT if unsized else "") from None
        head = {"model": answer.model_name, "version": answer.version, "label": self._settings.label}
        tail = {"milliseconds": round(1000 * (time.perf_counter() - started), 1)}
        single = not isinstance(question, Rows) or question.single
        return {**head, **(rows[0] if single else {"results": rows}), **tail}

    def _signature(self, *, anew: bool = False) -> tuple[Signature, int]:
        name, label = self._settings.model_name, self._settings.label
        try:
            version = self._client.metadata(name, label=label).version if anew else 0
            return self._client.signature(name, label=label), version
        except RequestError as error:
            raise _refusal(error, asked=False) from None

    def _inputs(self, question: Question, signature: Signature) -> Any:
        kind = takes(self._settings.takes, signature)
        given = {Picture: "image", Text: "text", Rows: "row"}[type(question)]
        if given != kind and (given, kind) != ("row", "text"):
            raise Refusal(422, f"the model takes {_A[kind]}, not {_A[given]}")
        if isinstance(question, Picture):
            return self._picture(question, signature)
        return [question.content] if isinstance(question, Text) else question.content

    def _picture(self, question: Picture, signature: Signature) -> dict[str, Any]:
        if not self._decoders.acquire(timeout=self._settings.timeout / 2):
            raise Refusal(503, "other pictures are being decoded; try again later")
        try:
            return as_input(question.content, signature, _rules(self._settings, signature))
        finally:
            self._decoders.release()

    def _rows(self, answer: Answer, names: Sequence[str], question: Question) -> list[dict[str, Any]]:
        count = len(question.content) if isinstance(question, Rows) else 1
        if any(array.ndim == 0 or len(array) != count for array in answer.outputs.values()):
            raise Refusal(502, f"the model did not give {count} answers to {count} samples")
        return [
            {
                "predictions": [vars(one) for one in rank(answer.outputs, row, names, self._settings.top)],
                "outputs": {name: to_json(array[row : row + 1])[0] for name, array in answer.outputs.items()},
            }
            for row in range(count)
        ]


def takes(wanted: str, signature: Signature) -> str:
    """`image`, `text` or `row`: as wanted, or by the inputs' names, types and shapes if that is `auto`."""
    if wanted != "auto":
        return wanted
    (name, spec), only = next(iter(signature.inputs.items())), len(signature.inputs) == 1
    if only and spec.dtype == "DT_STRING" and spec.shape is not None and len(spec.shape) == 1:
        return "image" if any(word in name.lower() for word in _WORDS_FOR_PICTURES) else "text"
    return "image" if only and pixel_size(spec) else "row"


# What a model of encoded pictures makes of their size is inside its graph, where nobody can see it.
_HINT = "; if it takes pictures of one size only, start the gateway with --image_size"
_A = {"image": "a picture", "text": "a text", "row": "rows of named values"}


def _rules(settings: Settings, signature: Signature) -> PictureRules:
    wanted = PictureRules(settings.image_size, settings.image_mode, settings.image_fit, settings.max_pixels)
    return rules_for(signature, wanted)


def _described(name: str, spec: TensorSpec) -> dict[str, Any]:
    shape = None if spec.shape is None else [-1 if size is None else size for size in spec.shape]
    return {"name": name, "type": spec.dtype.removeprefix("DT_").lower(), "shape": shape}


def _example(inputs: Any, signature: Signature) -> Mapping[str, Any]:
    """One sample by feature name."""
    if isinstance(inputs, list):
        return inputs[0] if isinstance(inputs[0], Mapping) else {next(iter(signature.inputs)): inputs[0]}
    return {name: value[0] if isinstance(value, list) else value for name, value in inputs.items()}


def _refusal(error: RequestError, *, asked: bool, hint: str = "") -> Refusal:
    """Without the model server's address, which is no client's business."""
    if error.code in ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE") and asked:
        return Refusal(422, f"the model does not take this: {error.reason}{hint}")
    if error.code == "DEADLINE_EXCEEDED":
        return Refusal(504, "the model server did not answer in time")
    if error.code in ("UNAVAILABLE", "RESOURCE_EXHAUSTED"):
        return Refusal(503, "the model server cannot be reached or is busy; try again later")
    return Refusal(502, f"the model server answered {error.code}")
