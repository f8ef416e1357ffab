"""For machines that watch: is it alive, is it ready, how does it fare, what is it."""

from __future__ import annotations

import platform

from aiohttp import web

from ledger.codec import VERSION
from node.api.forms import Count, Hex32
from node.api.node_schemas import Check
from node.api.reply import answer
from node.api.request import SERVICES
from node.api.schemas import Answer
from node.metrics import CONTENT_TYPE, Metrics


class Health(Answer, frozen=True, kw_only=True):
    """`ok` when every check is."""

    ok: bool
    checks: list[Check]


class Version(Answer, frozen=True, kw_only=True):
    version: str
    protocol: Count
    python: str
    chain_id: Hex32


def routes(metrics: Metrics) -> list[web.RouteDef]:
    async def get_metrics(_: web.Request) -> web.Response:
        return web.Response(body=metrics.expose(), headers={"Content-Type": CONTENT_TYPE})

    return [
        web.get("/livez", get_livez),
        web.get("/readyz", get_readyz),
        web.get("/metrics", get_metrics),
        web.get("/version", get_version),
    ]


async def get_livez(_: web.Request) -> web.Response:
    """That the event loop answers; a stalled network is no reason to restart a node."""
    return answer(Health(ok=True, checks=[]))


async def get_readyz(request: web.Request) -> web.Response:
    """Every check by name; 503 while one fails, so that a balancer sends nobody here."""
    checks = request.app[SERVICES].watch.health()
    is_ready = all(check.ok for check in checks)
    return answer(Health(ok=is_ready, checks=checks), status=200 if is_ready else 503)


async def get_version(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    return answer(
        Version(
            version=services.node.version,
            protocol=VERSION,
            python=platform.python_version(),
            chain_id=services.chain.chain_id.hex(),
        )
    )
