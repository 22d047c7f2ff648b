"""grpc.health.v1, which follows the models: `""` and the services are SERVING once every configured model is.

The real server's is static. A model's name is a service too. https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any

import grpc

from serving.server import protos

SERVICE = "grpc.health.v1.Health"
# The real server's names, those of gRPC's convention, and "" for the server as a whole.
_WHOLE = {
    "",
    "ModelService",
    "PredictionService",
    "tensorflow.serving.ModelService",
    "tensorflow.serving.PredictionService",
}
_LOOK_SECONDS = 0.5
_MAX_WATCHERS = 2048  # at once, of which each look takes some microseconds

_Request = protos.message("grpc.health.v1.HealthCheckRequest")
_Response = protos.message("grpc.health.v1.HealthCheckResponse")


class Health:
    """The service for a `grpc.aio` server.

    Args:
      names: tells the configured models.
      waiting: tells those of them that have no version available.
    """

    def __init__(self, names: Callable[[], Collection[str]], waiting: Callable[[], Collection[str]]) -> None:
        self._names = names
        self._waiting = waiting
        self._watchers = 0

    def status(self, service: str) -> int:
        """A ServingStatus; SERVICE_UNKNOWN for a name that is neither a service nor a model."""
        if service in _WHOLE:
            return protos.NOT_SERVING if self._waiting() else protos.SERVING
        if service in self._names():
            return protos.NOT_SERVING if service in self._waiting() else protos.SERVING
        return protos.SERVICE_UNKNOWN

    def handler(self) -> grpc.GenericRpcHandler:
        """For `add_generic_rpc_handlers`."""
        how = {"request_deserializer": _Request.FromString, "response_serializer": _Response.SerializeToString}
        methods = {
            "Check": grpc.unary_unary_rpc_method_handler(self._check, **how),
            "Watch": grpc.unary_stream_rpc_method_handler(self._watch, **how),
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    async def _check(self, request: Any, context: Any) -> Any:
        status = self.status(request.service)
        if status == protos.SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service or model {request.service!r}")
        return _Response(status=status)

    async def _watch(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """Tells the status now and at each change, until the caller leaves."""
        if self._watchers >= _MAX_WATCHERS:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{_MAX_WATCHERS} callers watch already; ask with Check")
        self._watchers += 1
        try:
            async for status in self._changes(request.service):
                yield _Response(status=status)
        finally:
            self._watchers -= 1

    async def _changes(self, service: str) -> AsyncIterator[int]:
        told = None
        while True:
            status = self.status(service)
            if status != told:
                yield status
                told = status
            await asyncio.sleep(_LOOK_SECONDS)
