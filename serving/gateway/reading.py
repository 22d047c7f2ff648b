"""Reads a request: its body within limits of size and time, and what it asks."""

from __future__ import annotations

import json
from typing import Any

import anyio
from starlette.requests import ClientDisconnect, Request

from serving.gateway import multipart
from serving.gateway.arriving import Count
from serving.gateway.asking import Picture, Question, Rows, Text
from serving.gateway.fetching import Fetcher
from serving.gateway.refusals import Refusal
from serving.gateway.settings import Settings

_KEYS = ("image_url", "text", "row", "rows")
# Python holds JSON in up to twenty times its size, and reading it holds up everybody; pictures need none of it.
_JSON_TIMES, _MAX_JSON_BYTES = 20, 2_000_000


async def question(request: Request, settings: Settings, fetcher: Fetcher, count: Count) -> Question:
    """What a request to /v1/predict asks; `count` is told of each piece of its body, and of a picture that it names.

    Raises:
      Refusal: 400, 408, 413, 415 or 422; and those of `Fetcher.fetch`.
    """
    content_type = request.headers.get("content-type", "")
    if len(content_type) > multipart.MAX_TYPE_CHARACTERS:
        raise Refusal(400, f"the Content-Type has more than {multipart.MAX_TYPE_CHARACTERS} characters")
    kind = content_type.partition(";")[0].strip().lower()
    if kind.startswith("image/") or kind == "application/octet-stream":
        return Picture(await _body(request, settings, count))
    if kind == "multipart/form-data":
        return await _form(multipart.parts(await _body(request, settings, count), content_type), settings, fetcher, count)
    if kind == "application/json":
        return await _asked(_json(await _body(request, settings, count), count), settings, fetcher, count)
    raise Refusal(415, "expected Content-Type image/*, multipart/form-data or application/json")


async def _body(request: Request, settings: Settings, count: Count) -> bytes:
    limit, content = settings.max_upload_bytes, bytearray()
    too_large = Refusal(413, f"the body has more than {limit} bytes")
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and (len(length) > 18 or int(length) > limit):
        raise too_large
    try:
        with anyio.fail_after(settings.timeout):
            async for piece in request.stream():
                if len(content) + len(piece) > limit:
                    raise too_large
                count(len(piece))
                content += piece
    except TimeoutError:
        raise Refusal(408, f"the body was not there within {settings.timeout:g} s") from None
    except ClientDisconnect:
        raise Refusal(400, "the body was cut off") from None
    return bytes(content)


async def _form(parts: dict[str, bytes], settings: Settings, fetcher: Fetcher, count: Count) -> Question:
    if len(parts) != 1 or next(iter(parts)) not in ("image", *_KEYS):
        raise Refusal(400, f"expected exactly one field, of image, {', '.join(_KEYS)}")
    [(key, content)] = parts.items()
    if key == "image":
        return Picture(content)
    if key in ("row", "rows"):
        return await _asked({key: _json(content, count)}, settings, fetcher, count)
    try:
        return await _asked({key: content.decode("utf-8")}, settings, fetcher, count)
    except UnicodeDecodeError:
        raise Refusal(400, f"the field {key} is not UTF-8") from None


async def _asked(content: Any, settings: Settings, fetcher: Fetcher, count: Count) -> Question:
    if not isinstance(content, dict) or len(content) != 1 or next(iter(content)) not in _KEYS:
        raise Refusal(400, f"expected an object with exactly one of {', '.join(_KEYS)}")
    [(key, value)] = content.items()
    if key in ("image_url", "text"):
        if not isinstance(value, str):
            raise Refusal(400, f"{key} is not a string")
        return Text(value) if key == "text" else Picture(await _fetched(value, settings, fetcher, count))
    rows = [value] if key == "row" else value
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) and row for row in rows):
        raise Refusal(400, "row is not an object of input name to value, or rows not a list of such")
    if len(rows) > settings.max_rows:
        raise Refusal(413, f"{len(rows)} rows; at most {settings.max_rows} are allowed in a request")
    return Rows(rows, single=key == "row")


async def _fetched(url: str, settings: Settings, fetcher: Fetcher, count: Count) -> bytes:
    if not settings.allow_image_urls:
        raise Refusal(422, "pictures are not fetched from URLs here; upload the picture")
    return await fetcher.fetch(url, count)


def _json(body: bytes, count: Count) -> Any:
    if len(body) > _MAX_JSON_BYTES:
        raise Refusal(413, f"the JSON has more than {_MAX_JSON_BYTES} bytes; send fewer rows at once")
    count(_JSON_TIMES * len(body))
    try:
        return json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Refusal(400, "the body is not JSON in UTF-8") from None


def _no_constant(word: str) -> Any:
    raise ValueError(word)
