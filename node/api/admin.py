"""For the owner of the process alone: look at it, end it."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from node.api.problems import ApiCode, ApiError
from node.api.reply import answer
from node.api.request import SERVICES
from node.api.schemas import Answer
from node.api.status import status_of
from node.vote_guard import Refused


class Accepted(Answer, frozen=True, kw_only=True):
    """An order to the node was taken; it is carried out after this answer."""

    accepted: str


def routes(on_shutdown: Callable[[], None], on_recover: Callable[[], None]) -> list[web.RouteDef]:
    """`on_shutdown` asks the node to end and returns at once.

    `on_recover` lets the key of a node that only follows vote again; raises Refused.
    """

    async def post_shutdown(_: web.Request) -> web.Response:
        on_shutdown()
        return answer(Accepted(accepted="shutdown"), status=202)

    async def post_recover(_: web.Request) -> web.Response:
        try:
            on_recover()
        except Refused as refusal:
            raise ApiError(ApiCode.NOT_RECOVERABLE, str(refusal)) from None
        return answer(Accepted(accepted="recover"), status=202)

    return [
        web.get("/status", get_status),
        web.post("/shutdown", post_shutdown),
        web.post("/recover", post_recover),
    ]


async def get_status(request: web.Request) -> web.Response:
    return answer(status_of(request.app[SERVICES]))
