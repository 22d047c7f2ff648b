"""The client's front door: an address in, answers out."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from errors import ConfigError
from serving import addresses
from serving.client.answers import Answer, Arrays, Classified, Metadata, Regressed, RequestError, Target, VersionStatus
from serving.client.retries import Retries
from serving.client.values import to_arrays
from serving.server.signature import DEFAULT_SIGNATURE, Signature

_STALE = ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "NOT_FOUND")


class Transport(Protocol):
    """A way to ask. Each method takes the seconds that it may last and raises RequestError."""

    address: str

    def metadata(self, target: Target, seconds: float) -> Metadata: ...
    def status(self, target: Target, seconds: float) -> list[VersionStatus]: ...
    def predict(
        self, target: Target, signature: Signature, arrays: Arrays, outputs: Sequence[str], seconds: float
    ) -> Answer: ...
    def classify(self, target: Target, signature: str, examples: Sequence[Mapping[str, Any]], seconds: float) -> Classified: ...
    def regress(self, target: Target, signature: str, examples: Sequence[Mapping[str, Any]], seconds: float) -> Regressed: ...
    def close(self) -> None: ...


class Client:
    """Asks the models behind one address; may be used by many threads at once, and in a `with`."""

    def __init__(self, transport: Transport, retries: Retries) -> None:
        self.address = transport.address
        self._transport = transport
        self._retries = retries
        self._known: dict[Target, Metadata] = {}
        self._lock = threading.Lock()

    def predict(
        self,
        model_name: str,
        inputs: Any,
        signature: str = "",
        version: int | None = None,
        label: str = "",
        outputs: Iterable[str] = (),
    ) -> Answer:
        """Calls a signature.

        Args:
          model_name: the model's name on the server.
          inputs: input name -> value; a list of such rows; the bare value of an only input. Numbers, strings, bytes,
            `{"b64": ".."}`, numpy arrays or nested lists; one sample without the batch's dimension is a batch of one.
          signature: its name; `serving_default` if empty.
          version: a version's number.
          label: a version's label; not together with `version`.
          outputs: names of those wanted; all if empty.

        Raises:
          DataError: inputs that the signature does not take.
          RequestError: no answer; its `code` says why.
        """
        target, wanted = _target(model_name, version, label), tuple(outputs)
        known = self._signature(target, signature or DEFAULT_SIGNATURE)
        arrays = to_arrays(inputs, known)
        return self._checked(target, lambda left: self._transport.predict(target, known, arrays, wanted, left))

    def classify(
        self,
        model_name: str,
        examples: Sequence[Mapping[str, Any]],
        signature: str = "",
        version: int | None = None,
        label: str = "",
    ) -> Classified:
        """Scores of each example's classes.

        Args:
          model_name: the model's name on the server.
          examples: for each one feature name -> value or flat list; floats, whole numbers, strings or bytes.
          signature: its name; if empty, `classify` where the model has it, else `serving_default`.
          version: a version's number.
          label: a version's label; not together with `version`.

        Raises:
          DataError: a feature that is no number, string or flat list of one kind.
          RequestError: no answer; its `code` says why.
        """
        target = _target(model_name, version, label)
        name = signature or self._typed(target, "classify")
        return self._checked(target, lambda left: self._transport.classify(target, name, examples, left))

    def regress(
        self,
        model_name: str,
        examples: Sequence[Mapping[str, Any]],
        signature: str = "",
        version: int | None = None,
        label: str = "",
    ) -> Regressed:
        """A number for each example; arguments and errors as `classify`'s, `regress` being the signature preferred."""
        target = _target(model_name, version, label)
        name = signature or self._typed(target, "regress")
        return self._checked(target, lambda left: self._transport.regress(target, name, examples, left))

    def metadata(self, model_name: str, version: int | None = None, label: str = "") -> Metadata:
        """The signatures of a version, asked anew."""
        target = _target(model_name, version, label)
        known = self._retries.call(lambda left: self._transport.metadata(target, left))
        with self._lock:
            self._known[target] = known
        return known

    def signature(self, model_name: str, name: str = "", version: int | None = None, label: str = "") -> Signature:
        """What a signature takes and gives, as last asked."""
        return self._signature(_target(model_name, version, label), name or DEFAULT_SIGNATURE)

    def status(self, model_name: str, version: int | None = None) -> list[VersionStatus]:
        """The versions that the server knows and their states, newest first."""
        target = Target(model_name, version)
        return self._retries.call(lambda left: self._transport.status(target, left))

    def close(self) -> None:
        """Closes connections."""
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _metadata_once(self, target: Target) -> Metadata:
        with self._lock:
            known = self._known.get(target)
        return known or self.metadata(target.model_name, target.version, target.label)

    def _signature(self, target: Target, name: str) -> Signature:
        metadata = self._metadata_once(target)
        if name not in metadata.signatures:
            names = ", ".join(metadata.signatures) or "none"
            raise RequestError(
                self.address,
                "INVALID_ARGUMENT",
                f"version {metadata.version} has no signature {name!r}; expected one of: {names}",
            )
        return metadata.signatures[name]

    def _typed(self, target: Target, name: str) -> str:
        return name if name in self._metadata_once(target).signatures else DEFAULT_SIGNATURE

    def _checked(self, target: Target, attempt: Any) -> Any:
        """Asks, and forgets the signatures when they may be another version's by now."""
        version = None
        try:
            answer = self._retries.call(attempt)
            version = answer.version
            return answer
        except RequestError as error:
            if error.code not in _STALE:
                version = self._known_version(target)
            raise
        finally:
            if version != self._known_version(target):
                with self._lock:
                    self._known.pop(target, None)

    def _known_version(self, target: Target) -> int | None:
        with self._lock:
            known = self._known.get(target)
        return known.version if known else None


