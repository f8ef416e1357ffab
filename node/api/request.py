"""Reading requests: names in paths, query parameters, cursors, bodies. Strict, and each with a
sentence that says what was expected.
"""

from __future__ import annotations

import asyncio
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

import msgspec
from aiohttp import web

from ledger.amounts import parse_number
from ledger.reasons import Invalid, Reason
from node.api.convert import read_hash
from node.api.forms import JSON_INT_MAX
from node.api.listener import BODIES_BYTES_MAX, BODY_BYTES_MAX
from node.api.problems import ApiCode, ApiError, of_form
from node.api.routes import JSON as JSON
from node.api.routes import MSGPACK as MSGPACK
from node.api.routes import ROUTE
from node.api.schemas import PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX, WAIT_MS_MAX
from node.api.services import Services

CURSOR_CHARS_MAX = 128
NUMBER_MAX = JSON_INT_MAX
NAME_CHARS_SHOWN = 64
"""Of a name that is not known, in what is said of it."""
"""As the description says of every number."""
INDEX_MAX = (1 << 32) - 1

T = TypeVar("T")

_WAIT = re.compile(r"([0-9]{1,5})(ms|s)")
_CURSOR = re.compile(r"[A-Za-z0-9_-]*={0,2}")


class Budget:
    """A count that must not pass its limit: bytes of bodies, requests in flight, waits."""

    __slots__ = ("limit", "name", "used")

    def __init__(self, name: str, limit: int) -> None:
        self.name = name
        self.limit = limit
        self.used = 0

    @contextmanager
    def take(self, amount: int) -> Iterator[None]:
        """Hold `amount` for the length of the block; raises ApiError(BUSY) where it is spent."""
        if self.used + amount > self.limit:
            detail = f"{self.name}: {self.used} in use, at most {self.limit}"
            raise ApiError(ApiCode.BUSY, detail)
        self.used += amount
        try:
            yield
        finally:
            self.used -= amount


SERVICES = web.AppKey("services", Services)
DEADLINE = web.RequestKey("deadline", asyncio.Timeout)
"""By which the answer has to begin; a stream takes it away once it has begun."""
BODIES = web.AppKey("bodies", Budget)


def new_bodies_budget() -> Budget:
    return Budget("bytes of request bodies", BODIES_BYTES_MAX)


async def read_body(request: web.Request, media_types: Collection[str]) -> bytes:
    """The whole body, of one of `media_types`; raises ApiError.

    Nothing is decompressed: a small body that grows is nobody's need here.
    """
    if request.headers.get("Content-Encoding") is not None:
        raise ApiError(ApiCode.CONTENT_ENCODING, "request bodies are read as they are")
    if request.content_type not in media_types:
        detail = f"{request.content_type}; this route reads {' and '.join(media_types)}"
        raise ApiError(ApiCode.UNSUPPORTED_MEDIA_TYPE, detail)
    size = request.content_length
    if size is not None and size > BODY_BYTES_MAX:
        detail = f"{size} bytes, at most {BODY_BYTES_MAX} are read"
        raise ApiError(ApiCode.BODY_TOO_LARGE, detail)
    with request.app[BODIES].take(BODY_BYTES_MAX if size is None else size):
        return await request.read()


async def read_form(request: web.Request, decoder: msgspec.json.Decoder[T]) -> T:
    """What a body of JSON says; raises ApiError where it is none of its kind."""
    body = await read_body(request, (JSON,))
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise of_form(error) from None


def read_query(request: web.Request) -> Mapping[str, str]:
    """The query parameters; raises ApiError for one that the route has not, a repeated one, and a
    text that is not as the route's description says."""
    query, known = request.query, {item.name: item for item in request[ROUTE].query}
    for name, text in query.items():
        if name not in known:
            names = ", ".join(known) or "none"
            what = f"unknown parameter `{name[:NAME_CHARS_SHOWN]}`"
            raise ApiError(ApiCode.BAD_REQUEST, f"{what}; this route has: {names}")
        known[name].check(text)
        if len(query.getall(name)) > 1:
            raise ApiError(ApiCode.BAD_REQUEST, f"{name} is given twice")
    return query


def read_limit(query: Mapping[str, str]) -> int:
    text = query.get("limit")
    if text is None:
        return PAGE_ITEMS_DEFAULT
    return read_number(text, "limit", least=1, most=PAGE_ITEMS_MAX)


def read_number(text: str, what: str, *, least: int = 0, most: int = NUMBER_MAX) -> int:
    """ASCII digits without leading zeros, in a range; raises ApiError."""
    number = parse_number(text)
    if number is None or str(number) != text or not least <= number <= most:
        raise ApiError(ApiCode.BAD_REQUEST, f"{what} must be a number from {least} to {most}")
    return number


def read_wait(query: Mapping[str, str]) -> float:
    """`wait=5s` or `wait=250ms` in seconds, 0 without it; raises ApiError."""
    text = query.get("wait")
    if text is None:
        return 0.0
    match = _WAIT.fullmatch(text)
    wait_ms = int(match[1]) * (1_000 if match[2] == "s" else 1) if match else WAIT_MS_MAX + 1
    if wait_ms > WAIT_MS_MAX:
        most = f"{WAIT_MS_MAX // 1_000}s"
        raise ApiError(ApiCode.BAD_REQUEST, f"wait must be like 250ms or 2s, at most {most}")
    return wait_ms / 1_000


def read_flag(query: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = query.get(name)
    if text is None:
        return default
    if text not in ("true", "false"):
        raise ApiError(ApiCode.BAD_REQUEST, f"{name} must be true or false")
    return text == "true"


def read_txid(request: web.Request) -> bytes:
    return read_hash(request.match_info["txid"], "the txid")


def read_outpoint(text: str) -> tuple[bytes, int]:
    """`txid:index`; raises Invalid or ApiError."""
    txid, separator, index = text.partition(":")
    if not separator:
        raise Invalid(Reason.MALFORMED, "an outpoint is written txid:index")
    return read_hash(txid, "the txid"), read_number(index, "the index", most=INDEX_MAX)


def write_cursor(kind: bytes, start: bytes) -> str:
    """Where the next page of the list `kind` (one byte) starts, opaque to clients."""
    return urlsafe_b64encode(kind + start).decode("ascii")


def cut_page(
    rows: Iterable[tuple[bytes, bytes]], limit: int, kind: bytes, first: bytes
) -> tuple[list[tuple[bytes, bytes]], str | None]:
    """So many rows, and where the next page of this list starts; keys of rows begin with
    `first`."""
    page = list(islice(rows, limit + 1))
    more = write_cursor(kind, page[limit][0][len(first) :]) if len(page) > limit else None
    return page[:limit], more


def read_cursor(query: Mapping[str, str], kind: bytes) -> bytes | None:
    """The inverse; None without a cursor; raises ApiError for one of another list."""
    text = query.get("cursor")
    if text is None:
        return None
    if len(text) > CURSOR_CHARS_MAX or not _CURSOR.fullmatch(text):
        raise ApiError(ApiCode.BAD_CURSOR, "not a cursor of this node")
    try:
        data = urlsafe_b64decode(text)
    except ValueError:
        raise ApiError(ApiCode.BAD_CURSOR, "not a cursor of this node") from None
    if data[:1] != kind or urlsafe_b64encode(data).decode("ascii") != text:
        raise ApiError(ApiCode.BAD_CURSOR, "a cursor of another list")
    return data[1:]
