"""What model servers really answer, over gRPC, without TensorFlow; and waiting until it is what it should be."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from errors import ConfigError, ReleaseError
from serving import addresses as forms

AVAILABLE, END = "AVAILABLE", "END"
_CALL_SECONDS = 5.0
_POLL_SECONDS = 0.2
_GIVEN_UP_SECONDS = 5.0  # a failure of earlier may be told until the server has read its configuration anew


@dataclass(frozen=True)
class Version:
    """How far a server is with a version: START, LOADING, AVAILABLE, UNLOADING or END; an END has an error if it failed."""

    state: str
    error: str


@dataclass(frozen=True)
class Answer:
    """What one server says of one model.

    Attributes:
      address: host:port.
      problem: why it does not answer; empty if it does.
      versions: those it knows.
      live: the version that answers a request that names none; None if none does.
      labels: label -> the version that answers to it; None if none does.
    """

    address: str
    problem: str = ""
    versions: Mapping[int, Version] = field(default_factory=dict)
    live: int | None = None
    labels: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Expected:
    """What every server should answer.

    Attributes:
      available: versions that are loaded.
      live: the version that a request gets which names none; None if that does not matter.
      labels: label -> the version that answers to it.
    """

    available: Collection[int] = ()
    live: int | None = None
    labels: Mapping[str, int] = field(default_factory=dict)

    @property
    def awaited(self) -> list[int]:
        """The versions that must be loaded, rising."""
        return sorted({*self.available, *(() if self.live is None else (self.live,))})

    def missing(self, answer: Answer) -> str:
        """Returns in what an answer differs, in words; empty if it does not."""
        if answer.problem:
            return answer.problem
        for version in self.awaited:
            said = answer.versions.get(version)
            if said is None or said.state != AVAILABLE:
                return _not_available(version, said, answer)
        if self.live is not None and answer.live != self.live:
            return f"requests without a version still get {_named(answer.live)}, not version {self.live}"
        for name, version in self.labels.items():
            if answer.labels.get(name) != version:
                return f"label {name} still gets {_named(answer.labels.get(name))}, not version {version}"
        return ""

    def failed(self, answer: Answer) -> bool:
        """Tells whether a server has given up on a version that is waited for."""
        return any(said.state == END and said.error for version, said in answer.versions.items() if version in self.awaited)


def check_addresses(option: str, addresses: Sequence[str]) -> None:
    """Refuses what is neither HOST:PORT nor grpc://HOST:PORT or grpcs://HOST:PORT.

    Raises:
      ConfigError: names the option.
    """
    for address in addresses:
        forms.parse(option, address)


def ask(address: str, model_name: str, labels: Collection[str] = (), ca_file: str | None = None) -> Answer:
    """Asks one server for the state of a model's versions and for which of them answer; never raises for what it says.

    Args:
      address: HOST:PORT of its gRPC, with grpcs:// before it for TLS.
      model_name: of the model.
      labels: of which it is asked, too.
      ca_file: PEM file of the authorities to trust; gRPC's own, or those of GRPC_DEFAULT_SSL_ROOTS_FILE_PATH, if None.

    Raises:
      ConfigError: the address or the file cannot be used.
    """
    import grpc

    # A connection of its own each time: one that has failed waits longer and longer before it tries again.
    with _channel(address, ca_file) as channel:
        try:
            versions = _versions(channel, model_name)
            live = _answering(channel, {"name": model_name})
            labelled = {label: _answering(channel, {"name": model_name, "version_label": label}) for label in labels}
        except grpc.RpcError as error:
            return Answer(address, problem=_unreachable(error))
    return Answer(address, versions=versions, live=live, labels=labelled)


def wait(
    addresses: Sequence[str],
    model_name: str,
    expected: Expected,
    seconds: float,
    *,
    said: Callable[[str], None] = lambda line: None,
    ca_file: str | None = None,
) -> None:
    """Waits until every server answers as expected.

    Args:
      addresses: HOST:PORT of their gRPC.
      model_name: of the model.
      expected: what they should answer.
      seconds: for how long. A server that has given up on a version is waited for a few seconds only.
      said: told once what is waited for, if it takes more than a moment.
      ca_file: see `ask`.

    Raises:
      ReleaseError: a server does not; tells what it says.
    """
    began, told = time.monotonic(), False
    while True:
        answers = [ask(address, model_name, expected.labels, ca_file) for address in addresses]
        missing = {answer.address: what for answer in answers if (what := expected.missing(answer))}
        if not missing:
            return
        waited = time.monotonic() - began
        if waited >= seconds or (waited >= _GIVEN_UP_SECONDS and any(map(expected.failed, answers))):
            raise ReleaseError("; ".join(f"server {address} after {waited:.0f} s: {what}" for address, what in missing.items()))
        if not told:
            said("; ".join(f"waiting for {address}: {what}" for address, what in missing.items()))
            told = True
        time.sleep(_POLL_SECONDS)


def _channel(address: str, ca_file: str | None) -> Any:
    import grpc

    parsed, options = forms.parse("--server", address), [("grpc.enable_http_proxy", 0)]
    if not parsed.tls:
        return grpc.insecure_channel(parsed.place, options)
    try:
        authorities = Path(ca_file).read_bytes() if ca_file else None
    except OSError as error:
        raise ConfigError(
            f"--ca_file: expected a PEM file, got {ca_file}: {error.strerror}; name one that can be read."
        ) from None
    return grpc.secure_channel(parsed.place, grpc.ssl_channel_credentials(authorities), options)


def _call(channel: Any, method: str, spec: Mapping[str, Any], **fields: Any) -> Any:
    from serving import protocol

    request, reply = (protocol.message(f"tensorflow.serving.{name}") for name in protocol.METHODS[method])
    stub = channel.unary_unary(method, request_serializer=request.SerializeToString, response_deserializer=reply.FromString)
    return stub(request(model_spec=spec, **fields), timeout=_CALL_SECONDS)


def _versions(channel: Any, model_name: str) -> dict[int, Version]:
    import grpc

    from serving import protocol

    try:
        reply = _call(channel, "/tensorflow.serving.ModelService/GetModelStatus", {"name": model_name})
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return {}
        raise
    return {
        status.version: Version(
            protocol.name_of("tensorflow.serving.ModelVersionState", status.state), status.status.error_message
        )
        for status in reply.model_version_status
    }


def _answering(channel: Any, spec: Mapping[str, Any]) -> int | None:
    import grpc

    method = "/tensorflow.serving.PredictionService/GetModelMetadata"
    try:
        return int(_call(channel, method, spec, metadata_field=["signature_def"]).model_spec.version.value)
    except grpc.RpcError as error:
        if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            raise
        return None  # it knows no such model, label, or none that is loaded


def _unreachable(error: Any) -> str:
    details = " ".join((error.details() or "").split())
    if known := forms.trouble(details):
        return f"it does not answer ({known.reason}; {known.remedy})"
    return f"it does not answer ({error.code().name}{': ' if details else ''}{details[:200]})"


def _not_available(version: int, said: Version | None, answer: Answer) -> str:
    instead = f"; it serves {_named(answer.live)}"
    if said is None:
        return f"it does not know version {version}{instead}"
    error = f" ({' '.join(said.error.split())[:300]})" if said.error else ""
    return f"version {version} is {said.state}{error}{instead}"


def _named(version: int | None) -> str:
    return "nothing" if version is None else f"version {version}"
