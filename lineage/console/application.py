"""The console's routes."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from errors import ConfigError, FedtfxError
from lineage.console import files, views
from lineage.console.aside import Aside
from lineage.console.protection import LOGIN, SANDBOX, Keys, Protected, signed_in
from lineage.console.questions import LISTS, Questions
from lineage.console.settings import Settings
from lineage.console.snapshot import Snapshot, Snapshots
from lineage.console.verifying import Verifier

_STATIC = Path(__file__).parent / "static"
_KINDS = {".css": "text/css", ".js": "text/javascript", ".mjs": "text/javascript", ".svg": "image/svg+xml"}
_PAGES = ("/", "/models", "/runs", "/graph", "/diff", "/verify")
_NOT_PAGES = ("/api/", "/files/", "/static/")
_MOST_AT_ONCE, _MOST_READING = 16, 8
_SECONDS, _READING_SECONDS = 30.0, 120.0
_WRONG = '<p class="error" role="alert">That is not the token.</p>'
_UNCHANGING = {"cache-control": "private, max-age=86400"}

Answer = Callable[[Snapshot, Mapping[str, str]], Any]
_ANSWERS: dict[str, Answer] = {
    "/api/run": views.run,
    "/api/artifact": views.artifact,
    "/api/graph": views.graph,
}
# Pages about one thing -> whether there is such a thing.
_ABOUT: dict[str, Callable[[Snapshot, Mapping[str, str]], bool]] = {
    "/models/{id}": views.has_model,
    "/artifacts/{id}": views.has_artifact,
    "/runs/{name:path}": views.has_run,
}

_log = logging.getLogger(__name__)


def application(settings: Settings, snapshots: Snapshots, questions: Questions) -> ASGIApp:
    """The ASGI application.

    Args:
      settings: the command line's.
      snapshots: gives what is shown.
      questions: answers what more than that is needed for.
    """
    keys, api = Keys(settings.token), _Api(snapshots, questions, settings.verify_seconds)
    routes = [
        *(Route(path, api.answering(answer)) for path, answer in _ANSWERS.items()),
        Route("/api/store", api.store),
        *(Route(f"/api/{what}", api.listing(what)) for what in LISTS),
        Route("/api/diff", api.diff),
        Route("/api/model", api.model),
        Route("/api/verify", api.verify),
        Route("/files/{id:int}/{name}", api.file),
        Route(LOGIN, _login_page),
        Route(LOGIN, partial(signed_in, keys=keys), methods=["POST"]),
        *(
            Route(f"/static/{path.relative_to(_STATIC)}", _sends(path))
            for path in sorted(_STATIC.rglob("*"))
            if path.suffix in _KINDS
        ),
        *(Route(path, _page) for path in _PAGES),
        *(Route(path, api.page_about(known)) for path, known in _ABOUT.items()),
    ]
    handlers: Any = {FedtfxError: _refused, HTTPException: _http_error, Exception: _defect}
    starlette = Starlette(routes=routes, exception_handlers=handlers)
    starlette.router.redirect_slashes = False
    return Protected(GZipMiddleware(starlette, minimum_size=2000), keys, settings.allowed_hosts)


class _Api:
    """What needs more than a snapshot: the store, the serving directory, or time."""

    def __init__(self, snapshots: Snapshots, questions: Questions, verify_seconds: float) -> None:
        self._snapshots = snapshots
        self._questions = questions
        self._verifier = Verifier(self._questions.verified, verify_seconds)
        self._quick = Aside(_MOST_AT_ONCE, _SECONDS)
        self._reading = Aside(_MOST_READING, _READING_SECONDS)  # of artifacts' files, which may be large

    def answering(self, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        """A route that answers from the newest snapshot."""

        async def respond(request: Request) -> Response:
            asked = dict(request.query_params)
            return _json(await self._quick.ask(lambda: answer(self._snapshots.now(), asked)))

        return respond

    def listing(self, what: str) -> Callable[[Request], Awaitable[Response]]:
        """A route that lists models or runs."""

        async def respond(_: Request) -> Response:
            return _json(await self._quick.ask(lambda: self._questions.listed(what, self._snapshots.now())))

        return respond

    async def store(self, request: Request) -> Response:
        again = request.query_params.get("again") == "1"
        return _json(await self._quick.ask(lambda: self._questions.about(self._snapshots.now(again=again))))

    def page_about(self, known: Callable[[Snapshot, Mapping[str, str]], bool]) -> Callable[[Request], Awaitable[Response]]:
        """A route with the page about one thing; of what is not there the page says so, and so does the status."""

        async def respond(request: Request) -> Response:
            found = True
            with suppress(FedtfxError):  # which the page itself will ask about, and show
                found = await self._quick.ask(lambda: known(self._snapshots.now(), request.path_params))
            return _index(200 if found else 404)

        return respond

    async def model(self, request: Request) -> Response:
        asked = dict(request.query_params)
        return _json(await self._reading.ask(lambda: self._questions.model(self._snapshots.now(), asked)))

    async def diff(self, request: Request) -> Response:
        asked = dict(request.query_params)
        return _json(await self._reading.ask(lambda: self._questions.diff(asked.get("a", ""), asked.get("b", ""))))

    async def verify(self, request: Request) -> Response:
        target = request.query_params.get("target", "")
        if request.query_params.get("start") == "1":
            return _json({"target": target, **self._verifier.start(target)})
        known = self._verifier.known(target)
        return _json({"target": target, **known} if known else None)

    async def file(self, request: Request) -> Response:
        number, name = str(request.path_params["id"]), request.path_params["name"]

        def read() -> tuple[bytes, str]:
            return files.read(views.snapshot_artifact(self._snapshots.now(), {"id": number}), name)

        content, kind = await self._reading.ask(read)
        return Response(content, media_type=kind, headers=SANDBOX)


async def _page(_: Request) -> Response:
    return _index()


def _index(status: int = 200) -> Response:
    return FileResponse(_STATIC / "index.html", status)


async def _login_page(request: Request) -> Response:
    text = (_STATIC / "login.html").read_text(encoding="utf-8")
    return HTMLResponse(text.replace("<!--wrong-->", _WRONG if "wrong" in request.query_params else ""))


def _sends(path: Path) -> Callable[[Request], Awaitable[Response]]:
    headers = _UNCHANGING if path.parent.name == "vendor" else None

    async def send(_: Request) -> Response:
        return FileResponse(path, media_type=_KINDS[path.suffix], headers=headers)

    return send


def _json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    return Response(text.encode("utf-8", "replace"), status, headers, media_type="application/json")


async def _refused(_: Request, error: Exception) -> Response:
    return _json({"error": str(error)}, 400 if isinstance(error, ConfigError) else 503)


async def _http_error(request: Request, error: HTTPException) -> Response:
    if error.status_code == 404 and not request.url.path.startswith(_NOT_PAGES):
        return _index(404)
    return _json({"error": error.detail}, error.status_code, error.headers)


async def _defect(request: Request, error: Exception) -> Response:
    _log.error("defect while answering %s: %r", request.url.path, error)
    return _json({"error": "internal error; the console's log tells more"}, 500)
