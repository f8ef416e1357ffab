"""Issuers and what stands behind their coins: assets, lanes, commitments, the reserve."""

from __future__ import annotations

from itertools import islice

from aiohttp import web

from ledger import codec
from ledger.backing import Yardstick
from ledger.draft import Draft
from ledger.economy.capacity import CapacityCommitment, Measure, counted
from ledger.economy.issuance import Lane
from ledger.economy.licence import Licence
from ledger.economy.reserve import Reserve, Solvency
from ledger.objects import LedgerClock, decode, key_of, load, load_all, load_one
from ledger.operations import TREASURY
from ledger.registers import COMMITMENTS, LICENCES, RESERVES, name
from node.api import schemas
from node.api.blocks import certified
from node.api.convert import read_hash, rfc3339
from node.api.problems import not_found
from node.api.reply import answer
from node.api.request import SERVICES, read_cursor, read_limit, read_query, write_cursor
from node.api.services import Services

_COMMITMENTS = b"k"


def routes() -> list[web.RouteDef]:
    return [
        web.get("/v1/assets", get_assets),
        web.get("/v1/assets/{asset}", get_asset),
        web.get("/v1/issuers", get_issuers),
        web.get("/v1/issuers/{issuer}", get_issuer),
        web.get("/v1/commitments", get_commitments),
        web.get("/v1/reserve", get_reserve),
    ]


async def get_assets(request: web.Request) -> web.Response:
    """By issuer."""
    read_query(request)
    items = [_asset(item) for item in load_all(request.app[SERVICES].chain, Reserve)]
    return answer(schemas.Page(items=sorted(items, key=lambda item: item.issuer)))


async def get_asset(request: web.Request) -> web.Response:
    read_query(request)
    asset = read_hash(request.match_info["asset"], "the asset")
    reserve = load(request.app[SERVICES].chain, Reserve, asset)
    if reserve is None:
        raise not_found(f"no asset {asset.hex()}")
    return answer(_asset(reserve))


async def get_issuers(request: web.Request) -> web.Response:
    read_query(request)
    services = request.app[SERVICES]
    draft = _now(services)
    items = [
        _issuer(services, licence, reserve)
        for reserve in RESERVES.all(draft)
        if (licence := LICENCES.get(draft, name(reserve.issuer))) is not None
    ]
    return answer(schemas.Page(items=sorted(items, key=lambda item: item.id)))


async def get_issuer(request: web.Request) -> web.Response:
    read_query(request)
    services, issuer = request.app[SERVICES], request.match_info["issuer"]
    draft = _now(services)
    for reserve in RESERVES.all(draft):
        if reserve.issuer == issuer:
            licence = LICENCES.get(draft, name(issuer))
            if licence is not None:
                return answer(_issuer(services, licence, reserve))
    raise not_found(f"no issuer {issuer}")


async def get_commitments(request: web.Request) -> web.Response:
    """By id."""
    query = read_query(request, "limit", "cursor")
    services = request.app[SERVICES]
    limit, start = read_limit(query), read_cursor(query, _COMMITMENTS)
    prefix = key_of(CapacityCommitment)
    rows = (row for row in services.chain.objects(prefix) if row[0] >= prefix + (start or b""))
    page = list(islice(rows, limit + 1))
    draft = _now(services)
    measure = Yardstick.of(draft).measure
    held = (COMMITMENTS.get(draft, row[0][len(prefix) :]) for row in page[:limit])
    items = [_commitment(item, measure) for item in held if item is not None]
    more = write_cursor(_COMMITMENTS, page[limit][0][len(prefix) :]) if len(page) > limit else None
    return answer(schemas.Page(items=items, next_cursor=more))


async def get_reserve(request: web.Request) -> web.Response:
    """Every issuer's coin against its reserve, after the last block."""
    read_query(request)
    services = request.app[SERVICES]
    head = services.chain.head
    proved = certified(services, head.header.height)
    reserves = sorted(RESERVES.all(_now(services)), key=lambda item: item.issuer)
    return answer(
        schemas.Reserve(
            height=head.header.height,
            header_time_ms=head.header.time_ms,
            ledger_time_ms=load_one(services.chain, LedgerClock).time_ms,
            ok=all(item.solvency in (Solvency.HEALTHY, Solvency.WARN) for item in reserves),
            issuers=[_reserve(services, item) for item in reserves],
            roots=codec.encode_payload(head.commitments.roots).hex(),
            header=proved.header,
            certificate=proved.certificate,
        )
    )


def _now(services: Services) -> Draft:
    """The state as rules read it, after the last block."""
    return Draft(services.chain, services.chain.head.header.time_ms)


def _asset(reserve: Reserve) -> schemas.Asset:
    return schemas.Asset(
        asset=reserve.asset.hex(), issuer=reserve.issuer, supply=str(reserve.supply)
    )


def _issuer(services: Services, licence: Licence, reserve: Reserve) -> schemas.Issuer:
    grant = licence.grant
    lanes = key_of(Lane, b"\0".join((grant.id.encode("ascii"), TREASURY.encode("ascii"), b"")))
    return schemas.Issuer(
        id=grant.id,
        name=grant.name,
        jurisdiction=grant.jurisdiction,
        licence=licence.state.name.lower(),
        asset=reserve.asset.hex(),
        treasury_key=grant.keys.treasury.hex(),
        lanes=[
            schemas.Lane(lane=lane.lane, next_number=lane.next_number)
            for lane in (decode(data, Lane) for _, data in services.chain.objects(lanes))
        ],
        reserve=_reserve(services, reserve),
    )


def _reserve(services: Services, reserve: Reserve) -> schemas.IssuerReserve:
    return schemas.IssuerReserve(
        issuer=reserve.issuer,
        asset=reserve.asset.hex(),
        status=reserve.solvency.name.lower(),
        outstanding=str(reserve.supply),
        reserve=str(reserve.reserve),
        headroom=str(reserve.headroom(services.genesis.parameters.margin_ppm)),
        coverage_ppm=reserve.coverage_ppm,
        deliverability_ppm=reserve.deliverability_ppm,
    )


def _commitment(commitment: CapacityCommitment, measure: Measure) -> schemas.Commitment:
    terms = commitment.terms
    return schemas.Commitment(
        id=terms.id,
        issuer=terms.issuer,
        device_class=terms.device_class,
        region=terms.region,
        workloads=list(terms.workloads),
        from_ms=terms.from_ms,
        to_ms=terms.to_ms,
        from_time=rfc3339(terms.from_ms),
        to_time=rfc3339(terms.to_ms),
        microhours=str(terms.microhours),
        counted_microhours=str(counted(commitment, measure)),
        attestors=[item.attestor for item in commitment.attestations],
    )
