"""Asks a model server over gRPC, with messages that need no TensorFlow."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Any

import grpc

from serving import addresses, protocol
from serving.client import examples as tf_examples
from serving.client import tensors
from serving.client.answers import Answer, Arrays, Classified, Metadata, Regressed, RequestError, Target, VersionStatus
from serving.client.signatures import signatures
from serving.server.signature import Signature
from serving.server.status import CODE_NAMES

_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_retries", 0),  # `retries` does that, and says how long it takes
    ("grpc.enable_http_proxy", 0),
    ("grpc.lb_policy_name", "round_robin"),  # where a name has several addresses, as a headless service's, all are asked
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]


class GrpcTransport:
    """One channel to `host:port`."""

    def __init__(
        self,
        target: str,
        *,
        tls: bool,
        ca_file: bytes | None = None,
        certificate_file: bytes | None = None,
        key_file: bytes | None = None,
    ) -> None:
        self.address = f"{'grpcs' if tls else 'grpc'}://{target}"
        if tls:
            credentials = grpc.ssl_channel_credentials(ca_file, key_file, certificate_file)
            self._channel = grpc.secure_channel(target, credentials, _OPTIONS)
        else:
            self._channel = grpc.insecure_channel(target, _OPTIONS)
        self._methods = {path.rpartition("/")[2]: self._method(path, *kinds) for path, kinds in protocol.METHODS.items()}

    def predict(self, target: Target, signature: Signature, arrays: Arrays, outputs: Sequence[str], seconds: float) -> Answer:
        request = _request("PredictRequest", target, signature.name)
        for name, array in arrays.items():
            tensors.fill(request.inputs[name], array)
        request.output_filter.extend(outputs)
        reply = self._call("Predict", request, seconds)
        found = {name: tensors.to_array(reply.outputs[name]) for name in sorted(reply.outputs)}
        return Answer(**_answered(reply, signature.name), outputs=found)

    def classify(self, target: Target, signature: str, examples: Sequence[Mapping[str, Any]], seconds: float) -> Classified:
        reply = self._call("Classify", _with_examples("ClassificationRequest", target, signature, examples), seconds)
        results = tuple(tuple((one.label, one.score) for one in classes.classes) for classes in reply.result.classifications)
        return Classified(**_answered(reply, signature), results=results)

    def regress(self, target: Target, signature: str, examples: Sequence[Mapping[str, Any]], seconds: float) -> Regressed:
        reply = self._call("Regress", _with_examples("RegressionRequest", target, signature, examples), seconds)
        return Regressed(**_answered(reply, signature), results=tuple(one.value for one in reply.result.regressions))

    def metadata(self, target: Target, seconds: float) -> Metadata:
        request = _request("GetModelMetadataRequest", target, "")
        request.metadata_field.append("signature_def")
        reply = self._call("GetModelMetadata", request, seconds)
        found = protocol.message("tensorflow.serving.SignatureDefMap").FromString(reply.metadata["signature_def"].value)
        return Metadata(reply.model_spec.version.value, signatures(found.signature_def))

    def status(self, target: Target, seconds: float) -> list[VersionStatus]:
        reply = self._call("GetModelStatus", _request("GetModelStatusRequest", target, ""), seconds)
        return [
            VersionStatus(
                one.version,
                protocol.name_of("tensorflow.serving.ModelVersionState", one.state),
                CODE_NAMES.get(one.status.error_code, "UNKNOWN"),
                one.status.error_message,
            )
            for one in reply.model_version_status
        ]

    def close(self) -> None:
        self._channel.close()

    def _method(self, path: str, request: str, reply: str) -> Any:
        kinds = [protocol.message(f"tensorflow.serving.{name}") for name in (request, reply)]
        return self._channel.unary_unary(path, kinds[0].SerializeToString, kinds[1].FromString)

    def _call(self, method: str, request: Any, seconds: float) -> Any:
        try:
            return self._methods[method](request, timeout=seconds)
        except grpc.RpcError as error:
            raise self._error(error.code().name, error.details() or "") from None

    def _refused(self) -> str:
        """What a plain connection fails with; empty if it does not fail."""
        host, _, port = self.address.partition("://")[2].rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=1).close()
        except OSError as error:
            return str(error)
        return ""

    def _error(self, code: str, details: str) -> RequestError:
        if "FD Shutdown" in details:  # an attempt that was given up hides why the one before it failed
            details = self._refused() or details
        trouble = addresses.trouble(details) if code == "UNAVAILABLE" else None
        if trouble:
            return RequestError(self.address, code, trouble.reason, transient=trouble.passing, remedy=trouble.remedy)
        passing = code == "UNAVAILABLE" and "handshake failed" not in details.lower()
        return RequestError(self.address, code, details, transient=passing)


def _request(kind: str, target: Target, signature: str) -> Any:
    request = protocol.message(f"tensorflow.serving.{kind}")()
    request.model_spec.name = target.model_name
    request.model_spec.signature_name = signature
    if target.version is not None:
        request.model_spec.version.value = target.version
    elif target.label:
        request.model_spec.version_label = target.label
    return request


def _with_examples(kind: str, target: Target, signature: str, examples: Sequence[Mapping[str, Any]]) -> Any:
    request = _request(kind, target, signature)
    request.input.example_list.examples.extend(map(tf_examples.to_proto, examples))
    return request


def _answered(reply: Any, signature: str) -> dict[str, Any]:
    return {"model_name": reply.model_spec.name, "version": reply.model_spec.version.value, "signature": signature}
