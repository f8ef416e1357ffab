"""Orders over HTTP: those that are open and those that ended of late, and quotes.

All of an answer is of one height, read as rules read it: as of the ledger clock, swept or not.
"""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from ledger.amounts import parse_number
from ledger.economy.redemption import ORDER_KEPT_MS, Redemption, RedemptionState
from ledger.objects import decode, key_of
from ledger.reasons import Invalid, Reason
from ledger.registers import REDEMPTIONS
from ledger.schema import object_key
from ledger.times import MINUTE_MS
from node.api import redemption_schemas as schemas
from node.api.assets import now
from node.api.convert import read_hash
from node.api.economy import ISSUER
from node.api.problems import ApiCode, ApiError, not_found
from node.api.redemption_answers import redemption_answer
from node.api.redemption_quotes import redeem_quote
from node.api.reply import answer
from node.api.request import (
    SERVICES,
    read_cursor,
    read_flag,
    read_form,
    read_limit,
    read_query,
    write_cursor,
)
from node.api.routes import PAGED, Body, Parameter, get, post
from node.api.schemas import Page

_REDEMPTIONS = b"r"
ORDERS_LOOKED_MAX = 1_000
"""Orders that one page of the list looks at, whoever they are of: ten milliseconds. There may be
thousands of one commitment."""
_PREFIX = re.compile(r"[0-9a-f]{1,64}")
_STATES = {state.name.lower(): state for state in RedemptionState}
_State = Annotated[str, Meta(pattern=f"^({'|'.join(_STATES)})$")]

_quote_decoder = msgspec.json.Decoder(schemas.RedeemQuoteForm)


async def get_redemptions(request: web.Request) -> web.Response:
    """Orders of compute, by id: those that are open, and those that ended of late.

    A page looks at so many orders at most: where none of them is meant it is empty and not the
    last.
    """
    query = read_query(request)
    services = request.app[SERVICES]
    limit, start = read_limit(query), read_cursor(query, _REDEMPTIONS)
    prefix, state = _read_prefix(query.get("prefix", "")), _read_state(query.get("state"))
    issuer, commitment = query.get("issuer"), query.get("commitment")
    only_open = read_flag(query, "open", default=False)
    draft, first = now(services), object_key(key_of(Redemption))
    whole = bytes.fromhex(prefix[: len(prefix) // 2 * 2])
    rows = services.chain.scan(first + whole, start=first + max(start or b"", whole))
    items: list[schemas.Redemption] = []
    more = None
    for looked, (key, data) in enumerate(rows):
        order = key[len(first) :]
        if len(items) == limit or looked == ORDERS_LOOKED_MAX:
            more = write_cursor(_REDEMPTIONS, order)
            break
        held = REDEMPTIONS.as_of_now(draft, decode(data, Redemption))
        if (
            held is not None
            and order.hex().startswith(prefix)
            and issuer in (None, held.issuer)
            and commitment in (None, held.commitment)
            and state in (None, held.state)
            and not (only_open and held.has_ended)
        ):
            items.append(redemption_answer(services, draft, held))
    return answer(Page(items=items, next_cursor=more))


async def get_redemption(request: web.Request) -> web.Response:
    """One order as of now."""
    read_query(request)
    services = request.app[SERVICES]
    draft, order = now(services), read_hash(request.match_info["order"], "the order")
    held = REDEMPTIONS.get(draft, order)
    if held is None:
        minutes = ORDER_KEPT_MS // MINUTE_MS
        kept = f"one that ended is told of for {minutes} minutes or until its start-by"
        raise not_found(f"no order {order.hex()}; {kept}")
    return answer(redemption_answer(services, draft, held, with_queue=True))


async def post_redeem_quote(request: web.Request) -> web.Response:
    """What an order of this amount would be told now, coins and signatures aside."""
    read_query(request)
    services = request.app[SERVICES]
    form = await read_form(request, _quote_decoder)
    amount = parse_number(form.amount)
    if not amount:
        raise Invalid(Reason.BAD_AMOUNT, f"{form.amount} µ: an order has a positive amount")
    return answer(redeem_quote(now(services), form, amount, services.chain.height))


def _read_prefix(text: str) -> str:
    if text and not _PREFIX.fullmatch(text):
        raise ApiError(ApiCode.BAD_REQUEST, "prefix must be 1 to 64 lower-case hex digits")
    return text


def _read_state(text: str | None) -> RedemptionState | None:
    if text is not None and text not in _STATES:
        raise ApiError(ApiCode.BAD_REQUEST, f"state must be one of: {', '.join(_STATES)}")
    return None if text is None else _STATES[text]


ROUTES = (
    get(
        "/v1/orders",
        get_redemptions,
        Page[schemas.Redemption],
        ISSUER,
        Parameter("commitment", schemas.Name, "Of this commitment alone."),
        Parameter("state", _State, "In this state alone.", "active"),
        Parameter("prefix", Annotated[str, Meta(pattern=r"^[0-9a-f]{1,64}\Z")], "How ids begin."),
        Parameter("open", bool, "`true` leaves out those that ended.", "true"),
        *PAGED,
        codes=(ApiCode.BAD_CURSOR,),
        weight=20,
    ),
    get(
        "/v1/orders/{order}",
        get_redemption,
        schemas.Redemption,
        codes=(Reason.MALFORMED, ApiCode.NOT_FOUND),
        weight=2,
    ),
    post(
        "/v1/quotes/redeem",
        post_redeem_quote,
        schemas.RedeemQuote,
        Body(schemas.RedeemQuoteForm, example='{"amount":"1000000","workload":"hashing"}'),
        codes=(Reason.BAD_AMOUNT,),
        weight=20,
    ),
)
