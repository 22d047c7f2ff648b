"""A model server that is not ours: it reads models.config and answers at once, but for what it is told not to follow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from serving import layout, protocol, records

_STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
_METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, root: Path, loading: set[int], stuck: Mapping[str, int]) -> None:
        self._root, self._loading, self._stuck = root, loading, stuck

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        answer = {_STATUS: self._status, _METADATA: self._metadata}[details.method]
        request, reply = (protocol.message(f"tensorflow.serving.{name}") for name in protocol.METHODS[details.method])

        def handle(asked: Any, context: grpc.ServicerContext) -> Any:
            return answer(asked.model_spec, reply(), context)

        return grpc.unary_unary_rpc_method_handler(handle, request.FromString, reply.SerializeToString)

    def _status(self, spec: Any, reply: Any, context: grpc.ServicerContext) -> Any:
        for version in records.in_service(layout.serving(self._root / spec.name)):
            state = "LOADING" if version in self._loading else "AVAILABLE"
            number = protocol.number_of("tensorflow.serving.ModelVersionState", state)
            reply.model_version_status.add(version=version, state=number)
        return reply

    def _metadata(self, spec: Any, reply: Any, context: grpc.ServicerContext) -> Any:
        now = layout.serving(self._root / spec.name)
        labels = {**getattr(now.state, "labels", {}), **self._stuck}
        served = [version for version in records.in_service(now) if version not in self._loading]
        version = labels.get(spec.version_label) if spec.version_label else max(served, default=None)
        if version is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "none")
        reply.model_spec.version.value = version
        return reply


@contextmanager
def other_server(
    root: Path,
    loading: set[int] = frozenset(),
    stuck: Mapping[str, int] | None = None,
    credentials: grpc.ServerCredentials | None = None,
) -> Iterator[str]:
    """Runs one and gives its HOST:PORT. `loading`: versions that never come; `stuck`: labels that it does not move."""
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool, handlers=[_Handlers(root, loading, stuck or {})])
        place = "127.0.0.1:0"
        port = server.add_secure_port(place, credentials) if credentials else server.add_insecure_port(place)
        server.start()
        yield f"127.0.0.1:{port}"
        server.stop(None).wait()
