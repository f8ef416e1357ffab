"""The present epoch: who votes, who joins, who leaves, and when it ends."""

from __future__ import annotations

from aiohttp import web

from ledger import objects
from ledger.economy import licence as licences
from ledger.epochs import Epoch
from ledger.objects import LedgerClock
from node.api import epoch_schemas as schemas
from node.api.convert import rfc3339
from node.api.reply import answer
from node.api.request import SERVICES, read_query
from node.api.services import Services


def routes() -> list[web.RouteDef]:
    return [web.get("/v1/epochs/current", get_current)]


async def get_current(request: web.Request) -> web.Response:
    """Everything from the state after one block, so that the parts agree."""
    read_query(request)
    return answer(epoch_of(request.app[SERVICES]))


def epoch_of(services: Services) -> schemas.Epoch:
    chain, parameters = services.chain, services.genesis.parameters
    epoch = objects.load_one(chain, Epoch)
    clock_ms = objects.load_one(chain, LedgerClock).time_ms
    granted = {item.grant.id: item for item in objects.load_all(chain, licences.Licence)}
    members = epoch.validators
    last_time_ms = epoch.base_ms + parameters.epoch_ms
    return schemas.Epoch(
        height=chain.height,
        number=epoch.number,
        base_height=epoch.base_height,
        base_hash=epoch.base_hash.hex(),
        base_ms=epoch.base_ms,
        last_height_min=epoch.base_height + parameters.epoch_blocks + 1,
        last_time_ms_min=last_time_ms,
        last_time_min=rfc3339(last_time_ms),
        validators_hash=members.hash.hex(),
        n=members.n,
        f=members.f,
        quorum=members.quorum,
        members=[
            schemas.EpochMember(
                index=index,
                licence=member.licence,
                name=granted[member.licence].grant.name,
                key=member.key.hex(),
                operations_key=granted[member.licence].grant.keys.operations.hex(),
            )
            for index, member in enumerate(members.members)
        ],
        licences=[_licence(granted[name], clock_ms) for name in sorted(granted)],
    )


def _licence(item: licences.Licence, clock_ms: int) -> schemas.Licence:
    grant = item.grant
    keys = {role: getattr(grant.keys, role).hex() for role in grant.keys.__struct_fields__}
    is_expired = item.state is licences.LicenceState.ACTIVE and not item.is_active(clock_ms)
    return schemas.Licence(
        id=grant.id,
        name=grant.name,
        jurisdiction=grant.jurisdiction,
        state="expired" if is_expired else item.state.name.lower(),
        seat=item.seat.name.lower(),
        seat_height=item.seat_height,
        version=item.version,
        validator=grant.validator,
        issuer=grant.issuer,
        expires_ms=grant.expires_ms,
        expires=rfc3339(grant.expires_ms),
        document_hash=grant.document_hash.hex(),
        certificate_hash=grant.certificate_hash.hex(),
        keys=schemas.LicenceKeys(**keys),
    )
