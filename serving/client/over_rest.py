"""Asks a model server over REST, in column format, the only one that has a form for every answer."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
from google.protobuf import json_format

from errors import ConfigError
from serving import addresses, protocol
from serving.client import examples as json_examples
from serving.client.answers import Answer, Arrays, Classified, Metadata, Regressed, RequestError, Target, VersionStatus
from serving.client.client import select
from serving.client.signatures import signatures
from serving.client.values import NUMPY_TYPES
from serving.server.signature import Signature, TensorSpec

_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "RESOURCE_EXHAUSTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_VERSION_HEADER = "X-Model-Version"


class RestTransport:
    """A pool of connections to `http(s)://host:port`."""

    def __init__(
        self,
        address: str,
        *,
        ca_file: str | Path | None = None,
        certificate_file: str | Path | None = None,
        key_file: str | Path | None = None,
    ) -> None:
        self.address = address.rstrip("/")
        verify: Any = True
        try:
            if address.startswith("https"):
                verify = ssl.create_default_context(cafile=ca_file)
                if certificate_file:
                    verify.load_cert_chain(certificate_file, key_file)
            # The environment's proxies are for the outside; a model server is asked directly, as over gRPC.
            self._http = httpx.Client(base_url=self.address, verify=verify, trust_env=False)
        except (OSError, httpx.InvalidURL) as error:  # ssl's errors are OSErrors
            raise ConfigError(f"cannot use {self.address}: {error}; give host:port and PEM files.") from None

    def predict(self, target: Target, signature: Signature, arrays: Arrays, outputs: Sequence[str], seconds: float) -> Answer:
        body = {"signature_name": signature.name, "inputs": {name: _to_json(array) for name, array in arrays.items()}}
        reply, version = self._post(target, "predict", body, "outputs", seconds)
        values = reply["outputs"] if len(signature.outputs) > 1 else {next(iter(signature.outputs), ""): reply["outputs"]}
        found = {name: _from_json(values[name], spec) for name, spec in signature.outputs.items()}
        return Answer(target.model_name, version, signature.name, select(found, outputs))

    def classify(self, target: Target, signature: str, examples: Sequence[Mapping[str, Any]], seconds: float) -> Classified:
        reply, version = self._with_examples(target, "classify", signature, examples, seconds)
        results = tuple(tuple((str(label), float(score)) for label, score in one) for one in reply["results"])
        return Classified(target.model_name, version, signature, results)

    def regress(self, target: Target, signature: str, examples: Sequence[Mapping[str, Any]], seconds: float) -> Regressed:
        reply, version = self._with_examples(target, "regress", signature, examples, seconds)
        return Regressed(target.model_name, version, signature, tuple(map(float, reply["results"])))

    def metadata(self, target: Target, seconds: float) -> Metadata:
        reply, _ = self._request("GET", f"{_path(target)}/metadata", None, "metadata", seconds)
        kind = protocol.message("tensorflow.serving.SignatureDefMap")
        found = json_format.ParseDict(reply["metadata"]["signature_def"], kind(), ignore_unknown_fields=True)
        return Metadata(int(reply["model_spec"]["version"]), signatures(found.signature_def))

    def status(self, target: Target, seconds: float) -> list[VersionStatus]:
        reply, _ = self._request("GET", _path(target), None, "model_version_status", seconds)
        return [
            VersionStatus(
                int(one["version"]), one["state"], one["status"]["error_code"], one["status"].get("error_message", "")
            )
            for one in reply["model_version_status"]
        ]

    def close(self) -> None:
        self._http.close()

    def _with_examples(
        self, target: Target, verb: str, signature: str, examples: Sequence[Mapping[str, Any]], seconds: float
    ) -> tuple[dict[str, Any], int]:
        body = {"signature_name": signature, "examples": [json_examples.to_json(example) for example in examples]}
        return self._post(target, verb, body, "results", seconds)

    def _post(self, target: Target, verb: str, body: dict[str, Any], key: str, seconds: float) -> tuple[dict[str, Any], int]:
        reply, headers = self._request("POST", f"{_path(target)}:{verb}", body, key, seconds)
        if version := headers.get(_VERSION_HEADER) or target.version:
            return reply, int(version)
        # The real server does not say which version answered; the one it names now is the same unless it has just swapped.
        return reply, self.metadata(target, seconds).version

    def _request(self, method: str, path: str, body: Any, key: str, seconds: float) -> tuple[dict[str, Any], Mapping[str, str]]:
        """The reply, an object with `key`, and its headers."""
        try:
            content = json.dumps(body).encode() if body else None
            reply = self._http.request(method, path, content=content, timeout=seconds)
        except httpx.TimeoutException:
            raise RequestError(self.address, "DEADLINE_EXCEEDED", f"no answer within {seconds:.1f} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unavailable(error) from None
        return self._content(reply, key), reply.headers

    def _unavailable(self, error: Exception) -> RequestError:
        if trouble := addresses.trouble(str(error)):
            return RequestError(self.address, "UNAVAILABLE", trouble.reason, transient=trouble.passing, remedy=trouble.remedy)
        broken = isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError) and "SSL" not in str(error)
        return RequestError(self.address, "UNAVAILABLE", str(error), transient=broken)

    def _content(self, reply: httpx.Response, key: str) -> dict[str, Any]:
        try:
            content = reply.json()
        except ValueError:
            content = None
        if not isinstance(content, dict):
            content = {}
        if reply.status_code == 200 and key in content:
            return content
        code = _CODES.get(reply.status_code, "UNKNOWN")
        said = (
            str(content.get("error", ""))
            or f"HTTP status {reply.status_code} without the JSON of a model server; give its REST address"
        )
        raise RequestError(self.address, code, said, transient=reply.status_code in (429, 503))


def _path(target: Target) -> str:
    path = f"/v1/models/{quote(target.model_name, safe='')}"
    if target.version is not None:
        return f"{path}/versions/{target.version}"
    return f"{path}/labels/{quote(target.label, safe='')}" if target.label else path


def _to_json(array: np.ndarray) -> Any:
    if array.dtype != object:
        return array.tolist()
    encoded = [{"b64": base64.b64encode(item).decode("ascii")} for item in array.reshape(-1)]
    return _nested(encoded, array.shape)


def _nested(items: list[Any], shape: tuple[int, ...]) -> Any:
    if not shape:
        return items[0]
    step = len(items) // shape[0] if shape[0] else 0
    return [_nested(items[number * step : (number + 1) * step], shape[1:]) for number in range(shape[0])]


def _from_json(value: Any, spec: TensorSpec) -> np.ndarray:
    return _strings(value) if spec.dtype == "DT_STRING" else np.array(value, NUMPY_TYPES[spec.dtype])


def _strings(value: Any) -> np.ndarray:
    def items(part: Any) -> Any:
        return [items(one) for one in part] if isinstance(part, list) else _bytes(part)

    def shape(part: Any) -> tuple[int, ...]:
        return (len(part), *(shape(part[0]) if part else ())) if isinstance(part, list) else ()

    array = np.empty(shape(value), object)
    array[...] = items(value)
    return array


def _bytes(item: Any) -> bytes:
    return base64.b64decode(item["b64"]) if isinstance(item, dict) else str(item).encode("utf-8")
