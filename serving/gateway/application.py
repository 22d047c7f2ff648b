"""The gateway's routes."""

from __future__ import annotations

import asyncio
import html
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from serving.client import Client
from serving.gateway.arriving import Arriving
from serving.gateway.asking import Model
from serving.gateway.fetching import Fetcher, Resolver, resolve
from serving.gateway.metrics import Metrics
from serving.gateway.protection import Protected
from serving.gateway.reading import question
from serving.gateway.refusals import Refusal
from serving.gateway.settings import Settings

_HERE = Path(__file__).parent
_FILES = {
    "/page/style.css": ("page/style.css", "text/css"),
    "/page/script.js": ("page/script.js", "text/javascript"),
    "/page/drawing.js": ("page/drawing.js", "text/javascript"),
    "/page/icon.svg": ("page/icon.svg", "image/svg+xml"),
    "/openapi.json": ("openapi.json", "application/json"),
}
_READY_SECONDS = 2.0
_WAIT_SECONDS = 0.5
_ARRIVING_BYTES = 64_000_000

_log = logging.getLogger(__name__)


def application(settings: Settings, client: Client, resolver: Resolver = resolve) -> ASGIApp:
    """The ASGI application.

    Args:
      settings: the command line's.
      client: asks the model server.
      resolver: says where the hosts of picture URLs are.
    """
    metrics = Metrics()
    api = _Api(settings, Model(client, settings), Fetcher(settings, resolver), metrics)
    routes = [
        Route("/v1/predict", api.predict, methods=["POST"]),
        Route("/v1/model", api.model),
        Route("/healthz", api.healthz),
        Route("/readyz", api.readyz),
        Route("/metrics", api.metrics),
        Route("/", _page(settings.title)),
        *(Route(path, _file(name, kind)) for path, (name, kind) in _FILES.items()),
    ]
    handlers: Any = {Refusal: _refused, HTTPException: _http_error, Exception: _defect}
    starlette = Starlette(routes=routes, exception_handlers=handlers)
    starlette.router.redirect_slashes = False
    return Protected(starlette, metrics, {route.path for route in routes})


class _Api:
    def __init__(self, settings: Settings, model: Model, fetcher: Fetcher, metrics: Metrics) -> None:
        self._settings = settings
        self._model = model
        self._fetcher = fetcher
        self._metrics = metrics
        self._places = asyncio.Semaphore(settings.max_concurrency)
        self._arriving = Arriving(settings.max_connections // 2, max(_ARRIVING_BYTES, settings.max_upload_bytes))
        self._threads: anyio.CapacityLimiter | None = None

    async def predict(self, request: Request) -> Response:
        with self._arriving.one() as count:
            asked = await question(request, self._settings, self._fetcher, count)
            async with self._place():
                content = await self._in_time(lambda: self._model.answer(asked), self._settings.timeout)
        self._metrics.answers.labels(str(content["version"])).inc()
        return _json(content)

    async def model(self, _: Request) -> Response:
        return _json(await self._in_time(self._model.describe, self._settings.timeout))

    async def healthz(self, _: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def readyz(self, _: Request) -> Response:
        try:
            await self._in_time(self._model.describe, _READY_SECONDS)
        except Refusal as refusal:
            raise Refusal(503, refusal.message) from None
        return PlainTextResponse("ready\n")

    async def metrics(self, _: Request) -> Response:
        return Response(self._metrics.text(), media_type="text/plain; version=0.0.4")

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """One of the places for requests under way; a burst waits a little for one."""
        try:
            with anyio.fail_after(_WAIT_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            raise Refusal(503, f"{self._settings.max_concurrency} requests are under way; try again later") from None
        try:
            with self._metrics.in_flight.track_inprogress():
                yield
        finally:
            self._places.release()

    async def _in_time(self, call: Callable[[], Any], seconds: float) -> Any:
        """Calls in a thread, which is left behind when the time is over: the client's own timeout ends it."""
        if self._threads is None:  # belongs to the event loop, which is not there before the first request
            self._threads = anyio.CapacityLimiter(self._settings.max_concurrency + 4)
        try:
            with anyio.fail_after(seconds):
                return await anyio.to_thread.run_sync(call, limiter=self._threads, abandon_on_cancel=True)
        except TimeoutError:
            raise Refusal(504, f"the model server did not answer within {seconds:g} s") from None


def _page(title: str) -> Callable[[Request], Any]:
    """The page with its title, which is there whether or not the model server is."""
    text = (_HERE / "page" / "index.html").read_text(encoding="utf-8")
    content = text.replace(Settings.title, html.escape(title)).encode("utf-8", "replace")

    async def send(_: Request) -> Response:
        return Response(content, media_type="text/html")

    return send


def _file(name: str, kind: str) -> Callable[[Request], Any]:
    async def send(_: Request) -> Response:
        return FileResponse(_HERE / name, media_type=kind)

    return send


def _json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    return Response(text.encode("utf-8", "replace"), status, headers, media_type="application/json")


async def _refused(_: Request, refusal: Refusal) -> Response:
    return _json({"error": refusal.message}, refusal.status, {"Retry-After": "1"} if refusal.status == 503 else None)


async def _http_error(_: Request, error: HTTPException) -> Response:
    return _json({"error": error.detail}, error.status_code, dict(error.headers or {}))


async def _defect(request: Request, error: Exception) -> Response:
    _log.error("defect while answering %s %s: %r", request.method, request.url.path, error)
    return _json({"error": "internal error"}, 500)
