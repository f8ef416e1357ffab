"""Epochs: who votes now, who joins, who leaves; and when the validators changed.

Whoever trusts the genesis file follows the changes to the validators of any block, and needs no
other block in between: a quorum of each set signed who comes next.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from ledger.block import header_hash
from ledger.boundaries import boundary_of
from ledger.draft import Draft
from ledger.economy.licence import Licence
from ledger.economy.regulator import Regulator
from ledger.epochs import Epoch, epoch_after
from ledger.registers import REGULATORS, licences_by_name
from ledger.schema import DamagedChain
from ledger.times import rfc3339
from ledger.validators import ValidatorSet
from node.api import epoch_schemas as schemas
from node.api.convert import certificate_answer, header_answer
from node.api.forms import Count
from node.api.problems import ApiCode, not_found
from node.api.record_schemas import EpochShown
from node.api.reply import answer, final
from node.api.request import (
    SERVICES,
    read_cursor,
    read_limit,
    read_number,
    read_query,
    write_cursor,
)
from node.api.routes import PAGED, Parameter, get
from node.api.schemas import Page
from node.api.services import Services

_EPOCHS = b"e"
EPOCHS_A_REQUEST = 1_000
"""Two small reads each: some 50 ms of the loop in slices."""


async def get_current(request: web.Request) -> web.Response:
    """The epoch of the next block, its members, and every licence.

    Everything is of the state after one block, so that the parts agree.
    """
    read_query(request)
    return answer(epoch_of(request.app[SERVICES]))


async def get_epochs(request: web.Request) -> web.Response:
    """Epochs from the present one down, each with its last block and its members."""
    query = read_query(request)
    services = request.app[SERVICES]
    limit, start = read_limit(query), read_cursor(query, _EPOCHS)
    present = epoch_after(services.chain.head.header)
    top = present if start is None else min(present, int.from_bytes(start, "big"))
    last = max(0, top - limit + 1)
    items = []
    for number in range(top, last - 1, -1):
        items.append(_shown(services, number))
        await asyncio.sleep(0)
    cursor = write_cursor(_EPOCHS, (last - 1).to_bytes(8, "big")) if last else None
    return answer(Page(items=items, next_cursor=cursor))


def _shown(services: Services, number: int) -> EpochShown:
    end = boundary_of(services.chain, number)
    before = boundary_of(services.chain, number - 1) if number else None
    header = None if end is None else end.header
    return EpochShown(
        number=number,
        first_height=1 if before is None else before.header.height + 1,
        last_height=None if header is None else header.height,
        last_hash=None if header is None else header_hash(header).hex(),
        last_time_ms=None if header is None else header.time_ms,
        last_time=None if header is None else rfc3339(header.time_ms),
        members=[member.licence for member in services.validators_at(number).members],
    )


async def get_changes(request: web.Request) -> web.Response:
    """When the validators changed, and to whom, each with the certificate that shows it.

    From the end of epoch `start` on; a bounded number of epochs is looked at for one answer.
    """
    start = read_number(read_query(request).get("start", "0"), "start")
    services = request.app[SERVICES]
    chain = services.chain
    present = epoch_after(chain.head.header)
    end = min(present, start + EPOCHS_A_REQUEST)
    items = []
    for epoch in range(start, end):
        before, after = services.validators_at(epoch), services.validators_at(epoch + 1)
        if before.members != after.members:
            items.append(_change(services, epoch, after))
        await asyncio.sleep(0)
    return answer(
        schemas.SetChanges(items=items, next_epoch=end if start <= end < present else None)
    )


async def get_set(request: web.Request) -> web.Response:
    """Who votes in an epoch that has begun: what the header of each of its blocks names by hash."""
    read_query(request)
    number = read_number(request.match_info["number"], "the epoch")
    found = request.app[SERVICES].chain.validators(number)
    if found is None:
        raise not_found(f"the validators of epoch {number} are not known here")
    return final(
        request,
        schemas.EpochSet(epoch=number, hash=found.hash.hex(), members=_members(found)),
    )


def _members(found: ValidatorSet) -> list[schemas.SetMember]:
    """In the order of their index."""
    return [
        schemas.SetMember(key=member.key.hex(), licence=member.licence) for member in found.members
    ]


def _change(services: Services, epoch: int, after: ValidatorSet) -> schemas.SetChange:
    boundary = boundary_of(services.chain, epoch)
    if boundary is None:
        raise AssertionError(f"epoch {epoch} ended, and its last block is not stored")
    before = services.validators_at(epoch)
    return schemas.SetChange(
        header=header_answer(boundary.header),
        certificate=certificate_answer(boundary.certificate, before),
        members=_members(after),
    )


def epoch_of(services: Services) -> schemas.Epoch:
    chain, parameters = services.chain, services.genesis.parameters
    draft = Draft(chain, chain.head.header.time_ms)
    epoch, regulator = draft.one(Epoch), REGULATORS.get(draft)
    granted = licences_by_name(draft)
    if regulator is None:
        raise DamagedChain("the state holds no regulator")
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
        regulator=_regulator_answer(regulator),
        licences=[licence_answer(granted[name]) for name in sorted(granted)],
    )


def _regulator_answer(held: Regulator) -> schemas.Regulator:
    coming = [
        schemas.NextRegulator(
            needed=change.keys.needed,
            keys=[key.hex() for key in change.keys.keys],
            after_ms=change.after_ms,
            after=rfc3339(change.after_ms),
        )
        for change in held.announced
    ]
    return schemas.Regulator(
        version=held.version,
        needed=held.keys.needed,
        keys=[key.hex() for key in held.keys.keys],
        announced=coming[0] if coming else None,
    )


def licence_answer(item: Licence) -> schemas.Licence:
    """A licence as of now."""
    grant = item.grant
    keys = {role: getattr(grant.keys, role).hex() for role in grant.keys.__struct_fields__}
    return schemas.Licence(
        id=grant.id,
        name=grant.name,
        jurisdiction=grant.jurisdiction,
        state=item.state.name.lower(),
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


ROUTES = (
    get(
        "/v1/epochs",
        get_epochs,
        Page[EpochShown],
        *PAGED,
        codes=(ApiCode.BAD_CURSOR,),
        weight=20,
    ),
    get(
        "/v1/epochs/current",
        get_current,
        schemas.Epoch,
        weight=2,
    ),
    get(
        "/v1/epochs/changes",
        get_changes,
        schemas.SetChanges,
        Parameter("start", Count, "The first epoch whose end is looked at; 0 without it.", "0"),
        weight=50,
    ),
    get(
        "/v1/epochs/{number}/validators",
        get_set,
        schemas.EpochSet,
        codes=(ApiCode.NOT_FOUND,),
        is_final=True,
    ),
)