def connect(
    address: str,
    *,
    timeout: float = 30.0,
    retries: int = 3,
    seed: int | None = None,
    ca_file: str | Path | None = None,
    certificate_file: str | Path | None = None,
    key_file: str | Path | None = None,
) -> Client:
    """A client for an address; nothing is asked yet.

    Args:
      address: `host:port` or `grpc://host:port`, or `grpcs://` (TLS); `http://` or `https://host:port`; or a path: of a
        SavedModel, of the directory of a model's versions, or of the one above, which holds models by name. A path loads
        TensorFlow here.
      timeout: seconds for each request, its retries and waits included.
      retries: how often at most to ask again when the server cannot be reached or says that it is busy.
      seed: of the waits between retries, to repeat them.
      ca_file: PEM file of the authorities to trust instead of the system's.
      certificate_file: PEM file of this client's certificate, for a server that asks for one.
      key_file: PEM file of its key.

    Raises:
      ConfigError: an address or a file that cannot be used.
    """
    if not timeout > 0 or retries < 0:
        raise ConfigError(
            f"timeout {timeout} and retries {retries}: expected seconds above 0 and a number from 0 on; change them."
        )
    place = addresses.parse("--server", address, (*addresses.GRPC, *addresses.REST, *addresses.PATH))
    policy = Retries(timeout, retries, seed)
    if not place.scheme:
        from serving.client.from_files import FilesTransport

        return Client(FilesTransport(Path(place.place)), policy)
    certificates = _read_all(ca_file=ca_file, certificate_file=certificate_file, key_file=key_file)
    if place.scheme in addresses.GRPC:
        from serving.client.over_grpc import GrpcTransport

        return Client(GrpcTransport(place.place, tls=place.tls, **certificates), policy)
    from serving.client.over_rest import RestTransport

    return Client(RestTransport(str(place), ca_file=ca_file, certificate_file=certificate_file, key_file=key_file), policy)


def _read_all(**files: str | Path | None) -> dict[str, bytes | None]:
    try:
        return {name: Path(path).read_bytes() if path else None for name, path in files.items()}
    except OSError as error:
        raise ConfigError(f"cannot read {error.filename}: {error.strerror}; give a PEM file.") from None


def _target(model_name: str, version: int | None, label: str) -> Target:
    if version is not None and label:
        raise ConfigError(f"both version {version} and label {label!r} are given; expected at most one, so drop one.")
    return Target(model_name, version, label)


def select(outputs: Arrays, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The outputs named, or all if none is: for ways that cannot ask for less."""
    return {name: array for name, array in outputs.items() if not names or name in names}
