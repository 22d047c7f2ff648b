"""Asks a model straight from its files, with TensorFlow in this process: the same answers, no server."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from errors import ConfigError
from serving import layout, models_config
from serving.client import examples as tf_examples
from serving.client.answers import Answer, Arrays, Classified, Metadata, Regressed, RequestError, Target, VersionStatus
from serving.server.signature import Signature
from serving.server.status import ApiError


class FilesTransport:
    """A SavedModel, a directory of a model's versions, or the directory of models by name above it."""

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self._path = path
        self._loaded: dict[Path, Any] = {}
        self._lock = threading.Lock()
        if not path.is_dir():
            raise ConfigError(
                f"no directory {path}; expected a SavedModel, a directory of versions, host:port or http://host:port."
            )

    def predict(self, target: Target, signature: Signature, arrays: Arrays, outputs: Sequence[str], seconds: float) -> Answer:
        servable = self._servable(target)
        with _errors_of(self.address):
            known = servable.signature(signature.name)
            if unknown := [name for name in outputs if name not in known.outputs]:
                raise ApiError("INVALID_ARGUMENT", f"no output {unknown[0]!r}; expected one of: {', '.join(known.outputs)}")
            return Answer(target.model_name, servable.version, signature.name, servable.predict(known, arrays, outputs))

    def classify(self, target: Target, signature: str, examples: Sequence[Mapping[str, Any]], seconds: float) -> Classified:
        answer = self._with_examples(target, signature, examples, {"classes", "scores"}, seconds)
        shape = next(iter(answer.outputs.values())).shape
        classes = answer.outputs.get("classes", np.full(shape, b"", object)).tolist()
        scores = answer.outputs.get("scores", np.zeros(shape, np.float32)).tolist()
        results = tuple(
            tuple((label.decode("utf-8"), score) for label, score in zip(*row, strict=True))
            for row in zip(classes, scores, strict=True)
        )
        return Classified(target.model_name, answer.version, signature, results)

    def regress(self, target: Target, signature: str, examples: Sequence[Mapping[str, Any]], seconds: float) -> Regressed:
        answer = self._with_examples(target, signature, examples, {"outputs"}, seconds)
        return Regressed(target.model_name, answer.version, signature, tuple(answer.outputs["outputs"].reshape(-1).tolist()))

    def metadata(self, target: Target, seconds: float) -> Metadata:
        servable = self._servable(target)
        return Metadata(servable.version, servable.signatures)

    def status(self, target: Target, seconds: float) -> list[VersionStatus]:
        version, _ = self._place(target)
        return [VersionStatus(version, "AVAILABLE")]

    def close(self) -> None:
        self._loaded.clear()

    def _labelled(self, base: Path, label: str) -> int:
        state = models_config.state(base.parent, base.name)
        labels = state.labels if isinstance(state, models_config.Held) else {}
        if label not in labels:
            known = ", ".join(sorted(labels)) or "none"
            raise RequestError(self.address, "INVALID_ARGUMENT", f"no label {label!r}; expected one of: {known}")
        return labels[label]

    def _with_examples(
        self, target: Target, signature: str, examples: Sequence[Mapping[str, Any]], allowed: set[str], seconds: float
    ) -> Answer:
        with _errors_of(self.address):
            known = self._servable(target).signature(signature)
            if len(known.inputs) != 1 or not known.outputs or known.outputs.keys() - allowed:
                wrong = f"signature {signature} has not one input and the outputs {' and '.join(sorted(allowed))} only"
                raise ApiError("INVALID_ARGUMENT", wrong)
        serialized = np.empty(len(examples), object)
        serialized[:] = [tf_examples.to_proto(example).SerializeToString() for example in examples]
        return self.predict(target, known, {next(iter(known.inputs)): serialized}, (), seconds)

    def _servable(self, target: Target) -> Any:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # its failures reach us as exceptions, the rest is noise
        from serving.server import servable

        version, path = self._place(target)
        with self._lock, _errors_of(self.address):
            if path not in self._loaded:
                self._loaded[path] = servable.load(path, version)
            return self._loaded[path]

    def _place(self, target: Target) -> tuple[int, Path]:
        """The version asked for and its directory; a SavedModel that is no numbered version is version 0."""
        if (self._path / layout.SAVED_MODEL).is_file():
            version = int(self._path.name) if self._path.name.isdecimal() else 0
            if target.version not in (None, version) or target.label:
                wanted = target.label or target.version
                raise RequestError(
                    self.address, "NOT_FOUND", f"this is version {version} without labels; {wanted!r} was asked for"
                )
            return version, self._path
        named = layout.model_directory(self._path, target.model_name)
        base = named if named.is_dir() else self._path
        found = self._labelled(base, target.label) if target.label else target.version or layout.live_version(base)
        if found is None or found not in layout.versions(base):
            raise RequestError(self.address, "NOT_FOUND", f"no complete version {'' if found is None else found} in {base}")
        return found, base / str(found)


@contextmanager
def _errors_of(address: str) -> Iterator[None]:
    """Turns the server's error into the client's."""
    try:
        yield
    except ApiError as error:
        raise RequestError(address, error.code, error.message) from None
