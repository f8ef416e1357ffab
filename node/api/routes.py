"""What a route is: one row serves requests, bounds them, and describes itself in the OpenAPI file.

A handler's docstring is what the description says; its query parameters are those of the row, texts
are as it says, and no others are taken. Codes of problems that any request may meet are not
repeated in the rows.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec import Meta

from ledger.reasons import Reason
from node.api.problems import ApiCode, ApiError
from node.api.schemas import PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX

JSON = "application/json"
MSGPACK = "application/msgpack"
EVENT_STREAM = "text/event-stream"

COMMON_CODES: tuple[ApiCode | Reason, ...] = (
    ApiCode.BAD_REQUEST,
    ApiCode.BUSY,
    ApiCode.RATE_LIMITED,
    ApiCode.HOST_NOT_ALLOWED,
    ApiCode.HEADERS_TOO_LARGE,
    ApiCode.DEADLINE,
    ApiCode.STORAGE,
    ApiCode.INTERNAL,
)
"""Of every route."""
BODY_CODES: tuple[ApiCode | Reason, ...] = (
    ApiCode.UNSUPPORTED_MEDIA_TYPE,
    ApiCode.CONTENT_ENCODING,
    ApiCode.BODY_TOO_LARGE,
)
"""Of every route that reads a body."""


@cache
def _is_text(kind: Any) -> bool:
    return isinstance(msgspec.inspect.type_info(kind), msgspec.inspect.StrType)


@dataclass(frozen=True, slots=True)
class Parameter:
    """Of a query, of a path where the path names it, or a header. `kind` is a type as msgspec reads
    it; of a list the query has its items with commas between them."""

    name: str
    kind: Any
    says: str
    example: str = ""
    is_required: bool = False
    """Of a query; what a path names is always there."""
    code: ApiCode = ApiCode.BAD_REQUEST
    """Of a text that is none."""

    def check(self, text: str) -> None:
        """A text fits its kind; what is no text is for the route to read. Raises ApiError."""
        if not _is_text(self.kind):
            return
        try:
            msgspec.convert(text, self.kind)
        except msgspec.ValidationError:
            raise ApiError(self.code, f"{self.name} is wrong. {self.says}") from None


@dataclass(frozen=True, slots=True)
class Body:
    """What a POST takes: the struct as JSON, `raw` says what MessagePack holds; one of both may be
    missing."""

    form: Any = None
    raw: str = ""
    example: str = ""
    """Of JSON, for a curl command."""

    @property
    def media_types(self) -> tuple[str, ...]:
        return (JSON,) * (self.form is not None) + (MSGPACK,) * bool(self.raw)


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table."""

    method: str
    path: str
    handler: Handler
    answer: Any
    """The struct of a 2xx answer in JSON; None where there is none."""
    query: tuple[Parameter, ...] = ()
    headers: tuple[Parameter, ...] = ()
    """That are of this route alone."""
    body: Body | None = None
    codes: tuple[ApiCode | Reason, ...] = ()
    """Of its problems, beside those of every route."""
    statuses: tuple[int, ...] = (200,)
    media_type: str = JSON
    raw: str = ""
    """What `Accept: application/msgpack` gets instead; empty where nothing."""
    weight: int = 1
    """What a request costs of an address's rate: `node.api.rates`."""
    is_final: bool = False
    """The answer never changes: it has an ETag, and who has it already gets 304."""

    @property
    def says(self) -> str:
        return inspect.getdoc(self.handler) or ""

    @property
    def query_names(self) -> tuple[str, ...]:
        return tuple([item.name for item in self.query])

    @property
    def all_codes(self) -> tuple[ApiCode | Reason, ...]:
        """Each once."""
        more = BODY_CODES if self.body is not None else ()
        if self.body is not None and self.body.form is not None:
            more = (*more, ApiCode.UNKNOWN_FIELD)
        return tuple(dict.fromkeys((*COMMON_CODES, *more, *self.codes)))


ROUTE = web.RequestKey("route", Route)
"""The row that a request is served by."""


def get(path: str, handler: Handler, answer: Any, *query: Parameter, **more: Any) -> Route:
    return Route("GET", path, handler, answer, query, **more)


def post(path: str, handler: Handler, answer: Any, body: Body, **more: Any) -> Route:
    return Route("POST", path, handler, answer, body=body, **more)


LIMIT = Parameter(
    "limit",
    Annotated[int, Meta(ge=1, le=PAGE_ITEMS_MAX)],
    f"Items of a page; {PAGE_ITEMS_DEFAULT} without it.",
    "3",
)
CURSOR = Parameter(
    "cursor",
    Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]+={0,2}\Z", max_length=128)],
    "Where the page starts: `next_cursor` of the page before.",
    code=ApiCode.BAD_CURSOR,
)
PAGED = (LIMIT, CURSOR)
