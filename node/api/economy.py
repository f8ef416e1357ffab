"""The economy over HTTP: every object with its state, what may be done with it, and until when.

All of an answer is of one height, read as rules read it: as of the ledger clock, swept or not.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from ledger.amounts import parse_number
from ledger.backing import Yardstick, backing_of
from ledger.draft import Draft
from ledger.economy import issuance
from ledger.economy.attestor import Attestor
from ledger.economy.bond import Bond
from ledger.economy.capacity import CapacityCommitment, Device
from ledger.economy.spot_audit import AuditRound, is_drawn
from ledger.handlers.issuance import need_minting
from ledger.objects import decode, key_of
from ledger.reasons import Invalid, Reason
from ledger.registers import (
    CHALLENGES,
    COMMITMENTS,
    LICENCES,
    OPENINGS,
    ORDERS,
    licences_by_name,
    name,
)
from ledger.schema import object_key
from node.api import economy_schemas as schemas
from node.api.assets import now
from node.api.economy_answers import (
    attestor_answer,
    backing_answer,
    challenge_answer,
    commitment_answer,
    licence_object,
    opening_answer,
    order_answer,
    round_answer,
)
from node.api.problems import ApiCode, not_found
from node.api.reply import answer
from node.api.request import (
    SERVICES,
    cut_page,
    read_cursor,
    read_form,
    read_limit,
    read_number,
    read_query,
)
from node.api.routes import CURSOR, PAGED, Body, Parameter, get, post
from node.api.schemas import Page

_COMMITMENTS = b"k"
_DEVICES = b"d"
_NAMED = (ApiCode.NOT_FOUND,)
ISSUER = Parameter(
    "issuer", Annotated[str, Meta(min_length=1, max_length=32)], "Of this issuer alone.", "acme"
)
DEVICES_LOOKED_MAX = 1_000
"""Devices of all issuers that one answer looks at: five milliseconds. There may be a hundred
thousand, and which of them are drawn follows from each id alone."""

_quote_decoder = msgspec.json.Decoder(schemas.MintQuoteForm)


async def get_licences(request: web.Request) -> web.Response:
    """Every licence that was ever asked for, by id."""
    read_query(request)
    services = request.app[SERVICES]
    draft = now(services)
    held = licences_by_name(draft)
    items = [licence_object(services, draft, held[item]) for item in sorted(held)]
    return answer(Page(items=items))


async def get_licence(request: web.Request) -> web.Response:
    """One licence as of now."""
    read_query(request)
    services = request.app[SERVICES]
    draft = now(services)
    wanted = request.match_info["licence"]
    held = licences_by_name(draft).get(wanted)
    if held is None:
        raise not_found(f"no licence {wanted}")
    return answer(licence_object(services, draft, held))


async def get_attestors(request: web.Request) -> web.Response:
    """All attestors, by id, those that were removed too."""
    read_query(request)
    services = request.app[SERVICES]
    draft = now(services)
    return answer(Page(items=[attestor_answer(services, item) for item in draft.all(Attestor)]))


async def get_commitments(request: web.Request) -> web.Response:
    """Capacity that issuers promised, by issuer, then id."""
    query = read_query(request)
    services = request.app[SERVICES]
    limit, start = read_limit(query), read_cursor(query, _COMMITMENTS)
    wanted = query.get("issuer")
    try:
        prefix = key_of(CapacityCommitment, b"" if wanted is None else Bond.prefix(wanted))
    except UnicodeEncodeError:
        raise not_found("no such issuer") from None
    first = key_of(CapacityCommitment)
    rows = (row for row in services.chain.objects(prefix) if row[0] >= first + (start or b""))
    page, more = cut_page(rows, limit, _COMMITMENTS, first)
    draft = now(services)
    yardstick = Yardstick.of(draft)
    held = (COMMITMENTS.get(draft, key[len(first) :]) for key, _ in page)
    items = [commitment_answer(draft, item, yardstick) for item in held if item is not None]
    return answer(Page(items=items, next_cursor=more))


async def get_commitment(request: web.Request) -> web.Response:
    """One commitment as of now; what is over is not told of."""
    read_query(request)
    draft = now(request.app[SERVICES])
    issuer, wanted = request.match_info["issuer"], request.match_info["commitment"]
    found = [
        item
        for item in COMMITMENTS.all(draft)
        if (item.terms.issuer, item.terms.id) == (issuer, wanted)
    ]
    if not found:
        raise not_found(f"'{issuer}' has no commitment '{wanted}', or it is over")
    return answer(commitment_answer(draft, found[0], Yardstick.of(draft)))


async def get_challenges(request: web.Request) -> web.Response:
    """Challenges of capacity that are open."""
    read_query(request)
    draft = now(request.app[SERVICES])
    return answer(Page(items=[challenge_answer(draft, item) for item in CHALLENGES.all(draft)]))


async def get_backing(request: web.Request) -> web.Response:
    """Everything that minting depends on, of one issuer."""
    read_query(request)
    services = request.app[SERVICES]
    return answer(backing_answer(services, now(services), request.match_info["issuer"]))


async def get_orders(request: web.Request) -> web.Response:
    """Orders that freeze addresses or coins, those in force."""
    read_query(request)
    services = request.app[SERVICES]
    draft = now(services)
    return answer(Page(items=[order_answer(services, item) for item in ORDERS.all(draft)]))


async def get_audits(request: web.Request) -> web.Response:
    """Spot audits: what is sealed and revealed, and for whom devices are drawn.

    Which devices, each opening says.
    """
    read_query(request)
    draft = now(request.app[SERVICES])
    return answer(
        schemas.Audits(
            period=draft.period,
            period_ms=draft.parameters.period_ms,
            ledger_time_ms=draft.clock_ms,
            rounds=[round_answer(item) for item in draft.all(AuditRound)],
            openings=[opening_answer(item) for item in OPENINGS.all(draft)],
        )
    )


async def get_opening(request: web.Request) -> web.Response:
    """An opening with the drawn devices among those that this page looks at, by id.

    Where none of them is drawn a page is empty and not the last.
    """
    query = read_query(request)
    services = request.app[SERVICES]
    draft, start = now(services), read_cursor(query, _DEVICES)
    period = read_number(request.match_info["period"], "the period")
    issuer = request.match_info["issuer"]
    found = [x for x in OPENINGS.all(draft) if (x.period, x.issuer) == (period, issuer)]
    if not found:
        raise not_found(f"nothing is drawn of '{issuer}' for period {period}")
    held, first = found[0], object_key(key_of(Device))
    rows = services.chain.scan(first, start=first + (start or b""))
    page, more = cut_page(rows, DEVICES_LOOKED_MAX, _DEVICES, first)
    drawn, wanted = [], draft.economy.audit_devices
    for key, data in page:
        device = key[len(first) :]
        is_chosen = is_drawn(held.seed, device, devices=held.devices, wanted=wanted)
        if is_chosen and _stood(decode(data, Device), issuer, period):
            drawn.append(device)
    return answer(opening_answer(held, drawn, more))


def _stood(held: Device, issuer: str, period: int) -> bool:
    return held.issuer == issuer and held.stood_in(period)


async def post_mint_quote(request: web.Request) -> web.Response:
    """What a mint of this amount would be told now, signatures and numbers aside."""
    read_query(request)
    services = request.app[SERVICES]
    form = await read_form(request, _quote_decoder)
    amount = parse_number(form.amount)
    if not amount:
        raise Invalid(Reason.BAD_AMOUNT, f"{form.amount} µ: a mint has a positive amount")
    draft = now(services)
    shown = backing_answer(services, draft, form.issuer)
    refusal = _refusal(draft, form.issuer, amount)
    return answer(
        schemas.MintQuote(
            height=services.chain.height,
            issuer=form.issuer,
            amount=str(amount),
            allowed=refusal is None,
            code="" if refusal is None else refusal.reason.value,
            message="" if refusal is None else refusal.detail,
            backing=shown,
        )
    )


def _refusal(draft: Draft, issuer: str, amount: int) -> Invalid | None:
    held, backing = LICENCES.get(draft, name(issuer)), backing_of(draft, issuer)
    if held is None or not held.grant.issuer or backing is None:
        return Invalid(Reason.UNKNOWN_ISSUER, f"'{issuer}' holds no licence to issue")
    try:
        need_minting(held, draft.clock_ms)
        issuance.check_mint(amount, backing, draft.parameters)
    except Invalid as error:
        return error
    return None


ROUTES = (
    get(
        "/v1/licences",
        get_licences,
        Page[schemas.LicenceObject],
        weight=5,
    ),
    get("/v1/licences/{licence}", get_licence, schemas.LicenceObject, codes=_NAMED),
    get("/v1/attestors", get_attestors, Page[schemas.Attestor]),
    get(
        "/v1/commitments",
        get_commitments,
        Page[schemas.Commitment],
        ISSUER,
        *PAGED,
        codes=(*_NAMED, ApiCode.BAD_CURSOR),
        weight=20,
    ),
    get(
        "/v1/commitments/{issuer}/{commitment}",
        get_commitment,
        schemas.Commitment,
        codes=_NAMED,
        weight=20,
    ),
    get("/v1/challenges", get_challenges, Page[schemas.Challenge]),
    get(
        "/v1/issuers/{issuer}/backing",
        get_backing,
        schemas.Backing,
        codes=_NAMED,
        weight=10,
    ),
    get("/v1/compliance", get_orders, Page[schemas.Order]),
    get(
        "/v1/audits",
        get_audits,
        schemas.Audits,
        weight=5,
    ),
    get(
        "/v1/audits/{period}/{issuer}",
        get_opening,
        schemas.Opening,
        CURSOR,
        codes=(*_NAMED, ApiCode.BAD_CURSOR),
        weight=10,
    ),
    post(
        "/v1/quotes/mint",
        post_mint_quote,
        schemas.MintQuote,
        Body(schemas.MintQuoteForm, example='{"issuer":"acme","amount":"1000000"}'),
        codes=(Reason.BAD_AMOUNT, *_NAMED),
        weight=10,
    ),
)
