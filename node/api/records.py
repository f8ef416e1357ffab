"""What was: evidence that blocks carried, and how issuers stood."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from msgspec import Meta

from ledger import transaction
from ledger.block import VotePayload
from ledger.economy.licence import Cause, Licence
from ledger.indexes import AccusationLine
from ledger.operations import Evidence
from ledger.registers import licences_by_name
from ledger.reserve_history import ReserveSample
from ledger.schema import DamagedChain
from ledger.times import rfc3339
from node.api import record_schemas as schemas
from node.api.assets import now
from node.api.economy import ISSUER
from node.api.forms import Count
from node.api.problems import ApiCode, not_found
from node.api.reply import answer
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

POINTS_MAX = 1_000
POINTS_DEFAULT = 200
_EVIDENCE = b"g"


async def get_evidence(request: web.Request) -> web.Response:
    """Who signed two votes that contradict each other, with the votes, from the newest down."""
    query = read_query(request)
    services = request.app[SERVICES]
    page = services.chain.indexes.accusations(
        start=read_cursor(query, _EVIDENCE), limit=read_limit(query)
    )
    held = licences_by_name(now(services))
    items = []
    for line in page.items:
        items.append(_evidence(services, line, held[line.licence]))
    more = None if page.next_start is None else write_cursor(_EVIDENCE, page.next_start)
    return answer(Page(items=items, next_cursor=more))


def _evidence(services: Services, line: AccusationLine, licence: Licence) -> schemas.EvidenceShown:
    header = services.chain.header(line.height)
    if header is None:
        raise DamagedChain(f"an accusation of height {line.height}, whose header is missing")
    raw = services.chain.raw_transaction(line.height, line.position)
    found = None if raw is None else transaction.decode(raw).body.operations[line.operation]
    votes = None
    if isinstance(found, Evidence):
        votes = [
            _vote(found.first, found.first_signature),
            _vote(found.second, found.second_signature),
        ]
    return schemas.EvidenceShown(
        licence=line.licence,
        state=licence.state.name.lower(),
        cause="" if licence.cause is Cause.NONE else licence.cause.name.lower(),
        txid=line.txid.hex(),
        height=line.height,
        time_ms=header.time_ms,
        time=rfc3339(header.time_ms),
        key=found.key.hex() if isinstance(found, Evidence) else None,
        votes=votes,
    )


def _vote(vote: VotePayload, signature: bytes) -> schemas.VoteShown:
    return schemas.VoteShown(
        epoch=vote.epoch,
        phase=vote.phase,
        view=vote.view,
        height=vote.height,
        block_hash=vote.block_hash.hex(),
        signature=signature.hex(),
    )


async def get_reserve_history(request: web.Request) -> web.Response:
    """How issuers stood, as this node saw it, for charts: samples from the oldest to now.

    A node keeps four a period at most, ten seconds apart at least; the last point is the present.
    """
    query = read_query(request)
    services = request.app[SERVICES]
    points = read_number(
        query.get("points", str(POINTS_DEFAULT)), "points", least=2, most=POINTS_MAX
    )
    since_ms = read_number(query.get("since_ms", "0"), "since_ms")
    issuer = query.get("issuer")
    present = ReserveSample.of(services.chain)
    if issuer is not None and issuer not in [line.issuer for line in present.issuers]:
        raise not_found(f"no issuer {issuer}")
    past = services.history.between(since_ms, present.time_ms - 1, points - 1)
    found = [_point(sample, issuer) for sample in (*past, present)]
    return answer(schemas.ReserveHistory(points=found))


def _point(sample: ReserveSample, issuer: str | None) -> schemas.ReservePoint:
    return schemas.ReservePoint(
        height=sample.height,
        time_ms=sample.time_ms,
        time=rfc3339(sample.time_ms),
        issuers=[
            schemas.IssuerPoint(
                issuer=line.issuer,
                status=line.solvency.name.lower(),
                outstanding=str(line.supply),
                reserve=str(line.reserve),
                coverage_ppm=line.coverage_ppm,
                deliverability_ppm=line.deliverability_ppm,
            )
            for line in sample.issuers
            if issuer in (None, line.issuer)
        ],
    )


ROUTES = (
    get(
        "/v1/evidence",
        get_evidence,
        Page[schemas.EvidenceShown],
        *PAGED,
        codes=(ApiCode.BAD_CURSOR,),
        weight=10,
    ),
    get(
        "/v1/reserve/history",
        get_reserve_history,
        schemas.ReserveHistory,
        Parameter(
            "points",
            Annotated[int, Meta(ge=2, le=POINTS_MAX)],
            f"At most so many, evenly spread; {POINTS_DEFAULT} without it.",
            "5",
        ),
        Parameter("since_ms", Count, "From this moment on; from the first without it."),
        ISSUER,
        codes=(ApiCode.NOT_FOUND,),
        weight=20,
    ),
)
