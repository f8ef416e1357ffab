"""How consensus stands on this node, for people who run validators: /consensus."""

from __future__ import annotations

from aiohttp import web

from node.api import consensus_schemas as schemas
from node.api.epochs import epoch_of
from node.api.reply import answer
from node.api.request import SERVICES, read_query
from node.api.routes import get


async def get_consensus(request: web.Request) -> web.Response:
    """How consensus stands on this node, member by member.

    Chain and replica are read in one turn of the loop, so that they agree.
    """
    read_query(request)
    services = request.app[SERVICES]
    epoch, replica = epoch_of(services), services.watch.replica()
    return answer(schemas.ConsensusShown(node=services.node, epoch=epoch, replica=replica))


ROUTES = (get("/v1/consensus", get_consensus, schemas.ConsensusShown),)
