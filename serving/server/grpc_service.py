"""The gRPC front end: PredictionService.Predict and GetModelMetadata, ModelService.GetModelStatus."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.server import models, tensor_proto
from serving.server.models import Model
from serving.server.servable import Servable
from serving.server.signature import DEFAULT_SIGNATURE, Signature
from serving.server.status import CODE_NUMBERS, ApiError, invalid

_MAX_MESSAGE_BYTES = 2**31 - 1
_THREADS = 16

_log = logging.getLogger(__name__)


def open_server(served: Mapping[str, Model], address: str) -> grpc.Server:
    """Starts a server on `host:port`.

    Raises:
      RuntimeError: the address cannot be listened on.
    """
    options = [
        ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
        ("grpc.so_reuseport", 0),  # two servers on one port would take turns in answering
    ]
    server = grpc.server(ThreadPoolExecutor(_THREADS, thread_name_prefix="grpc"), options=options)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_PredictionService(served), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_ModelService(served), server)
    server.add_insecure_port(address)
    server.start()
    return server


def _refusing(method: Callable[[Any, Any], Any]) -> Callable[[Any, Any, grpc.ServicerContext], Any]:
    """A method of a service, of which an ApiError becomes the call's status."""

    def answer(self: Any, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(self, request)
        except ApiError as error:
            code, message = grpc.StatusCode[error.code], error.message
        except Exception as error:
            _log.exception("defect while answering %s", type(request).__name__)
            code, message = grpc.StatusCode.INTERNAL, f"internal error: {type(error).__name__}"
        return context.abort(code, message)  # raises

    return answer


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, served: Mapping[str, Model]) -> None:
        self._served = served

    @_refusing
    def Predict(self, request: Any) -> Any:
        servable = _servable(self._served, request)
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        signature = servable.signature(name, code="FAILED_PRECONDITION")
        inputs = tensor_proto.inputs(request.inputs, signature)
        _check_filter(request.output_filter, signature)
        outputs = servable.predict(signature, inputs, request.output_filter)
        reply = predict_pb2.PredictResponse(
            outputs={key: tensor_proto.from_array(array) for key, array in outputs.items()},
        )
        _answered_by(reply.model_spec, request, servable)
        reply.model_spec.signature_name = name
        return reply

    @_refusing
    def GetModelMetadata(self, request: Any) -> Any:
        _check_spec(request)
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        if unknown := [field for field in request.metadata_field if field != "signature_def"]:
            raise invalid(f"Metadata field {unknown[0]} is not supported")
        servable = _servable(self._served, request)
        definitions = get_model_metadata_pb2.SignatureDefMap(signature_def=servable.signature_defs)
        reply = get_model_metadata_pb2.GetModelMetadataResponse()
        _answered_by(reply.model_spec, request, servable)
        reply.metadata["signature_def"].Pack(definitions)
        return reply


class _ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, served: Mapping[str, Model]) -> None:
        self._served = served

    @_refusing
    def GetModelStatus(self, request: Any) -> Any:
        _check_spec(request)
        spec = request.model_spec
        version = spec.version.value if spec.HasField("version") else None
        reply = get_model_status_pb2.GetModelStatusResponse()
        for status in models.statuses(self._served, spec.name, version):
            entry = reply.model_version_status.add(version=status.version)
            entry.state = get_model_status_pb2.ModelVersionStatus.State.Value(status.state)
            entry.status.error_code = CODE_NUMBERS[status.code]
            entry.status.error_message = status.message
        return reply


def _check_spec(request: Any) -> None:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    if not request.model_spec.name:
        raise invalid("ModelSpec has no model name specified.")


def _servable(served: Mapping[str, Model], request: Any) -> Servable:
    _check_spec(request)
    spec = request.model_spec
    version = spec.version.value if spec.HasField("version") else None
    return models.find(served, spec.name, version, spec.version_label)


def _answered_by(spec: Any, request: Any, servable: Servable) -> None:
    spec.name = request.model_spec.name
    spec.version.value = servable.version


def _check_filter(names: Sequence[str], signature: Signature) -> None:
    for position, name in enumerate(names):
        if name not in signature.outputs:
            known = ", ".join(signature.outputs)
            raise invalid(f"output tensor alias not found in signature: {name} Outputs expected to be in the set {{{known}}}.")
        if name in names[:position]:
            raise invalid(f"duplicate output tensor alias: {name}")
