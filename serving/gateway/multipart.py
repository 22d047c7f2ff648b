"""The parts of a multipart/form-data body (RFC 7578) that is in memory and limited already."""

from __future__ import annotations

import re

from serving.gateway.refusals import Refusal

MAX_TYPE_CHARACTERS = 300
_MAX_PARTS = 20
_MAX_HEAD_BYTES = 1024
# Reads a header once from left to right. A quote that is not closed ends the parameters.
_PARAMETER = re.compile(r";[ \t]*([^=;\"\s]{1,40})[ \t]*=[ \t]*(?:\"((?:[^\"\\]|\\.)*)\"|([^;\"\s]*))")
_BAD = Refusal(400, "the body is not multipart/form-data as its Content-Type says")


def parts(body: bytes, content_type: str) -> dict[str, bytes]:
    """The parts' contents by name; of two with one name the first.

    Raises:
      Refusal: 400 for a body that is cut off or is none, or a Content-Type of more than MAX_TYPE_CHARACTERS.
    """
    boundary = _parameter(content_type, "boundary") if len(content_type) <= MAX_TYPE_CHARACTERS else None
    if not boundary or not re.fullmatch(r"[ -~]{1,70}", boundary):
        raise Refusal(400, "multipart/form-data without a boundary")
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary.encode("ascii"), _MAX_PARTS + 2)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise Refusal(400, f"the multipart body is cut off, or has more than {_MAX_PARTS} parts")
    found: dict[str, bytes] = {}
    for piece in pieces[1:-1]:
        name, content = _part(piece)
        found.setdefault(name, content)
    return found


def _part(piece: bytes) -> tuple[str, bytes]:
    if not piece.startswith(b"\r\n"):  # the boundary was only the beginning of a line
        raise _BAD
    end = piece.find(b"\r\n\r\n", 0, _MAX_HEAD_BYTES)
    if end < 0:
        raise _BAD
    lines = piece[:end].decode("utf-8", "replace").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    name = _parameter(headers.get("content-disposition", ""), "name")
    if name is None:
        raise _BAD
    return name, piece[end + 4 :]


def _parameter(header: str, name: str) -> str | None:
    for key, quoted, plain in _PARAMETER.findall(header):
        if key.lower() == name:
            return re.sub(r"\\(.)", r"\1", quoted) or plain
    return None
