"""A client per protocol, light enough that what is measured is the server."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Mapping
from typing import Any, Protocol

from components.serving_check.answers import Tensors
from components.serving_check.model_server import HOST, Server
from components.serving_check.processes import Finding


class Refused(Exception):
    """The server answered with an error."""


class Client(Protocol):
    """Sends requests that were made before, and reads the answers."""

    def send(self, request: bytes, seconds: float) -> bytes:
        """Returns the answer's bytes.

        Raises:
          Refused: the answer is an error.
          Finding: the server is gone, or did not answer in `seconds`.
        """

    def read(self, answer: bytes, names: list[str]) -> dict[str, Any]:
        """Returns the first example's outputs by name; `names` are those that are expected.

        Raises:
          ValueError: the answer is not one.
        """

    def close(self) -> None:
        """Closes the connection."""


class Rest:
    """serving_default in row format, over one connection."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection = http.client.HTTPConnection(HOST, server.rest_port)

    @staticmethod
    def request(raw: Tensors) -> bytes:
        """The body that asks with one example of named raw features [1, ...]."""
        return json.dumps({"instances": [{name: _json(array[0]) for name, array in raw.items()}]}).encode()

    def send(self, request: bytes, seconds: float) -> bytes:
        self._connection.timeout = seconds
        try:
            if self._connection.sock is not None:
                self._connection.sock.settimeout(seconds)
            self._connection.request("POST", f"/v1/models/{self._server.name}:predict", request)
            response = self._connection.getresponse()
            body = response.read()
        except TimeoutError:
            raise _too_slow(seconds) from None
        except (OSError, http.client.HTTPException):
            raise self._server.lost() from None
        if response.status != http.client.OK:
            raise Refused
        return body

    def read(self, answer: bytes, names: list[str]) -> dict[str, Any]:
        try:
            prediction = json.loads(answer.decode("utf-8", "surrogateescape"))["predictions"][0]
        except (LookupError, TypeError, RecursionError) as error:
            raise ValueError("no prediction") from error
        outputs = prediction if len(names) != 1 and isinstance(prediction, dict) else dict.fromkeys(names, prediction)
        return {name: _decoded(value) for name, value in outputs.items()}

    def close(self) -> None:
        self._connection.close()


class Grpc:
    """Predict over one channel."""

    def __init__(self, server: Server) -> None:
        import grpc

        self._server = server
        options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1), ("grpc.enable_http_proxy", 0)]
        self._channel = grpc.insecure_channel(f"{HOST}:{server.grpc_port}", options)
        self._predict = self._channel.unary_unary("/tensorflow.serving.PredictionService/Predict")

    def request(self, signature: str, inputs: Mapping[str, Any]) -> bytes:
        """A serialized PredictRequest of TensorProtos by name."""
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        request.model_spec.name = self._server.name
        request.model_spec.signature_name = signature
        for name, tensor in inputs.items():
            request.inputs[name].CopyFrom(tensor)
        return bytes(request.SerializeToString())

    def send(self, request: bytes, seconds: float) -> bytes:
        import grpc

        try:
            return bytes(self._predict(request, timeout=seconds))
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
                raise _too_slow(seconds) from None
            if error.code() == grpc.StatusCode.UNAVAILABLE:
                raise self._server.lost() from None
            raise Refused from None

    def read(self, answer: bytes, names: list[str]) -> dict[str, Any]:
        import tensorflow as tf
        from google.protobuf.message import DecodeError
        from tensorflow_serving.apis import predict_pb2

        try:
            outputs = predict_pb2.PredictResponse.FromString(answer).outputs
            return {name: tf.make_ndarray(outputs[name])[0] for name in outputs}
        except (DecodeError, LookupError, TypeError) as error:
            raise ValueError("no answer") from error

    def close(self) -> None:
        self._channel.close()


def _json(array: Any) -> Any:
    """Nested lists of plain values, encoded bytes as TensorFlow Serving takes them."""
    if getattr(array, "ndim", 0):
        return [_json(value) for value in array]
    value = array.item() if hasattr(array, "item") else array
    return {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _decoded(value: Any) -> Any:
    """{"b64": ...} anywhere in a prediction as bytes."""
    if isinstance(value, dict) and value.keys() == {"b64"}:
        return base64.b64decode(value["b64"])
    return [_decoded(inner) for inner in value] if isinstance(value, list) else value


def _too_slow(seconds: float) -> Finding:
    return Finding(f"the model server did not answer a request within {seconds:g} s")
