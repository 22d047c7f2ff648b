"""The REST front end: TensorFlow Serving's /v1/models, and /healthz and /readyz beside it; a bare ASGI application.

Small requests are read and written in the event loop, large ones in a thread (`Engine.convert`), models run in threads
(`Engine.predict`). Every answer under /v1 is counted and timed in one place, `Rest._answer`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import numpy as np

from serving.server import classify_regress, json_answer, json_examples, json_request
from serving.server.execution import Arrays, Engine, Held
from serving.server.manager import Manager
from serving.server.metrics import CONTENT_TYPE, Metrics
from serving.server.rest_body import Body, Budget
from serving.server.rest_connection import EXTENSION
from serving.server.servable import Servable
from serving.server.signature import Signature
from serving.server.status import ApiError, invalid
from serving.server.versions import VersionStatus

# The words match in any case, the verb after the colon is compared with case afterwards, as in the real server.
_MODEL = r"(?i:/v1/models)/(?P<name>[^/:]+)(?:(?i:/versions)/(?P<version>[0-9]+)|(?i:/labels)/(?P<label>[^/:]+))?"
_POST = re.compile(_MODEL + r":(?P<verb>(?i:predict|classify|regress))")
_GET = re.compile(_MODEL + r"(?P<metadata>(?i:/metadata))?")
_NO_NAME = re.compile(r"(?i:/v1/models)/?")
_LAST_VERSION = 2**63 - 1
_BODIES_IN_FLIGHT = 4  # of the largest size allowed, taken together
_METHODS = {"classify": classify_regress.CLASSIFY, "regress": classify_regress.REGRESS}
_CORS = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, POST"),
    (b"access-control-allow-headers", b"Content-Type"),
]
_JSON, _TEXT = b"application/json", b"text/plain; charset=utf-8"
_TEXT_BYTES = 16  # of a number as JSON

_log = logging.getLogger(__name__)

Receive = Callable[[], Any]
Send = Callable[[Any], Any]


@dataclass(slots=True)
class _Reply:
    text: str
    status: int = 200
    kind: bytes = _JSON
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


@dataclass(slots=True)
class _Call:
    """One request: what it is counted as, and why it was ended before its answer."""

    task: Any
    model: str = ""
    api: str = ""
    version: int | None = None
    ended: ApiError | None = None

    def end(self, error: ApiError) -> None:
        """Stops the request wherever it waits."""
        if self.ended is None:
            self.ended = error
            self.task.cancel()


class Rest:
    """The ASGI application."""

    def __init__(
        self,
        manager: Manager,
        engine: Engine,
        metrics: Metrics,
        *,
        max_body_bytes: int,
        timeout_seconds: float,
        read_seconds: float,
        cors: bool = False,
        metrics_path: str | None = None,
    ) -> None:
        """
        Args:
          manager: has the models.
          engine: runs them.
          metrics: counts requests.
          max_body_bytes: of one request, inflated.
          timeout_seconds: that a request may take from its headers to its answer.
          read_seconds: in which its body must have arrived.
          cors: let pages of other origins ask.
          metrics_path: where Prometheus asks; None for nowhere.
        """
        self._manager = manager
        self._engine = engine
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes
        self._timeout = timeout_seconds
        self._read_seconds = read_seconds
        self._cors = _CORS if cors else []
        self._metrics_path = metrics_path
        self._budget = Budget(_BODIES_IN_FLIGHT * max_body_bytes)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        path = scope["raw_path"].decode("latin-1")
        if path.lower().startswith("/v1/"):
            reply = await self._answer(scope, path, receive)
        else:
            reply = self._beside(scope["method"], path)
        body = reply.text.encode("utf-8", errors="replace")
        headers = [(b"content-type", reply.kind), (b"content-length", b"%d" % len(body)), *reply.headers]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _beside(self, method: str, path: str) -> _Reply:
        """What is asked outside of the API."""
        if method not in ("GET", "HEAD"):
            return _Reply("Not Found\n", 404, _TEXT)
        if path == "/healthz":
            return _Reply("alive\n", kind=_TEXT)
        if path == "/readyz":
            waiting = self._manager.ready()
            text = f"no version available: {', '.join(sorted(waiting))}\n" if waiting else "ready\n"
            return _Reply(text, 503 if waiting else 200, _TEXT)
        if path == self._metrics_path:
            return _Reply(self._metrics.page(), kind=CONTENT_TYPE.encode())
        return _Reply("Not Found\n", 404, _TEXT)

    async def _answer(self, scope: Any, path: str, receive: Receive) -> _Reply:
        """Answers under /v1: here requests are counted, timed, limited in time, and their errors written."""
        call, started, loop = _Call(asyncio.current_task()), time.perf_counter(), asyncio.get_running_loop()
        deadline = loop.call_later(self._timeout, call.end, _late(self._timeout))
        connection = scope.get("extensions", {}).get(EXTENSION)
        if connection is not None:
            connection.on_lost = lambda: call.end(ApiError("CANCELLED", "the client has gone"))
        try:
            reply, code = await self._respond(call, scope, path, receive), "OK"
        except (ApiError, asyncio.CancelledError) as raised:
            error = raised if isinstance(raised, ApiError) else call.ended
            if error is None:
                raise  # the server is being stopped
            reply, code = _refusal(error), error.code
        except Exception as error:
            _log.exception("defect while answering %s %s", scope["method"], path[:200])
            reply, code = _refusal(ApiError("INTERNAL", f"internal error: {type(error).__name__}")), "INTERNAL"
        finally:
            deadline.cancel()
            if connection is not None:
                connection.on_lost = None
        if call.version is not None:
            reply.headers.append((b"x-model-version", b"%d" % call.version))
        reply.headers += self._cors
        self._metrics.answered(call.model, call.api, "REST", code, time.perf_counter() - started)
        return reply

    async def _respond(self, call: _Call, scope: Any, path: str, receive: Receive) -> _Reply:
        method = scope["method"]
        if method == "POST" and (match := _POST.fullmatch(path)):
            return _Reply(await self._run(call, match, scope["headers"], receive))
        if method == "GET" and (match := _GET.fullmatch(path)):
            return _Reply(self._describe(call, match))
        if method == "GET" and _NO_NAME.fullmatch(path):
            raise invalid("Missing model name in request")
        if method == "OPTIONS":
            return _preflight(scope["headers"])
        raise invalid(f"Malformed request: {method} {path}")

    async def _run(self, call: _Call, match: re.Match[str], headers: Any, receive: Receive) -> str:
        name, version, label = _target(match)
        call.model, call.api = name, match["verb"]
        sent = Body(headers, self._max_body_bytes, self._budget)
        try:
            body = await self._body(call, sent, receive)
            if match["verb"] not in ("predict", *_METHODS):
                raise invalid(f"Malformed request: POST {match.string}")
            parse = json_request.parse_quickly if match["verb"] == "predict" else json_request.parse_object
            content = await self._engine.convert(len(body), parse, body)
            signature_name = json_request.signature_name(content)
            typed = match["verb"] in _METHODS
            examples = await self._engine.convert(len(body), json_examples.examples, content) if typed else None
            if examples is not None:
                sent.hold(max(0, classify_regress.size(examples) - len(body)))  # copies of the context
            with Held(self._manager.lease(name, version, label)) as held:
                call.version = held.servable.version
                if examples is None:
                    return await self._predict(call, held, signature_name, content, body)
                return await self._typed(call, held, signature_name, examples)
        finally:
            sent.release()

    async def _body(self, call: _Call, sent: Body, receive: Receive) -> bytes:
        late = asyncio.get_running_loop().call_later(self._read_seconds, call.end, _slow(self._read_seconds))
        try:
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ApiError("CANCELLED", "the client has gone")
                more = await sent.add(message)
        finally:
            late.cancel()
        return sent.content()

    async def _predict(self, call: _Call, held: Held, signature_name: str, content: Mapping[str, Any], body: bytes) -> str:
        signature, size = held.servable.signature(signature_name), len(body)
        inputs, row_format = await self._engine.convert(size, json_request.inputs_of, content, signature, body)
        outputs = await self._outputs(call, held, signature, inputs)
        return await self._engine.convert(_text_bytes(outputs), _written, outputs, row_format)

    async def _typed(self, call: _Call, held: Held, signature_name: str, examples: np.ndarray) -> str:
        """Classify or regress."""
        method, signature = _METHODS[call.api], held.servable.signature(signature_name)
        classify_regress.check(method, signature)
        self._metrics.took_examples(call.model, len(examples))
        outputs = await self._outputs(call, held, signature, {classify_regress.INPUTS: examples})
        return await self._engine.convert(_text_bytes(outputs), json_examples.answer, method, outputs, len(examples))

    async def _outputs(self, call: _Call, held: Held, signature: Signature, inputs: Arrays) -> Arrays:
        started = time.perf_counter()
        outputs = await self._engine.predict(held, signature, inputs)
        self._metrics.ran(call.model, call.api.capitalize(), time.perf_counter() - started)
        return outputs

    def _describe(self, call: _Call, match: re.Match[str]) -> str:
        name, version, label = _target(match)
        call.model, call.api = name, "metadata" if match["metadata"] else "status"
        if not match["metadata"]:
            return _pretty({"model_version_status": [_status(status) for status in self._manager.statuses(name, version)]})
        with self._manager.lease(name, version, label) as servable:
            call.version = servable.version
            return _pretty(_metadata(name, servable))


def _written(outputs: Mapping[str, np.ndarray], row_format: bool) -> str:
    return json_answer.answer(outputs, row_format=row_format)


def _text_bytes(outputs: Mapping[str, np.ndarray]) -> int:
    """About how much text arrays become."""
    return sum(array.size for array in outputs.values()) * _TEXT_BYTES


def _refusal(error: ApiError) -> _Reply:
    reply = _Reply(json.dumps({"error": error.message}, ensure_ascii=False), error.http_status)
    if error.http_status == 408:
        reply.headers.append((b"connection", b"close"))  # the rest of the request may never come
    return reply


def _late(seconds: float) -> ApiError:
    return ApiError("DEADLINE_EXCEEDED", f"the request was not answered within {seconds:g} s")


def _slow(seconds: float) -> ApiError:
    return ApiError("DEADLINE_EXCEEDED", f"the request's body did not arrive within {seconds:g} s", http_status=408)


def _preflight(headers: Any) -> _Reply:
    """Whether a browser's page may ask; it gets leave to by the headers of CORS, if those are on."""
    origin = next((value for name, value in headers if name == b"origin"), b"")
    if not origin.startswith((b"http://", b"https://")):
        raise ApiError("FAILED_PRECONDITION", "Origin header is missing or no http(s) address")
    return _Reply("", kind=_TEXT)


def _target(match: re.Match[str]) -> tuple[str, int | None, str]:
    """Model name, version and label of a path."""
    if match["version"] and (len(match["version"]) > 400 or int(match["version"]) > _LAST_VERSION):
        raise invalid(f"Failed to convert version: {match['version']} to numeric.")
    return unquote(match["name"]), int(match["version"]) if match["version"] else None, unquote(match["label"] or "")


def _status(status: VersionStatus) -> dict[str, Any]:
    return {
        "version": str(status.version),
        "state": status.state,
        "status": {"error_code": status.code, "error_message": status.message},
    }


def _metadata(name: str, servable: Servable) -> dict[str, Any]:
    from google.protobuf.json_format import MessageToDict

    definitions = {
        key: MessageToDict(value, preserving_proto_field_name=True, including_default_value_fields=True)
        for key, value in sorted(servable.signature_defs.items())
    }
    return {
        "model_spec": {"name": name, "signature_name": "", "version": str(servable.version)},
        "metadata": {"signature_def": {"signature_def": definitions}},
    }


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=4, ensure_ascii=False)
