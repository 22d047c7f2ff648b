"""The gRPC front end: TensorFlow Serving's PredictionService and ModelService on a `grpc.aio` server.

Small messages are read and written in the event loop, large ones in a thread (`Engine.convert`), models run in threads
(`Engine.predict`). Every call is counted and timed in one place, `Service._answer`. A call whose client has gone, or whose
deadline is over, is cancelled by gRPC, and with it what it has waiting.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import grpc
import numpy as np
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from serving.server import admin, classify_regress, grpc_limits, multi_inference, tensor_proto, wire
from serving.server.execution import LARGE_BYTES, Arrays, Engine, Held
from serving.server.flags import MAX_BODY_BYTES
from serving.server.manager import Manager
from serving.server.metrics import Metrics
from serving.server.rest_body import Budget, inflated
from serving.server.signature import DEFAULT_SIGNATURE, Signature
from serving.server.status import CODE_NUMBERS, ApiError, invalid

_MESSAGES_IN_FLIGHT = 8  # of the largest size allowed, taken together
_STRING_BYTES = 4  # times what an array of strings says that it takes, without their text
_CLASS_BYTES = 16  # a label and a score take that much longer to write than as many bytes of a tensor
_OF_EXAMPLES = (
    classification_pb2.ClassificationRequest,
    regression_pb2.RegressionRequest,
    inference_pb2.MultiInferenceRequest,
)
_MORE_PARTS = 1000  # than its examples, that such a request may have
_PREDICTION, _MODEL = "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Call:
    """One call as its method sees it, and what it is counted as."""

    request: Any
    size: int
    context: Any
    model: str = ""
    held: int = 0  # of the budget


Method = Callable[[_Call], Awaitable[Any]]


def create_server(handlers: Sequence[grpc.GenericRpcHandler], max_message_bytes: int = MAX_BODY_BYTES) -> Any:
    """A `grpc.aio` server without a port, for the running event loop."""
    return grpc.aio.server(handlers=handlers, options=grpc_limits.options(max_message_bytes))


class Service:
    """All methods.

    Args:
      manager: has the models.
      engine: runs them.
      metrics: counts calls.
      admin_token: without which no call changes the configuration; None if none may.
      max_message_bytes: of one request.
    """

    def __init__(
        self,
        manager: Manager,
        engine: Engine,
        metrics: Metrics,
        admin_token: bytes | None = None,
        max_message_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self._manager = manager
        self._engine = engine
        self._metrics = metrics
        self._admin_token = admin_token
        self._refusals = admin.Refusals()
        self._max_message_bytes = max_message_bytes
        self._budget = Budget(_MESSAGES_IN_FLIGHT * max_message_bytes)

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """For `create_server`."""
        prediction: dict[str, tuple[Any, Method]] = {
            "Predict": (predict_pb2.PredictRequest, self._predict),
            "Classify": (classification_pb2.ClassificationRequest, partial(self._typed, classify_regress.CLASSIFY)),
            "Regress": (regression_pb2.RegressionRequest, partial(self._typed, classify_regress.REGRESS)),
            "MultiInference": (inference_pb2.MultiInferenceRequest, self._multi_inference),
            "GetModelMetadata": (get_model_metadata_pb2.GetModelMetadataRequest, self._metadata),
        }
        model: dict[str, tuple[Any, Method]] = {
            "GetModelStatus": (get_model_status_pb2.GetModelStatusRequest, self._status),
            "HandleReloadConfigRequest": (model_management_pb2.ReloadConfigRequest, self._reload),
        }
        return [self._handler(_PREDICTION, prediction), self._handler(_MODEL, model)]

    def _handler(self, service: str, methods: dict[str, tuple[Any, Method]]) -> grpc.GenericRpcHandler:
        # Bytes go in and out: where they are parsed depends on how many they are.
        made = {api: grpc.unary_unary_rpc_method_handler(self._answering(api, *how)) for api, how in methods.items()}
        return grpc.method_handlers_generic_handler(service, made)

    def _answering(self, api: str, kind: Any, method: Method) -> Callable[[bytes, Any], Awaitable[Any]]:
        async def answer(raw: bytes, context: Any) -> Any:  # no `partial`, into which grpc.aio would look at each call
            return await self._answer(api, kind, method, raw, context)

        return answer

    async def _answer(self, api: str, kind: Any, method: Method, raw: bytes, context: Any) -> Any:
        """Answers a call: here calls are counted and timed, and an ApiError becomes their status."""
        call, started, code = _Call(None, len(raw), context), time.perf_counter(), "CANCELLED"
        try:
            reply = await self._held(call, kind, method, raw)
            code = "OK"
            return reply
        except ApiError as error:
            code, message = error.code, error.message
        except Exception as error:
            _log.exception("defect while answering %s", api)
            code, message = "INTERNAL", f"internal error: {type(error).__name__}"
        finally:
            self._metrics.answered(call.model, api, "GRPC", code, time.perf_counter() - started)
        return await context.abort(grpc.StatusCode[code], message)  # raises

    async def _held(self, call: _Call, kind: Any, method: Method, raw: bytes) -> bytes:
        self._take(call, len(raw))
        try:
            if raw[:2] == grpc_limits.GZIP:
                raw = await self._engine.convert(LARGE_BYTES + 1, inflated, raw, self._max_message_bytes)
                self._take(call, len(raw))
                call.size = len(raw)
            call.request = await self._engine.convert(call.size, _parsed, kind, raw)
            reply = await method(call)
            return reply if isinstance(reply, bytes) else reply.SerializeToString()
        finally:
            self._budget.give_back(call.held)

    def _take(self, call: _Call, size: int) -> None:
        """Takes of the budget for what a call holds; it is given back when the call is answered."""
        self._budget.take(size)
        call.held += size

    async def _examples(self, call: _Call) -> np.ndarray:
        examples = await self._engine.convert(call.size, classify_regress.examples, call.request.input)
        self._take(call, max(0, classify_regress.size(examples) - call.size))  # copies of the context
        self._metrics.took_examples(call.model, len(examples))
        return examples

    async def _predict(self, call: _Call) -> bytes:
        request = call.request
        with self._lease(call, request.model_spec) as held:
            servable = held.servable
            name = request.model_spec.signature_name or DEFAULT_SIGNATURE
            signature = servable.signature(name, code="FAILED_PRECONDITION")
            inputs = await self._engine.convert(call.size, tensor_proto.inputs, request.inputs, signature)
            self._take(call, max(0, _memory(inputs) - call.size))  # values that one stands for
            only = tuple(request.output_filter)
            _check_filter(only, signature)
            outputs = await self._run("Predict", call, held, signature, inputs, only)
            return await self._engine.convert(_size(outputs), _predicted, call.model, name, servable.version, outputs)

    async def _typed(self, method: str, call: _Call) -> Any:
        """Classify or regress."""
        request = call.request
        with self._lease(call, request.model_spec) as held:
            servable = held.servable
            name = request.model_spec.signature_name or DEFAULT_SIGNATURE
            signature = servable.signature(name)
            classify_regress.check(method, signature)
            examples = await self._examples(call)
            api = "Classify" if method == classify_regress.CLASSIFY else "Regress"
            outputs = await self._run(api, call, held, signature, {classify_regress.INPUTS: examples})
            kind = classification_pb2.ClassificationResponse
            reply = kind() if method == classify_regress.CLASSIFY else regression_pb2.RegressionResponse()
            size = _size(outputs) * _CLASS_BYTES
            result = await self._engine.convert(size, classify_regress.result, method, outputs, len(examples))
            reply.result.CopyFrom(result)
            _answered_by(reply.model_spec, request.model_spec, servable.version)
            reply.model_spec.signature_name = name
            return reply

    async def _multi_inference(self, call: _Call) -> Any:
        spec = multi_inference.model_spec(call.request)
        with self._lease(call, spec) as held:
            servable = held.servable
            asked = multi_inference.tasks(call.request, servable)
            examples = await self._examples(call)
            given = {classify_regress.INPUTS: examples}
            running = [self._run("MultiInference", call, held, task.signature, given) for task in asked]
            outcomes = await asyncio.gather(*running, return_exceptions=True)  # the lease is kept until all are done
            answers = [_answer_of(outcome) for outcome in outcomes]
            size = sum(_size(answer) for answer in answers) * _CLASS_BYTES
            told = (spec.name, servable.version, asked, answers, len(examples))
            return await self._engine.convert(size, multi_inference.reply, *told)

    async def _metadata(self, call: _Call) -> Any:
        request = call.request
        _check_spec(request, request.model_spec)
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        if unknown := [field for field in request.metadata_field if field != "signature_def"]:
            raise invalid(f"Metadata field {unknown[0]} is not supported")
        with self._lease(call, request.model_spec) as held:
            servable = held.servable
            definitions = get_model_metadata_pb2.SignatureDefMap(signature_def=servable.signature_defs)
            reply = get_model_metadata_pb2.GetModelMetadataResponse()
            _answered_by(reply.model_spec, request.model_spec, servable.version)
            reply.metadata["signature_def"].Pack(definitions)
            return reply

    async def _status(self, call: _Call) -> Any:
        spec = call.request.model_spec
        _check_spec(call.request, spec)
        call.model = spec.name
        reply = get_model_status_pb2.GetModelStatusResponse()
        for status in self._manager.statuses(spec.name, spec.version.value if spec.HasField("version") else None):
            entry = reply.model_version_status.add(version=status.version)
            entry.state = get_model_status_pb2.ModelVersionStatus.State.Value(status.state)
            entry.status.error_code = CODE_NUMBERS[status.code]
            entry.status.error_message = status.message
        return reply

    async def _reload(self, call: _Call) -> Any:
        try:
            admin.authorise(call.context.invocation_metadata(), self._admin_token)
        except ApiError as error:
            self._refusals.tell(call.context.peer(), error)
            raise
        reply, failure = await asyncio.to_thread(admin.reload, call.request, self._manager.reload, self._metrics.values)
        if failure is not None:
            raise failure
        return reply

    async def _run(self, api: str, call: _Call, held: Held, signature: Signature, *given: Any) -> Arrays:
        started = time.perf_counter()
        outputs = await self._engine.predict(held, signature, *given)
        self._metrics.ran(call.model, api, time.perf_counter() - started)
        return outputs

    def _lease(self, call: _Call, spec: Any) -> Held:
        _check_spec(call.request, spec)
        call.model = spec.name
        version = spec.version.value if spec.HasField("version") else None
        return Held(self._manager.lease(spec.name, version, spec.version_label))


def _parsed(kind: Any, raw: bytes) -> Any:
    if kind in _OF_EXAMPLES and len(raw) > LARGE_BYTES:
        wire.check_parts(raw, classify_regress.MAX_EXAMPLES + _MORE_PARTS)
    try:
        return kind.FromString(raw)
    except DecodeError:
        raise ApiError("INVALID_ARGUMENT", f"cannot parse the message as {kind.DESCRIPTOR.full_name}") from None


def _predicted(model: str, signature_name: str, version: int, outputs: Arrays) -> bytes:
    """A PredictResponse on the wire: field 1 maps names (1) to tensors (2), field 2 is the ModelSpec."""
    pieces = [_spec_wire(model, signature_name, version)]
    for name, array in outputs.items():
        entry = tensor_proto.field(1, name.encode()) + tensor_proto.field(2, tensor_proto.wire(array))
        pieces.append(tensor_proto.field(1, entry))
    return b"".join(pieces)


@lru_cache(1024)
def _spec_wire(model: str, signature_name: str, version: int) -> bytes:
    reply = predict_pb2.PredictResponse()
    reply.model_spec.name = model
    reply.model_spec.version.value = version
    reply.model_spec.signature_name = signature_name
    return bytes(reply.SerializeToString())


def _answer_of(outcome: Arrays | BaseException) -> Arrays:
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _size(outputs: Arrays) -> int:
    return sum(array.nbytes for array in outputs.values())


def _memory(inputs: Arrays) -> int:
    return sum([array.nbytes * (_STRING_BYTES if array.dtype == object else 1) for array in inputs.values()])


def _check_spec(request: Any, spec: Any) -> None:
    if "model_spec" in request.DESCRIPTOR.fields_by_name and not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    if not spec.name:
        raise invalid("ModelSpec has no model name specified.")


def _answered_by(spec: Any, asked: Any, version: int) -> None:
    spec.name = asked.name
    spec.version.value = version


def _check_filter(names: Sequence[str], signature: Signature) -> None:
    for position, name in enumerate(names):
        if name not in signature.outputs:
            known = ", ".join(signature.outputs)
            raise invalid(f"output tensor alias not found in signature: {name} Outputs expected to be in the set {{{known}}}.")
        if name in names[:position]:
            raise invalid(f"duplicate output tensor alias: {name}")
