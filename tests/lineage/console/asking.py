"""Asks a console without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx

from lineage.console.application import application
from lineage.console.questions import Questions
from lineage.console.settings import Settings
from lineage.console.snapshot import Snapshots

TOKEN = "a-token-that-nobody-guesses-0123456789"

Ask = Callable[..., httpx.Response]


def asking(settings: Settings, base: str = "http://127.0.0.1:8765") -> Ask:
    """Returns what sends a request to a console that is not behind a socket."""
    app = application(settings, Snapshots(settings.places), Questions(settings))

    def ask(path: str, method: str = "GET", **options: object) -> httpx.Response:
        async def send() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=base) as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())

    return ask
