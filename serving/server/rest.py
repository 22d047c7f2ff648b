"""The REST front end: TensorFlow Serving's /v1/models, and /healthz and /readyz beside it."""

from __future__ import annotations

import json
import logging
import re
import zlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from serving.server import json_answer, json_request, models
from serving.server.models import Model
from serving.server.status import ApiError, invalid

# The words match in any case, the verb after the colon is compared with case afterwards, as in the real server.
_MODEL = r"(?i:/v1/models)/(?P<name>[^/:]+)(?:(?i:/versions)/(?P<version>[0-9]+)|(?i:/labels)/(?P<label>[^/:]+))?"
_POST = re.compile(_MODEL + r":(?P<verb>(?i:predict|classify|regress))")
_GET = re.compile(_MODEL + r"(?P<metadata>(?i:/metadata))?")
_NO_NAME = re.compile(r"(?i:/v1/models)/?")
_LAST_VERSION = 2**63 - 1

_log = logging.getLogger(__name__)


def application(served: Mapping[str, Model], max_body_bytes: int) -> Starlette:
    """The ASGI application over some models by name."""

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def readyz(_: Request) -> Response:
        waiting = sorted(name for name, model in served.items() if not model.ready)
        if waiting:
            return PlainTextResponse(f"no version available: {', '.join(waiting)}\n", status_code=503)
        return PlainTextResponse("ready\n")

    routes = [Route("/healthz", healthz), Route("/readyz", readyz), Route("/{path:path}", _Api(served, max_body_bytes))]
    return Starlette(routes=routes)


class _Api:
    """Everything under /v1, for which the real server has its own idea of matching."""

    def __init__(self, served: Mapping[str, Model], max_body_bytes: int) -> None:
        self._served = served
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._respond(request)
        except ApiError as error:
            response = _json(json.dumps({"error": error.message}, ensure_ascii=False), error.http_status)
        except ClientDisconnect:
            return
        except Exception as error:
            _log.exception("defect while answering %s %s", request.method, request.url.path)
            response = _json(json.dumps({"error": f"internal error: {type(error).__name__}"}), 500)
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        path = request.scope["raw_path"].partition(b"?")[0].decode("latin-1")
        if not path.lower().startswith("/v1/"):
            return PlainTextResponse("Not Found\n", status_code=404)
        if request.method == "POST" and (match := _POST.fullmatch(path)):
            body = await _body(request, self._max_body_bytes)
            return _json(await run_in_threadpool(self._answer, match, body))
        if request.method == "GET" and (match := _GET.fullmatch(path)):
            return _json(await run_in_threadpool(self._describe, match))
        if request.method == "GET" and _NO_NAME.fullmatch(path):
            raise invalid("Missing model name in request")
        if request.method == "OPTIONS":
            return _preflight(request.headers.get("origin", ""))
        raise invalid(f"Malformed request: {request.method} {path}")

    def _answer(self, match: re.Match[str], body: bytes) -> str:
        if match["verb"] not in ("predict", "classify", "regress"):
            raise invalid(f"Malformed request: POST {match.string}")
        if match["verb"] != "predict":
            raise ApiError("UNIMPLEMENTED", f"{match['verb']} is not answered here; ask the signature with predict")
        name, version, label = _target(match)
        content = json_request.parse_object(body)
        signature_name = json_request.signature_name(content)
        servable = models.find(self._served, name, version, label)
        signature = servable.signature(signature_name)
        inputs, row_format = json_request.inputs(content, signature)
        return json_answer.answer(servable.predict(signature, inputs), row_format=row_format)

    def _describe(self, match: re.Match[str]) -> str:
        name, version, label = _target(match)
        if match["metadata"]:
            return _pretty(_metadata(name, models.find(self._served, name, version, label)))
        known = models.statuses(self._served, name, version)
        return _pretty({"model_version_status": [_status(status) for status in known]})


def _preflight(origin: str) -> Response:
    """Whether a browser's page may ask; it gets no leave to, as from the real server without its CORS flag."""
    if not origin.startswith(("http://", "https://")):
        raise ApiError("FAILED_PRECONDITION", "Origin header is missing or no http(s) address")
    return Response()


def _target(match: re.Match[str]) -> tuple[str, int | None, str]:
    """Model name, version and label of a path."""
    if match["version"] and (len(match["version"]) > 400 or int(match["version"]) > _LAST_VERSION):
        raise invalid(f"Failed to convert version: {match['version']} to numeric.")
    return unquote(match["name"]), int(match["version"]) if match["version"] else None, unquote(match["label"] or "")


def _status(status: models.VersionStatus) -> dict[str, Any]:
    return {
        "version": str(status.version),
        "state": status.state,
        "status": {"error_code": status.code, "error_message": status.message},
    }


def _metadata(name: str, servable: models.Servable) -> dict[str, Any]:
    from google.protobuf.json_format import MessageToDict

    definitions = {
        key: MessageToDict(value, preserving_proto_field_name=True, including_default_value_fields=True)
        for key, value in sorted(servable.signature_defs.items())
    }
    return {
        "model_spec": {"name": name, "signature_name": "", "version": str(servable.version)},
        "metadata": {"signature_def": {"signature_def": definitions}},
    }


async def _body(request: Request, limit: int) -> bytes:
    """The request's body, inflated, of at most `limit` bytes."""
    inflate = zlib.decompressobj(31) if "gzip" in request.headers.get("content-encoding", "").lower() else None
    pieces, size, received = [], 0, 0
    async for raw in request.stream():
        received += len(raw)
        try:
            piece = inflate.decompress(raw, limit - size + 1) if inflate else raw
        except zlib.error as error:
            raise invalid(f"the body is not gzip as its Content-Encoding says: {error}") from None
        pieces.append(piece)
        size += len(piece)
        if max(size, received) > limit:
            raise ApiError("RESOURCE_EXHAUSTED", f"the body is larger than {limit} bytes", http_status=413)
    if inflate and (not inflate.eof or inflate.unused_data):
        raise invalid("the gzip body was cut off or has something after its end")
    return b"".join(pieces)


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=4, ensure_ascii=False)


def _json(text: str, status: int = 200) -> Response:
    return Response(text.encode("utf-8", errors="replace"), status, media_type="application/json")
