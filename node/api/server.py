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
import time
from collections.abc import Callable, Collection
from functools import partial
from http import HTTPStatus
from math import ceil

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from consensus.replica_state import ReplicaBroken
from ledger.errors import InvariantBroken
from ledger.kv import StorageError
from ledger.reasons import Invalid
from node.api import (
    addresses,
    admin,
    assets,
    blocks,
    bundles,
    consensus,
    docs_page,
    economy,
    epochs,
    events,
    openapi,
    operations,
    problems,
    records,
    redemptions,
    search,
    standards,
    status,
    transactions,
    ui,
    validators,
)
from node.api.listener import ALWAYS, BODY_BYTES_MAX, HEADER_BYTES_MAX, Connection
from node.api.problems import ApiCode, ApiError
from node.api.rates import RATE, Rates
from node.api.request import BODIES, DEADLINE, SERVICES, new_bodies_budget
from node.api.routes import EVENT_STREAM, ROUTE, Route
from node.api.services import Services
from node.metrics import Metrics

LOOPBACK_HOSTS = frozenset(("127.0.0.1", "localhost", "[::1]"))
ROUTES: tuple[Route, ...] = (
    *status.ROUTES,
    *blocks.ROUTES,
    *transactions.ROUTES,
    *addresses.ROUTES,
    *assets.ROUTES,
    *bundles.ROUTES,
    *validators.ROUTES,
    *epochs.ROUTES,
    *consensus.ROUTES,
    *economy.ROUTES,
    *standards.ROUTES,
    *redemptions.ROUTES,
    *records.ROUTES,
    *search.ROUTES,
    *events.ROUTES,
    *openapi.ROUTES,
)
"""The interface, in the order of its description."""
RATES = web.AppKey("rates", Rates)
TABLE = web.AppKey("table", dict[tuple[str, str], Route])
_HOST = re.compile(r"(\[[0-9a-f:]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?")
_HEADER_OVERHEAD = len(": \r\n")


def public_app(
    services: Services, metrics: Metrics, hosts: Collection[str] = (), rate: int = RATE
) -> web.Application:
    """`hosts` are further names by which clients may ask for this node, without a port; `rate` is
    what one address may ask for: `node.api.rates`."""
    app = _new_app(services, metrics, LOOPBACK_HOSTS.union(hosts))
    app[RATES] = Rates(time.monotonic, rate)
    transactions.prepare(app, metrics)
    bundles.prepare(app, services)
    events.prepare(app, services)
    ui.prepare(app)
    app.add_routes(ui.routes())
    openapi.prepare(app, ROUTES)
    served = (*ROUTES, *docs_page.ROUTES)
    app[TABLE] = {(route.method, route.path): route for route in served}
    for route in served:
        can_be_headed = route.method == "GET" and route.media_type != EVENT_STREAM
        add = app.router.add_get if can_be_headed else partial(app.router.add_route, route.method)
        add(_pattern(route.path, served), route.handler)
    return app


def _pattern(path: str, routes: Collection[Route]) -> str:
    """A path whose last part is a variable does not match what other routes have there, so that
    their wrong methods are told which are right."""
    stem, _, last = path.rpartition("/")
    if not last.startswith("{"):
        return path
    words = [item.path.rpartition("/") for item in routes]
    taken = sorted({word for begin, _, word in words if begin == stem and word[0] != "{"})
    shut = "".join([f"(?!{word}$)" for word in taken])
    return f"{stem}/{{{last[1:-1]}:{shut}[^{{}}/]+}}" if taken else path


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
        except (StorageError, InvariantBroken, ReplicaBroken) as fault:  # as in a task of the node
            services.watch.fail(fault)
            response = problems.answer(ApiCode.STORAGE, "the storage of this node failed")
        if not response.prepared:  # a stream that ended: its length is no time to answer
            response.headers.update(ALWAYS)
            seconds = clock() - started
            metrics.observe_request(_route(request), request.method, response.status, seconds)
        return response

    return guard


async def _run(
    request: web.Request, handler: Handler, hosts: Collection[str] | None
) -> web.StreamResponse:
    route = _row(request)
    _check_rate(request, 1 if route is None else route.weight)
    _check_headers(request)
    if hosts is not None:
        _check_host(request, hosts)
    if route is not None:
        request[ROUTE] = route
    async with asyncio.timeout_at(_answer_by(request)) as deadline:
        request[DEADLINE] = deadline
        return await handler(request)


def _row(request: web.Request) -> Route | None:
    """Of the table; None where no route matches, and on the other listeners."""
    table, resource = request.app.get(TABLE), request.match_info.route.resource
    if table is None or resource is None:
        return None
    return table.get(("GET" if request.method == "HEAD" else request.method, resource.canonical))


def _answer_by(request: web.Request) -> float | None:
    """The loop time by which the answer has to begin; the connection itself is cut later."""
    connection = request.protocol
    return connection.answer_by if isinstance(connection, Connection) else None


def _check_rate(request: web.Request, weight: int) -> None:
    """On the public listener alone; what is refused afterwards has been paid for."""
    rates, connection = request.app.get(RATES), request.protocol
    if rates is None:
        return
    address = connection.address if isinstance(connection, Connection) else ""
    wait_s = rates.take(address, weight)
    if wait_s:
        detail = f"this costs {weight}, which your address has again in {wait_s:.2f} s"
        raise ApiError(ApiCode.RATE_LIMITED, detail, ceil(wait_s))


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
