"""The standard over HTTP: what is in force, what was, the open step and what it does to issuers."""

from __future__ import annotations

import msgspec
from aiohttp import web

from ledger import codec
from ledger.catalogue import allowed
from ledger.draft import Draft
from ledger.economy import step
from ledger.economy.standard import Factor, Factors, PastStandard, Reference, Standard
from ledger.economy.step import StandardStep
from ledger.handlers import standard as handler
from ledger.impact import impact_of
from ledger.objects import decode, key_of
from ledger.operations import ProposeStandard
from ledger.reasons import Invalid
from ledger.schema import object_key
from ledger.times import rfc3339
from node.api import standard_schemas as schemas
from node.api.assets import now
from node.api.forms import FactorForm, ReferenceForm
from node.api.problems import ApiCode
from node.api.reply import answer
from node.api.request import (
    SERVICES,
    cut_page,
    read_cursor,
    read_form,
    read_limit,
    read_query,
)
from node.api.routes import PAGED, Body, get, post
from node.api.schemas import Page

_HISTORY = b"v"
_quote_decoder = msgspec.json.Decoder(schemas.StandardQuoteForm)


async def get_standards(request: web.Request) -> web.Response:
    """The standard in force and the step to the next, with what it does to each issuer."""
    read_query(request)
    services = request.app[SERVICES]
    draft = now(services)
    active, held = draft.one(Standard), draft.load(StandardStep)
    state = "none" if held is None else held.state.name.lower()
    ends_ms = None if held is None else held.ends_ms
    return answer(
        schemas.Standards(
            state=state,
            allowed_actions=allowed("standard", state),
            deadline_ms=ends_ms,
            deadline=None if ends_ms is None else rfc3339(ends_ms),
            height=services.chain.height,
            ledger_time_ms=draft.clock_ms,
            active=_standard(active),
            step=None if held is None else _step(active, held),
            issuers=_issuers(draft, active.factors if held is None else held.factors),
        )
    )


async def get_history(request: web.Request) -> web.Response:
    """Standards that were in force, the oldest first."""
    query = read_query(request)
    services = request.app[SERVICES]
    limit, start = read_limit(query), read_cursor(query, _HISTORY)
    first = object_key(key_of(PastStandard))
    rows = services.chain.scan(first, start=first + (start or b""))
    page, more = cut_page(rows, limit, _HISTORY, first)
    past = [decode(data, PastStandard) for _, data in page]
    items = [_standard(item.standard, item.until_ms) for item in past]
    return answer(Page(items=items, next_cursor=more))


async def post_quote(request: web.Request) -> web.Response:
    """What a proposal of the next standard would be told now, and what it does."""
    read_query(request)
    services = request.app[SERVICES]
    form = await read_form(request, _quote_decoder)
    draft = now(services)
    active, refusal = draft.one(Standard), None
    version = active.version + 1
    raised = tuple([Reference(item.workload, item.units) for item in form.raised])
    added = tuple([Factor(x.device_class, x.workload, x.factor) for x in form.added])
    try:
        handler.propose(draft, codec.checked(ProposeStandard(version, raised, added)))
    except Invalid as error:
        refusal = error
    held = draft.load(StandardStep) if refusal is None else None
    return answer(
        schemas.StandardQuote(
            height=services.chain.height,
            version=version,
            allowed=refusal is None,
            code="" if refusal is None else refusal.reason.value,
            message="" if refusal is None else refusal.detail,
            step=None if held is None else _step(active, held),
            issuers=_issuers(draft, active.factors if held is None else held.factors),
        )
    )


def _standard(held: Standard, until_ms: int | None = None) -> schemas.Standard:
    return schemas.Standard(
        version=held.version,
        since_ms=held.since_ms,
        since=rfc3339(held.since_ms),
        until_ms=until_ms,
        until=None if until_ms is None else rfc3339(until_ms),
        references=[ReferenceForm(workload=x.workload, units=x.units) for x in held.references],
        factors=[
            FactorForm(device_class=x.device_class, workload=x.workload, factor=x.factor)
            for x in held.factors
        ],
    )


def _step(active: Standard, held: StandardStep) -> schemas.Step:
    return schemas.Step(
        noticed_ms=held.since_ms,
        noticed=rfc3339(held.since_ms),
        cut_ppm=step.cut_ppm(active, held.factors),
        standard=_standard(held.standard),
    )


def _issuers(draft: Draft, factors: Factors) -> list[schemas.IssuerImpact]:
    return [
        schemas.IssuerImpact(
            issuer=item.issuer,
            outstanding=str(item.outstanding),
            reserve=str(item.reserve),
            reserve_after=str(item.reserve_after),
            margin_limit=str(item.limit),
            margin_limit_after=str(item.limit_after),
            missing=str(item.missing),
            hours=[
                schemas.ClassHours(device_class=name, microhours=str(microhours))
                for name, microhours in item.hours.items()
            ],
        )
        for item in impact_of(draft, factors)
    ]


ROUTES = (
    get(
        "/v1/standards",
        get_standards,
        schemas.Standards,
        weight=10,
    ),
    get(
        "/v1/standards/history",
        get_history,
        Page[schemas.Standard],
        *PAGED,
        codes=(ApiCode.BAD_CURSOR,),
        weight=10,
    ),
    post(
        "/v1/quotes/standard",
        post_quote,
        schemas.StandardQuote,
        Body(schemas.StandardQuoteForm, example='{"raised":[],"added":[]}'),
        weight=20,
    ),
)
