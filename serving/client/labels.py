"""The likeliest classes in an answer, with their labels and scores, whichever outputs say them."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from errors import DataError
from serving.client.answers import Answer, Arrays, RequestError
from serving.client.client import Client
from serving.client.examples import to_proto

_VERSIONS_KEPT = 16
_NO_NAMES = ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "UNIMPLEMENTED")
_SCORES = ("scores", "probabilities", "predictions", "logits")


@dataclass(frozen=True)
class Ranked:
    """A class and its score, which is None if the model only names the class."""

    label: str
    score: float | None


def rank(outputs: Arrays, row: int, names: Sequence[str] = (), top: int | None = None) -> list[Ranked]:
    """The classes of one row of an answer, the likeliest first.

    Args:
      outputs: `classes` and `scores`, or `scores` (else the only output of numbers with two dimensions) with or without a
        `label` for the likeliest, or only a `label`.
      row: which row.
      names: of the classes in the order of the scores; their positions stand for missing ones.
      top: how many; all if None.

    Returns:
      An empty list if the outputs tell no classes.
    """
    label = _text(outputs["label"], row) if _has_rows(outputs, "label", "O", 1) else None
    scores = _scores(outputs)
    if scores is None:
        return [Ranked(label, None)] if label is not None else []
    values = scores[row]
    order = np.argsort(-values, kind="stable")[:top]
    if _has_rows(outputs, "classes", "O", 2) and outputs["classes"].shape == scores.shape:
        names = [item.decode("utf-8", "replace") for item in outputs["classes"][row]]
    ranked = [Ranked(_name(names, int(place)), float(str(values[place]))) for place in order]
    if ranked and label is not None and not names:
        ranked[0] = Ranked(label, ranked[0].score)
    return ranked


class ClassNames:
    """The names of a model's classes, which serving_default does not tell: asked of `classify` once for each version."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[tuple[str, int], Sequence[str]] = {}
        self._lock = threading.Lock()

    def predict(self, model_name: str, inputs: Any, example: Mapping[str, Any], **options: Any) -> tuple[Answer, Sequence[str]]:
        """`Client.predict` with `options`, and the names for its answer; `example` is one of the samples by feature name.

        Raises:
          FedtfxError: as `Client.predict`.
        """
        answer = self._client.predict(model_name, inputs, **options)
        try:
            return answer, self.of(answer, example)
        except RequestError as error:
            if error.code != "NOT_FOUND":
                raise
        # The version was unloaded since it answered: its successor answers, and tells its names as well.
        answer = self._client.predict(model_name, inputs, **options)
        return answer, self.of(answer, example)

    def of(self, answer: Answer, example: Mapping[str, Any]) -> Sequence[str]:
        """The names in the order of the scores; empty if the model has no `classify` or it does not take this example.

        Raises:
          RequestError: the version cannot be asked any more.
        """
        key = (answer.model_name, answer.version)
        if "classes" in answer.outputs or _scores(answer.outputs) is None:
            return ()
        with self._lock:
            names = self._known.get(key)
        if names is None:  # several threads may ask at once; the answer is the same
            names = self._ask(answer, example)
            with self._lock:
                if len(self._known) >= _VERSIONS_KEPT:
                    self._known.pop(next(iter(self._known)), None)
                self._known[key] = names
        return names

    def _ask(self, answer: Answer, example: Mapping[str, Any]) -> Sequence[str]:
        # Through Predict, which answers every signature; Classify would do on servers that have it.
        inputs = [to_proto(example).SerializeToString()]
        try:
            reply = self._client.predict(answer.model_name, inputs, "classify", answer.version, outputs=["classes"])
        except DataError:
            return ()
        except RequestError as error:
            if error.code not in _NO_NAMES:
                raise
            return ()
        return [item.decode("utf-8", "replace") for item in reply.outputs["classes"].reshape(-1)]


def _scores(outputs: Arrays) -> np.ndarray | None:
    named = [outputs[name] for name in _SCORES if _has_rows(outputs, name, "f", 2)]
    others = [outputs[name] for name in outputs if _has_rows(outputs, name, "f", 2)]
    scores = named[0] if named else others[0] if len(others) == 1 else None
    return scores if scores is not None and scores.shape[1] > 1 else None


def _has_rows(outputs: Arrays, name: str, kind: str, rank_: int) -> bool:
    return name in outputs and outputs[name].dtype.kind == kind and outputs[name].ndim == rank_


def _text(array: np.ndarray, row: int) -> str:
    return str(array[row].decode("utf-8", "replace"))


def _name(names: Sequence[str], place: int) -> str:
    return names[place] if place < len(names) else str(place)
