"""The description of the public interface in OpenAPI 3.1, from the table that serves it.

Structs become schemas as msgspec reads them, so what validates is what is described. Nothing here
is written by hand but what names in paths mean.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Iterable
from functools import partial
from hashlib import sha256
from http import HTTPStatus
from importlib.metadata import version
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from ledger.reasons import Reason
from node.api import schemas
from node.api.event_schemas import Gap, ObjectEvent, OrderEvent, TransactionEvent
from node.api.forms import Count, Hex, Hex32
from node.api.problems import PROBLEM_TYPE, ApiCode, hint_of, status_of
from node.api.request import read_query
from node.api.routes import (
    COMMON_CODES,
    EVENT_STREAM,
    JSON,
    MSGPACK,
    Body,
    Parameter,
    Route,
    get,
)

_NAME = Annotated[str, Meta(min_length=1, max_length=32)]
PATH_PARAMETERS = {
    item.name: item
    for item in (
        Parameter(
            "at",
            Annotated[str, Meta(pattern=r"^(latest|0|[1-9][0-9]{0,15}|[0-9a-f]{64})\Z")],
            "A height, the hash of a block, or `latest`.",
            "latest",
        ),
        Parameter("height", Count, "The height of a block.", "1"),
        Parameter("number", Count, "The number of an epoch.", "0"),
        Parameter("txid", Hex32, "The id of a transaction."),
        Parameter("address", Annotated[str, Meta(max_length=90)], "An address of this network."),
        Parameter(
            "outpoint",
            Annotated[str, Meta(pattern=r"^[0-9a-f]{64}:(0|[1-9][0-9]{0,8})\Z")],
            "An output: `txid:index`.",
        ),
        Parameter(
            "key",
            Annotated[Hex, Meta(min_length=2, max_length=256)],
            "The key of a protocol object, in hex: the byte of its kind and its identity.",
            "20",
        ),
        Parameter("asset", Hex32, "The id of an issuer's coin."),
        Parameter("issuer", _NAME, "The licence of an issuer.", "acme"),
        Parameter("licence", _NAME, "The id of a licence.", "acme"),
        Parameter("commitment", _NAME, "The id of a commitment of the issuer.", "acme-cpu"),
        Parameter("period", Count, "The number of a period.", "1"),
        Parameter("order", Hex32, "The id of an order."),
    )
}
EVENTS = {
    "block": schemas.BlockSummary,
    "transaction": TransactionEvent,
    "order": OrderEvent,
    "object": ObjectEvent,
    "gap": Gap,
}
"""What the stream of events tells."""

_REF = "#/components/schemas/{name}"
_COMMON = "Problem{}"
_IN_PATH = re.compile(r"{(\w+)}")
_PAGE = re.compile(r"Page_(\w+?)_(?=$|\")")


def document(routes: Collection[Route]) -> dict[str, Any]:
    """The whole description; the same for the same routes and version."""
    kinds = _kinds(routes)
    found, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    schema_of = dict(zip(map(id, kinds), found, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        described = _operation(route, schema_of)
        paths.setdefault(route.path, {})[route.method.lower()] = described
    made = {
        "openapi": "3.1.0",
        "info": {
            "title": "Marsa",
            "version": version("marsa"),
            "summary": "The HTTP interface of a node.",
            "description": (
                "Amounts are decimal strings of base units (µ, a millionth of a coin); hashes, "
                "keys and bytes are lower-case hex; other integers are below 2^53. Lists come in "
                "pages: `next_cursor` is opaque and null at the end. Every refusal is a problem "
                "of RFC 9457 with a stable `code` and a `hint`. Answers may grow by fields; what "
                "is sent must hold no others than those described."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "responses": {
                _COMMON.format(status): said
                for status, said in _by_status(COMMON_CODES, schema_of).items()
            },
        },
    }
    return _portable(made)


def as_file(routes: Collection[Route]) -> bytes:
    """The same with a line for each value, to be compared by people."""
    return msgspec.json.format(msgspec.json.encode(document(routes)), indent=1) + b"\n"


def _kinds(routes: Iterable[Route]) -> list[Any]:
    """Every type that a schema is made of, each once."""
    found: dict[int, Any] = {}
    for route in routes:
        parameters = (*_path_parameters(route), *route.query, *route.headers)
        forms = () if route.body is None else (route.body.form,)
        for kind in (*[item.kind for item in parameters], *forms, route.answer):
            if kind is not None:
                found[id(kind)] = kind
    for kind in (schemas.Problem, *EVENTS.values()):
        found[id(kind)] = kind
    return list(found.values())


def _path_parameters(route: Route) -> list[Parameter]:
    return [PATH_PARAMETERS[name] for name in _IN_PATH.findall(route.path)]


def _operation(route: Route, schema_of: dict[int, dict[str, Any]]) -> dict[str, Any]:
    summary, _, more = route.says.partition("\n\n")
    places = [("path", item) for item in _path_parameters(route)]
    places += [("query", item) for item in route.query]
    places += [("header", item) for item in route.headers]
    made: dict[str, Any] = {
        "operationId": _operation_id(route),
        "tags": [route.path.split("/")[2]],
        "summary": " ".join(summary.split()),
    }
    if more:
        made["description"] = " ".join(more.split())
    if places:
        made["parameters"] = [_parameter(where, item, schema_of) for where, item in places]
    if route.body is not None:
        made["requestBody"] = _body(route.body, schema_of)
    made["responses"] = _answers(route, schema_of) | _problems(route, schema_of)
    if route.media_type == EVENT_STREAM:
        made["x-events"] = {name: schema_of[id(kind)] for name, kind in EVENTS.items()}
    return made


def _operation_id(route: Route) -> str:
    return "_".join([route.method.lower(), *re.findall(r"\w+", route.path)[1:]])


def _parameter(where: str, item: Parameter, schema_of: dict[int, dict[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": item.name,
        "in": where,
        "description": item.says,
        "schema": schema_of[id(item.kind)],
    }
    if where == "path" or item.is_required:
        made["required"] = True
    is_list = made["schema"].get("type") == "array"
    if is_list:
        made["explode"] = False
    if item.example and is_list:
        made["example"] = item.example.split(",")
    elif item.example:
        made["example"] = int(item.example) if item.kind is Count else item.example
    return made


def _body(body: Body, schema_of: dict[int, dict[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if body.raw:
        content[MSGPACK] = {"schema": {"description": body.raw}}
    if body.form is not None:
        content[JSON] = {"schema": schema_of[id(body.form)]}
        if body.example:
            content[JSON]["example"] = msgspec.json.decode(body.example)
    return {"required": True, "content": content}


def _answers(route: Route, schema_of: dict[int, dict[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {route.media_type: {}}
    if route.answer is not None:
        content[route.media_type] = {"schema": schema_of[id(route.answer)]}
    if route.raw:
        content[MSGPACK] = {"schema": {"description": route.raw}}
    made: dict[str, Any] = {
        str(status): {"description": HTTPStatus(status).phrase, "content": content}
        for status in route.statuses
    }
    if route.is_final:
        made["304"] = {"description": "The client has it: `If-None-Match` names its ETag."}
    return made


def _problems(route: Route, schema_of: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """By status; those that any route may answer stand in one place."""
    common = _by_status(COMMON_CODES, schema_of)
    return {
        status: {"$ref": f"#/components/responses/{_COMMON.format(status)}"}
        if said == common.get(status)
        else said
        for status, said in _by_status(route.all_codes, schema_of).items()
    }


def _by_status(
    codes: Iterable[ApiCode | Reason], schema_of: dict[int, dict[str, Any]]
) -> dict[str, Any]:
    """With all codes of a status and what to do next."""
    lines: dict[int, list[str]] = {}
    for code in codes:
        lines.setdefault(status_of(code), []).append(f"`{code.value}`: {hint_of(code)}")
    problem = {PROBLEM_TYPE: {"schema": schema_of[id(schemas.Problem)]}}
    made: dict[str, Any] = {}
    for status, said in sorted(lines.items()):
        made[str(status)] = {"description": "\n".join(said), "content": problem}
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            seconds = {"description": "Seconds to wait.", "schema": {"type": "integer"}}
            made[str(status)]["headers"] = {"Retry-After": seconds}
    return made


def _portable(value: dict[str, Any]) -> dict[str, Any]:
    """Patterns as every reader of JSON Schema takes them, pages under names of their own."""
    text = msgspec.json.encode(value).decode()
    text = _PAGE.sub(r"\1Page", text).replace(r"\\Z", "$")
    return msgspec.json.decode(text, type=dict[str, Any])


class Specification:
    """The description as bytes, made when somebody first asks: it takes a tenth of a second."""

    def __init__(self, routes: Collection[Route]) -> None:
        self._routes = routes
        self._lock = asyncio.Lock()
        self._made: dict[str, bytes] = {}

    async def get(self, form: str, write: Callable[[dict[str, Any]], bytes]) -> bytes:
        """Written in a form, in a thread beside the event loop; once for each form."""
        async with self._lock:
            if form not in self._made:
                make = partial(_write, self._routes, write)
                self._made[form] = await asyncio.to_thread(make)
            return self._made[form]


def _write(routes: Collection[Route], write: Callable[[dict[str, Any]], bytes]) -> bytes:
    return write(document(routes))


SPECIFICATION = web.AppKey("specification", Specification)


def prepare(app: web.Application, routes: Collection[Route]) -> None:
    """What these routes answer."""
    app[SPECIFICATION] = Specification(routes)


async def get_openapi(request: web.Request) -> web.Response:
    """This description, in OpenAPI 3.1."""
    read_query(request)
    return tagged(request, await request.app[SPECIFICATION].get("json", msgspec.json.encode), JSON)


def tagged(request: web.Request, body: bytes, content_type: str) -> web.Response:
    """What stays the same as long as the program does: kept, and asked for again each time."""
    tag = sha256(body).hexdigest()[:32]
    wanted = request.if_none_match
    if wanted is not None and any(item.value in (tag, "*") for item in wanted):
        response = web.Response(status=304)
    else:
        response = web.Response(body=body, headers={"Content-Type": content_type})
    response.etag = tag
    response.headers["Cache-Control"] = "no-cache"
    return response


ROUTES = (get("/v1/openapi.json", get_openapi, dict[str, Any], is_final=True),)
