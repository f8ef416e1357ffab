"""Writing answers: JSON of a struct, with the headers that say how long it stays true."""

from __future__ import annotations

from hashlib import sha256

import msgspec
from aiohttp import web

from node.api.request import JSON

IMMUTABLE = "public, max-age=31536000, immutable"
_ETAG_CHARS = 32

_encoder = msgspec.json.Encoder()


def answer(value: msgspec.Struct, *, status: int = 200) -> web.Response:
    """An answer that may differ the next moment."""
    return web.Response(
        status=status,
        body=_encoder.encode(value),
        content_type=JSON,
        headers={"Cache-Control": "no-store"},
    )


def final(request: web.Request, value: msgspec.Struct) -> web.Response:
    """An answer about something final: the same for ever, so it may be kept."""
    body = _encoder.encode(value)
    return final_bytes(request, body, JSON, tag=sha256(body).hexdigest()[:_ETAG_CHARS])


def final_bytes(request: web.Request, body: bytes, content_type: str, *, tag: str) -> web.Response:
    """Final bytes of any type under a tag that no other answer of this path has."""
    wanted = request.if_none_match
    if wanted is not None and any(item.value in (tag, "*") for item in wanted):
        response = web.Response(status=304)
    else:
        response = web.Response(body=body, content_type=content_type)
    response.etag = tag
    response.headers["Cache-Control"] = IMMUTABLE
    response.headers["Vary"] = "Accept"
    return response
