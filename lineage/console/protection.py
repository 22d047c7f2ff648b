"""Who may ask the console, and how: host names, methods, tokens, and the headers that make browsers careful."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOGIN = "/login"
COOKIE = "fedtfx_console"
_OPEN = (LOGIN, "/static/style.css", "/static/icon.svg")
"""What is there for whoever is not signed in."""
_HOURS = 12
_MOST_FORM_BYTES = 8192

# The page loads nothing from elsewhere, runs no inline script and no inline style, and nobody can frame it.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self';"
    " base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
# A page or picture out of an artifact: its own style and pictures inside it, no script, no origin; framed by the console alone.
SANDBOX = {
    "content-security-policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'self'"
}


@dataclass(frozen=True)
class Keys:
    """What opens the console. `session` is what a browser gets for the token, until the console ends."""

    token: str
    session: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    def fits(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> bool:
        """Returns whether a request shows the token, as a bearer or as its session."""
        if not self.token:
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        bearer = scheme.lower() == "bearer" and _same(given.strip(), self.token)
        return bearer or _same(cookies.get(COOKIE, ""), self.session)

    def opens(self, token: str) -> bool:
        """Returns whether this is the token."""
        return bool(self.token) and _same(token, self.token)


class Protected:
    """An ASGI application behind all of this."""

    def __init__(self, application: ASGIApp, keys: Keys, allowed_hosts: tuple[str, ...]) -> None:
        self._application = application
        self._keys = keys
        self._names = {"localhost", *allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in {"content-security-policy": _POLICY, **_HEADERS}.items():
                    headers.setdefault(name, value)
            await send(message)

        await (self._refusal(Request(scope)) or self._application)(scope, receive, send_protected)

    def _refusal(self, request: Request) -> Response | None:
        if not self._known(request.headers.get("host", "")):
            return _said(421, "this console is not known by that name; start it with --allowed-host NAME")
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not _follows(request):
            return _said(403, "only the console's own pages may ask for this")
        path = request.url.path
        if request.method not in ("GET", "HEAD") and (request.method, path) != ("POST", LOGIN):
            return _said(405, "the console only reads", {"allow": "GET, HEAD"})
        if path in _OPEN or self._keys.fits(request.headers, request.cookies):
            return None
        if path.startswith("/api/"):
            return _said(401, "sign in, or send the token: Authorization: Bearer TOKEN", {"www-authenticate": "Bearer"})
        return RedirectResponse(f"{LOGIN}", 303)

    def _known(self, host: str) -> bool:
        """A name that somebody else's DNS could lead here is none of ours; an IP address leads nowhere else."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return True


async def signed_in(request: Request, keys: Keys) -> Response:
    """Answers the sign-in form: a session for the token, or the form again."""
    origin = request.headers.get("origin", "")
    if origin not in ("", "null") and urlsplit(origin).netloc != request.headers.get("host"):
        return _said(403, "only the console's own form may sign in")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_FORM_BYTES:
            return _said(413, "that is more than a token")
    fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=4)
    if not keys.opens("".join(fields.get("token", [])).strip()):
        return RedirectResponse(f"{LOGIN}?wrong", 303)
    response = RedirectResponse("/", 303)
    response.set_cookie(
        COOKIE, keys.session, max_age=3600 * _HOURS, httponly=True, samesite="strict", secure=request.url.scheme == "https"
    )
    return response


def _follows(request: Request) -> bool:
    """Somebody followed a link of another site to a page of ours: neither embeds that site it, nor is it the service."""
    headers = request.headers
    to_document = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return request.method in ("GET", "HEAD") and to_document and not request.url.path.startswith(("/api/", "/files/"))


def _said(status: int, why: str, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(f"{why}\n", status, headers)


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())
