"""The three HTTP applications of a node, and the guard that every request passes.

public      /v1/… and the explorer at /ui/, for everybody who may reach it
operations  /livez /readyz /metrics /version, for machines that watch
admin       /status /shutdown /recover, on a socket that only the owner may open

The guard bounds headers, names the hosts that may be asked for (a foreign name that resolves to
this machine would let any web page talk to it), keeps the deadline, and turns every refusal into
a problem. There is no CORS header: pages of other origins read nothing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from ledger.kv import StorageError
from ledger.reasons import Invalid
from node.api import (
    addresses,
    admin,
    assets,
    blocks,
    bundles,
    consensus,
    economy,
    epochs,
    operations,
    problems,
    redemptions,
    standards,
    status,
    transactions,
    ui,
    validators,
)
from node.api.listener import BODY_BYTES_MAX, HEADER_BYTES_MAX, SERVER_NAME, Connection
from node.api.problems import ApiCode, ApiError
from node.api.request import BODIES, SERVICES, new_bodies_budget
from node.api.services import Services
from node.metrics import Metrics

LOOPBACK_HOSTS = frozenset(("127.0.0.1", "localhost", "[::1]"))
_HOST = re.compile(r"(\[[0-9a-f:]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?")
_HEADER_OVERHEAD = len(": \r\n")

_TOPICS = (
    status,
    blocks,
    transactions,
    addresses,
    assets,
    bundles,
    validators,
    epochs,
    consensus,
    economy,
    standards,
    redemptions,
    ui,
)


def public_app(
    services: Services, metrics: Metrics, hosts: Collection[str] = ()
) -> web.Application:
    """`hosts` are further names by which clients may ask for this node, without a port."""
    app = _new_app(services, metrics, LOOPBACK_HOSTS.union(hosts))
    transactions.prepare(app, metrics)
    bundles.prepare(app, services)
    ui.prepare(app)
    for topic in _TOPICS:
        app.add_routes(topic.routes())
    return app


def operations_app(
    services: Services, metrics: Metrics, hosts: Collection[str] = ()
) -> web.Application:
    app = _new_app(services, metrics, LOOPBACK_HOSTS.union(hosts))
    app.add_routes(operations.routes(metrics))
    return app


def admin_app(
    services: Services,
    metrics: Metrics,
    on_shutdown: Callable[[], None],
    on_recover: Callable[[], None],
) -> web.Application:
    """Any host name will do: the rights of the socket say who may ask."""
    app = _new_app(services, metrics, None)
    app.add_routes(admin.routes(on_shutdown, on_recover))
    return app


def _new_app(
    services: Services, metrics: Metrics, hosts: Collection[str] | None
) -> web.Application:
    app = web.Application(
        middlewares=[_guard(services, metrics, hosts)], client_max_size=BODY_BYTES_MAX
    )
    app[SERVICES] = services
    app[BODIES] = new_bodies_budget()
    return app


def _guard(services: Services, metrics: Metrics, hosts: Collection[str] | None) -> Middleware:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            response = await _run(request, handler, hosts)
        except (Invalid, ApiError) as error:
            response = problems.of_error(error)
        except web.HTTPException as error:
            response = _of_http(error)
        except web.RequestPayloadError:
            response = problems.answer(ApiCode.BAD_REQUEST, "the body is broken")
        except TimeoutError:
            response = problems.answer(ApiCode.DEADLINE, "the time of this request is over")
        except StorageError as fault:
            services.watch.fail(fault)
            response = problems.answer(ApiCode.STORAGE, "the storage of this node failed")
        response.headers["Server"] = SERVER_NAME
        response.headers["X-Content-Type-Options"] = "nosniff"
        metrics.observe_request(_route(request), request.method, response.status, clock() - started)
        return response

    return guard


async def _run(
    request: web.Request, handler: Handler, hosts: Collection[str] | None
) -> web.StreamResponse:
    _check_headers(request)
    if hosts is not None:
        _check_host(request, hosts)
    async with asyncio.timeout_at(_answer_by(request)):
        return await handler(request)


def _answer_by(request: web.Request) -> float | None:
    """The loop time by which the answer has to begin; the connection itself is cut later."""
    connection = request.protocol
    return connection.answer_by if isinstance(connection, Connection) else None


def _check_headers(request: web.Request) -> None:
    size = len(request.raw_path)
    for name, value in request.raw_headers:
        size += len(name) + len(value) + _HEADER_OVERHEAD
    if size > HEADER_BYTES_MAX:
        detail = f"{size} bytes of headers, at most {HEADER_BYTES_MAX} are read"
        raise ApiError(ApiCode.HEADERS_TOO_LARGE, detail)


def _check_host(request: web.Request, hosts: Collection[str]) -> None:
    names = request.headers.getall("Host", [])
    match = _HOST.fullmatch(names[0].lower()) if len(names) == 1 else None
    if match is None or match[1] not in hosts:
        raise ApiError(ApiCode.HOST_NOT_ALLOWED, "this node does not go by that name")


def _of_http(error: web.HTTPException) -> web.Response:
    """What aiohttp itself refuses, in our shape."""
    if error.status == HTTPStatus.NOT_FOUND:
        return problems.answer(ApiCode.NOT_FOUND, "no such route")
    if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        detail = f"at most {BODY_BYTES_MAX} bytes are read"
        return problems.answer(ApiCode.BODY_TOO_LARGE, detail)
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        response = problems.answer(ApiCode.METHOD_NOT_ALLOWED, f"this route takes {allowed}")
        response.headers["Allow"] = allowed
        return response
    return problems.answer(ApiCode.BAD_REQUEST, error.reason)


def _route(request: web.Request) -> str:
    """The pattern of the route, never the path: the set of labels stays closed."""
    resource = request.match_info.route.resource
    return "unmatched" if resource is None else resource.canonical
