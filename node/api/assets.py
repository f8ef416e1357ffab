"""Issuers and what stands behind their coins: assets, lanes, the reserve."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from ledger import codec
from ledger.catalogue import allowed
from ledger.draft import Draft
from ledger.economy import reserve
from ledger.economy.issuance import Lane
from ledger.economy.licence import Licence
from ledger.economy.reserve import Reserve, Solvency
from ledger.objects import LedgerClock, decode, key_of, load, load_all, load_one
from ledger.operations import TREASURY
from ledger.reasons import Reason
from ledger.registers import LICENCES, RESERVES, name
from ledger.times import rfc3339
from node.api import schemas
from node.api.blocks import certified
from node.api.convert import read_hash
from node.api.economy_schemas import Issuer
from node.api.problems import ApiCode, not_found
from node.api.reply import answer
from node.api.request import SERVICES, read_query
from node.api.routes import get
from node.api.services import Services


async def get_assets(request: web.Request) -> web.Response:
    """The coins of all issuers, by issuer."""
    read_query(request)
    items = [_asset(item) for item in load_all(request.app[SERVICES].chain, Reserve)]
    return answer(schemas.Page(items=sorted(items, key=lambda item: item.issuer)))


async def get_asset(request: web.Request) -> web.Response:
    """One issuer's coin, by its id."""
    read_query(request)
    asset = read_hash(request.match_info["asset"], "the asset")
    held = load(request.app[SERVICES].chain, Reserve, asset)
    if held is None:
        raise not_found(f"no asset {asset.hex()}")
    return answer(_asset(held))


async def get_issuers(request: web.Request) -> web.Response:
    """All issuers with what stands behind their coins, by id."""
    read_query(request)
    services = request.app[SERVICES]
    draft = now(services)
    items = [
        _issuer(services, draft, licence, held)
        for held in RESERVES.all(draft)
        if (licence := LICENCES.get(draft, name(held.issuer))) is not None
    ]
    return answer(schemas.Page(items=sorted(items, key=lambda item: item.id)))


async def get_issuer(request: web.Request) -> web.Response:
    """One issuer with what stands behind its coin."""
    read_query(request)
    services, issuer = request.app[SERVICES], request.match_info["issuer"]
    draft = now(services)
    for held in RESERVES.all(draft):
        if held.issuer == issuer:
            licence = LICENCES.get(draft, name(issuer))
            if licence is not None:
                return answer(_issuer(services, draft, licence, held))
    raise not_found(f"no issuer {issuer}")


async def get_reserve(request: web.Request) -> web.Response:
    """Every issuer's coin against its reserve, after the last block."""
    read_query(request)
    services = request.app[SERVICES]
    head = services.chain.head
    proved = certified(services, head.header.height)
    reserves = sorted(RESERVES.all(now(services)), key=lambda item: item.issuer)
    return answer(
        schemas.Reserve(
            height=head.header.height,
            header_time_ms=head.header.time_ms,
            ledger_time_ms=load_one(services.chain, LedgerClock).time_ms,
            ok=all(item.solvency in (Solvency.HEALTHY, Solvency.WARN) for item in reserves),
            issuers=[reserve_answer(services, item) for item in reserves],
            roots=codec.encode_payload(head.commitments.roots).hex(),
            header=proved.header,
            certificate=proved.certificate,
        )
    )


def now(services: Services) -> Draft:
    """The state as rules read it, after the last block."""
    return Draft(services.chain, services.chain.head.header.time_ms)


def _asset(held: Reserve) -> schemas.Asset:
    return schemas.Asset(asset=held.asset.hex(), issuer=held.issuer, supply=str(held.supply))


def stateful(kind: str, state: str, deadline_ms: int | None) -> dict[str, Any]:
    """What every object with a life says of it."""
    return {
        "state": state,
        "allowed_actions": allowed(kind, state),
        "deadline_ms": deadline_ms,
        "deadline": None if deadline_ms is None else rfc3339(deadline_ms),
    }


def _issuer(services: Services, draft: Draft, licence: Licence, held: Reserve) -> Issuer:
    grant = licence.grant
    return Issuer(
        **stateful("issuer", held.solvency.name.lower(), reserve.deadline(held, draft.economy)),
        id=grant.id,
        name=grant.name,
        jurisdiction=grant.jurisdiction,
        licence=licence.state.name.lower(),
        asset=held.asset.hex(),
        treasury_key=grant.keys.treasury.hex(),
        lanes=lanes_of(services, grant.id, TREASURY),
        reserve=reserve_answer(services, held),
    )


def lanes_of(services: Services, owner: str, role: str) -> list[schemas.Lane]:
    """Those in use."""
    prefix = key_of(Lane, b"\0".join((owner.encode("ascii"), role.encode("ascii"), b"")))
    found = (decode(data, Lane) for _, data in services.chain.objects(prefix))
    return [schemas.Lane(lane=item.lane, next_number=item.next_number) for item in found]


def reserve_answer(services: Services, held: Reserve) -> schemas.IssuerReserve:
    return schemas.IssuerReserve(
        issuer=held.issuer,
        asset=held.asset.hex(),
        status=held.solvency.name.lower(),
        outstanding=str(held.supply),
        residual=str(held.residual),
        reserve=str(held.reserve),
        headroom=str(held.headroom(services.genesis.parameters.margin_ppm)),
        coverage_ppm=held.coverage_ppm,
        deliverability_ppm=held.deliverability_ppm,
    )


ROUTES = (
    get("/v1/assets", get_assets, schemas.Page[schemas.Asset]),
    get(
        "/v1/assets/{asset}",
        get_asset,
        schemas.Asset,
        codes=(Reason.MALFORMED, ApiCode.NOT_FOUND),
    ),
    get(
        "/v1/issuers",
        get_issuers,
        schemas.Page[Issuer],
        weight=2,
    ),
    get("/v1/issuers/{issuer}", get_issuer, Issuer, codes=(ApiCode.NOT_FOUND,)),
    get(
        "/v1/reserve",
        get_reserve,
        schemas.Reserve,
        weight=2,
    ),
)
