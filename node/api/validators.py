"""Who votes."""

from __future__ import annotations

from aiohttp import web

from ledger.economy.licence import Licence
from ledger.objects import load
from node.api import schemas
from node.api.reply import answer
from node.api.request import SERVICES, read_query
from node.api.routes import get


async def get_validators(request: web.Request) -> web.Response:
    """Who votes now, in the order of their index, by which certificates name them."""
    read_query(request)
    services = request.app[SERVICES]
    members, now = services.validators, services.watch.consensus()
    items = []
    for index, member in enumerate(members.members):
        licence = load(services.chain, Licence, member.licence.encode("ascii"))
        items.append(
            schemas.Validator(
                index=index,
                licence=member.licence,
                name=member.licence if licence is None else licence.grant.name,
                key=member.key.hex(),
                is_primary=member.licence == now.primary,
                connected=member.licence not in now.missing,
            )
        )
    return answer(
        schemas.Validators(
            hash=members.hash.hex(),
            n=members.n,
            f=members.f,
            quorum=members.quorum,
            members=items,
        )
    )


ROUTES = (get("/v1/validators", get_validators, schemas.Validators),)
