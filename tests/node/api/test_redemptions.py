"""The routes of redemption: orders as they stand, and quotes that say what execution says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from inspect import signature
from typing import Any

import msgspec
import pytest

from cli.async_client import AsyncClient
from cli.client import Client
from cli.client_economy import EconomyClient
from ledger.address import encode_address
from ledger.economy import book
from ledger.economy.redemption import RedemptionState
from ledger.economy.reserve import Reserve, Solvency
from ledger.reasons import Invalid
from ledger.redeeming import brings
from ledger.registers import DISPUTES, REDEMPTIONS
from node.api import redemption_schemas as schemas
from node.api import redemptions
from node.api.economy_schemas import Backing, Issuer
from node.api.redemption_answers import OUTLOOK
from node.api.redemption_quotes import redeem_quote
from node.api.request import JSON
from node.api.schemas import Page
from tests.ledger.economy_world import short_lived
from tests.ledger.redemption_world import CERTIFICATE, ENDPOINT, RedemptionWorld, new_world
from tests.ledger.world import COIN, DAY_MS, PERIOD_MS, key, lock_of
from tests.node.api.harness import Api, RedeemingNode, open_api

MINUTE_MS = 60_000
LEAD_MS = 600_000 + PERIOD_MS
"""To accept, and a period to prepare."""


async def listed(api: Api, query: str = "") -> list[schemas.Redemption]:
    """All pages."""
    found, cursor = list[schemas.Redemption](), ""
    while cursor is not None:
        more = f"&cursor={cursor}" if cursor else ""
        page = await api.read(f"/orders?{query}{more}", Page[schemas.Redemption])
        found, cursor = found + page.items, page.next_cursor
    return found


async def test_an_order_from_request_to_refund() -> None:
    """Each state with its deadline, what comes then, who is to act, and coins that add up."""
    node = RedeemingNode()
    world, order = node.world, node.order(2 * COIN)
    asked_ms = world.clock_ms
    steps = []
    async with open_api(node) as api:

        async def look() -> schemas.Redemption:
            held = await api.read(f"/orders/{order.hex()}", schemas.Redemption)
            parts = (held.burned, held.residual, held.remaining, held.refunded)
            assert sum(map(int, parts)) == int(held.amount) == 2 * COIN
            steps.append((held.state, held.then, held.waits_for))
            return held

        fresh = await look()
        node.decide([world.accepts(order)])
        accepted = await look()
        node.decide([world.readies(order)])
        ready = await look()
        node.decide([world.posts(world.receipt(order, 3, COIN // 2))])
        active = await look()
        node.decide([world.closes(order)])
        closing = await look()
    assert steps == [
        ("requested", "lapsed", "issuer"),
        ("accepted", "failed", "issuer"),
        ("ready", "settled", "holder"),
        ("active", "closing", "both"),
        ("closing", "settled", "time"),
    ]
    assert fresh.deadline_ms == asked_ms + 600_000
    assert fresh.allowed_actions == ["cancel-redemption", "accept-redemption"]
    assert (fresh.device_class, fresh.region) == ("gpu-80g", "eu-west")
    assert (fresh.endpoint, fresh.session_hash, fresh.meter_root) == ("", None, None)
    assert fresh.session_key == key("session").public.hex()
    assert fresh.refund_lock == lock_of("carol").hex()
    assert fresh.refund_address == encode_address(lock_of("carol"), world.genesis.hrp)
    assert accepted.deadline_ms == accepted.start_by_ms
    assert (ready.endpoint, ready.session_hash) == (ENDPOINT, CERTIFICATE.hex())
    assert (ready.deadline_ms, active.deadline_ms) == (ready.end_ms, ready.end_ms)
    assert (active.receipt, active.burned, active.remaining) == (3, "500000", "1500000")
    assert int(active.microhours) - int(active.reserved_microhours) == 500_000
    assert active.deliverable == active.remaining
    assert closing.deadline_ms == closing.since_ms + 3_600_000
    assert set(closing.allowed_actions) == {"post-receipt", "dispute-redemption"}


async def test_a_cancelled_order_is_paid_in_the_next_block() -> None:
    """Until then it waits for the block; then it is kept a while."""
    node = RedeemingNode()
    world, order = node.world, node.order()
    node.decide([world.cancels(order)])
    async with open_api(node) as api:
        ended = await api.read(f"/orders/{order.hex()}", schemas.Redemption)
        node.decide([])
        paid = await api.read(f"/orders/{order.hex()}", schemas.Redemption)
    assert (ended.state, ended.is_paid, ended.waits_for) == ("cancelled", False, "block")
    assert (ended.remaining, ended.refunded, ended.has_ended) == (str(COIN), "0", True)
    assert (paid.is_paid, paid.waits_for, paid.then) == (True, "", "forgotten")
    assert (paid.remaining, paid.refunded, paid.deliverable) == ("0", str(COIN), "0")
    assert paid.allowed_actions == []
    assert paid.deadline_ms == max(paid.since_ms + 60 * MINUTE_MS, paid.start_by_ms)


async def test_an_unknown_order_may_be_one_that_ended() -> None:
    async with open_api(RedeemingNode()) as api:
        reply = await api.ask(f"/orders/{'ab' * 32}")
        short = await api.ask("/orders/abcd")
    assert (reply.status, reply.code) == (404, "not_found")
    assert b"told of for 60 minutes or until its start-by" in reply.body
    assert short.code == "malformed"


async def test_lists_are_filtered_and_paged(monkeypatch: pytest.MonkeyPatch) -> None:
    """By issuer, state, commitment and the beginning of the id; in pages of one, and where a page
    looks at two orders only."""
    node = RedeemingNode()
    orders = [node.order(COIN, f"session {number}") for number in range(4)]
    node.decide([node.world.cancels(orders[0], "session 0")])
    node.decide([node.world.accepts(orders[1])])
    ids = sorted(order.hex() for order in orders)
    async with open_api(node) as api:
        assert [item.id for item in await listed(api)] == ids
        assert [item.id for item in await listed(api, "limit=1")] == ids
        (accepted,) = await listed(api, "state=accepted&issuer=val0")
        assert accepted.id == orders[1].hex()
        assert len(await listed(api, "commitment=capacity-val0&state=requested")) == 2
        assert await listed(api, "issuer=val1") == []
        assert len(await listed(api, "open=true")) == 3
        assert len(await listed(api, "open=false")) == 4
        for wanted in ids:
            for digits in (1, 7, 8, 64):
                alike = [item for item in ids if item.startswith(wanted[:digits])]
                assert [x.id for x in await listed(api, f"prefix={wanted[:digits]}")] == alike
        monkeypatch.setattr(redemptions, "ORDERS_LOOKED_MAX", 2)
        page = await api.read("/orders?issuer=nobody", Page[schemas.Redemption])
        assert page.items == []
        assert page.next_cursor is not None
        assert [item.id for item in await listed(api)] == ids


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("state=open", "bad_request"),
        ("state=ACCEPTED", "bad_request"),
        ("prefix=xy", "bad_request"),
        ("prefix=AB", "bad_request"),
        (f"prefix={'a' * 65}", "bad_request"),
        ("limit=0", "bad_request"),
        ("open=1", "bad_request"),
        ("owner=alice", "bad_request"),
        ("cursor=aGVsbG8=", "bad_cursor"),
    ],
)
async def test_a_list_of_nonsense(query: str, code: str) -> None:
    async with open_api(RedeemingNode()) as api:
        assert (await api.ask(f"/orders?{query}")).code == code


async def test_who_waits_knows_how_many_are_before() -> None:
    """In the answer for one order; a list does not count."""
    node = RedeemingNode()
    node.order(13 * COIN, "large")
    until_ms = node.world.clock_ms + PERIOD_MS
    waiting = [node.order(2 * COIN, name, queue_until_ms=until_ms) for name in ("one", "two")]
    async with open_api(node) as api:
        held = [await api.read(f"/orders/{x.hex()}", schemas.Redemption) for x in waiting]
        queued = await listed(api, "state=queued")
    assert [(item.state, item.queue_ahead) for item in held] == [("queued", 0), ("queued", 1)]
    assert {item.queue_ahead for item in queued} == {None}
    assert {(item.then, item.waits_for) for item in queued} == {("cancelled", "hours")}


async def test_a_dispute_shows_its_panel_and_its_votes() -> None:
    """Its deadline is that of the order; decided it waits for the block."""
    node = RedeemingNode()
    world, order = node.world, node.order(COIN)
    for tx in (world.accepts, world.readies):
        node.decide([tx(order)])
    node.decide([world.posts(world.receipt(order, 1, COIN // 4))])
    node.decide([world.closes(order)])
    node.decide([world.disputes(order, COIN)])
    async with open_api(node) as api:
        opened = await api.read(f"/orders/{order.hex()}", schemas.Redemption)
        dispute = opened.dispute
        assert dispute is not None
        node.decide([world.rules(order, name, upheld=True) for name in dispute.panel[:3]])
        decided = await api.read(f"/orders/{order.hex()}", schemas.Redemption)
        node.decide([])
        ruled = await api.read(f"/orders/{order.hex()}", schemas.Redemption)
    assert (opened.state, opened.then, opened.waits_for) == ("disputed", "ruled", "panel")
    assert opened.deadline_ms == dispute.deadline_ms == dispute.since_ms + 7 * DAY_MS
    assert (dispute.by, dispute.verdict, dispute.claimed) == ("holder", "open", str(COIN // 4))
    assert (dispute.deposit, dispute.votes) == (str(COIN), [])
    assert len(dispute.panel) == 5
    assert decided.dispute is not None
    assert (decided.dispute.verdict, len(decided.dispute.votes)) == ("upheld", 3)
    assert (ruled.state, ruled.dispute, ruled.refunded) == ("ruled", None, str(COIN * 3 // 4))


def disputed(world: RedemptionWorld) -> bytes:
    order = closing(world)
    world.run(world.disputes(order, COIN))
    return order


def closing(world: RedemptionWorld) -> bytes:
    order = world.active_order()
    world.run(world.closes(order))
    return order


def accepted(world: RedemptionWorld) -> bytes:
    order = world.requested()
    world.run(world.accepts(order))
    return order


def queued(world: RedemptionWorld) -> bytes:
    world.requested(13 * COIN, "large")
    return world.requested(2 * COIN, queue_until_ms=world.clock_ms + PERIOD_MS)


MADE: dict[RedemptionState, Callable[[RedemptionWorld], bytes]] = {
    RedemptionState.QUEUED: queued,
    RedemptionState.REQUESTED: RedemptionWorld.requested,
    RedemptionState.ACCEPTED: accepted,
    RedemptionState.READY: RedemptionWorld.ready_order,
    RedemptionState.ACTIVE: RedemptionWorld.active_order,
    RedemptionState.CLOSING: closing,
    RedemptionState.DISPUTED: disputed,
}


@pytest.mark.parametrize("state", OUTLOOK)
def test_what_is_said_to_follow_follows(state: RedemptionState) -> None:
    """Nobody does anything: after its deadline an order is in the state that was named."""
    world = new_world()
    order = MADE[state](world)
    held = world.order(order)
    assert held.state is state
    moment = REDEMPTIONS.deadline(world.draft, held)
    if moment is None:
        found = DISPUTES.get(world.draft, order)
        assert found is not None
        moment = DISPUTES.deadline(world.draft, found)
    assert moment is not None
    world.until(moment + 1)
    assert world.order(order).state.name.lower() == OUTLOOK[state].then


def test_every_open_state_has_an_outlook() -> None:
    assert (
        set(OUTLOOK) == {x for x in RedemptionState if x < RedemptionState.CANCELLED} == set(MADE)
    )


# Quotes.


def form(**changes: Any) -> schemas.RedeemQuoteForm:
    made = schemas.RedeemQuoteForm(
        amount=str(COIN), workload="training", device_class="gpu-80g", issuer="val0"
    )
    return msgspec.structs.replace(made, **changes)


async def quote(api: Api, **changes: Any) -> schemas.RedeemQuote:
    body = msgspec.json.encode(form(**changes))
    reply = await api.ask("/quotes/redeem", body, kind=JSON)
    assert reply.status == 200, reply
    return reply.read(schemas.RedeemQuote)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, ""),
        ({"amount": str(10_000)}, ""),
        ({"amount": str(9_999)}, "low_amount"),
        ({"workload": "fine-tuning"}, "unknown_class"),
        ({"within_ms": LEAD_MS}, "bad_window"),
        ({"within_ms": 200 * PERIOD_MS}, "bad_window"),
        ({"start_within_ms": LEAD_MS - 2}, "bad_window"),
        ({"amount": str(12 * COIN), "within_ms": 13 * PERIOD_MS}, "no_free_hours"),
        ({"amount": str(12 * COIN), "within_ms": 14 * PERIOD_MS, "queue_ms": 1_000}, ""),
        ({"amount": str(500 * COIN)}, "no_free_hours"),
        ({"queue_ms": 500 * PERIOD_MS}, "bad_window"),
        ({"amount": "9" * 18}, "no_free_hours"),
    ],
)
async def test_a_quote_says_what_execution_says(changes: dict[str, Any], code: str) -> None:
    """The order of just these terms, sent as the next transaction, is told the same words."""
    node = RedeemingNode()
    async with open_api(node) as api:
        found = await quote(api, **changes)
    assert (found.code, found.allowed) == (code, not code), found
    terms, amount = found.terms, int(found.amount)
    assert terms is not None
    asked = node.world.asks(
        amount,
        commitment=terms.commitment,
        workload=terms.workload,
        start_by_ms=terms.start_by_ms,
        end_ms=terms.end_ms,
        queue_until_ms=terms.queue_until_ms,
    )
    if amount > 1_000 * COIN:  # more than alice has
        return
    told = ("", "")
    try:
        await node.check(node.world.redeems(asked).raw)
    except Invalid as error:
        told = (error.reason.value, error.detail)
    assert told == (found.code, found.message)


async def test_a_quote_of_a_full_book_says_what_execution_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Hours are free, but so many orders are open that none more is taken."""
    node = RedeemingNode()
    node.order()
    monkeypatch.setattr(book, "ORDERS_OF_COMMITMENT_MAX", 1)
    async with open_api(node) as api:
        found = await quote(api)
    assert (found.allowed, found.code) == (False, "too_many")
    with pytest.raises(Invalid) as caught:
        await node.check(node.world.redeems(node.world.asks(COIN, "more")).raw)
    assert caught.value.detail == found.message


async def test_a_quote_ends_where_hours_are_free_first() -> None:
    """One period earlier they are not; hours of an open order are not offered again."""
    node = RedeemingNode()
    async with open_api(node) as api:
        before = await quote(api, amount=str(12 * COIN))
        node.order(10 * COIN, "other")
        after = await quote(api, amount=str(12 * COIN))
    for found in (before, after):
        (offer,) = found.offers
        assert found.allowed and offer.is_free and not found.is_queued
        assert int(offer.free_microhours) >= int(offer.microhours) == 12_000_000
        assert found.terms is not None
        assert found.terms.end_ms == offer.end_ms
        assert found.start_by_min_ms < found.terms.start_by_ms < found.terms.end_ms
    short = after.offers[0].end_ms - after.ledger_time_ms - PERIOD_MS
    asked = form(amount=str(12 * COIN), within_ms=short)
    assert redeem_quote(node.world.draft, asked, 12 * COIN, 0).code == "no_free_hours"
    assert after.offers[0].end_ms > before.offers[0].end_ms


async def test_without_an_issuer_all_are_offered() -> None:
    """The best first; a name that nobody has is told apart from hours that are not there."""
    node = RedeemingNode()
    node.order(13 * COIN)
    async with open_api(node) as api:
        found = await quote(api, issuer=None, amount=str(12 * COIN))
        elsewhere = await quote(api, region="moon")
        nobody = await quote(api, issuer="nöbody")
    assert [item.issuer for item in found.offers] == ["val1", "val2", "val3", "val0"]
    assert found.terms is not None and found.terms.issuer == "val1"
    for none in (elsewhere, nobody):
        assert (none.allowed, none.code) == (False, "unknown_commitment")
        assert (none.terms, none.offers, none.deliverable) == (None, [], "0")
    assert "'moon'" in elsewhere.message


async def test_who_may_wait_is_queued() -> None:
    """Taken, though the hours are not free."""
    node = RedeemingNode()
    span = {"within_ms": 16 * PERIOD_MS, "start_within_ms": 14 * PERIOD_MS}
    async with open_api(node) as api:
        node.order(13 * COIN)
        refused = await quote(api, amount=str(2 * COIN), **span)
        waits = await quote(api, amount=str(2 * COIN), queue_ms=PERIOD_MS, **span)
    assert (refused.code, refused.is_queued) == ("no_free_hours", False)
    assert (waits.allowed, waits.is_queued) == (True, True)
    assert waits.terms is not None
    assert waits.terms.queue_until_ms == waits.ledger_time_ms + PERIOD_MS


async def test_a_quote_behind_who_waits_says_what_execution_says() -> None:
    """Hours are free, but somebody came first: the quote is refused or waits, as the order is, and
    hours of the present period, in which it is not asked, are not offered. Another commitment where
    nobody waits is the better one."""
    node = RedeemingNode()
    large = node.order(13 * COIN, "large")
    until_ms = node.world.clock_ms + PERIOD_MS
    node.order(2 * COIN, "waits", queue_until_ms=until_ms)
    node.decide([node.world.cancels(large, "large")])
    async with open_api(node) as api:
        refused = await quote(api)
        waits = await quote(api, queue_ms=PERIOD_MS, start_within_ms=14 * PERIOD_MS)
        anywhere = await quote(api, issuer=None)
    assert (refused.code, refused.is_queued) == ("no_free_hours", False)
    assert (waits.allowed, waits.is_queued) == (True, True)
    (offer,) = waits.offers
    assert (offer.waiting, offer.is_free) == (1, False)
    assert waits.asked_ms == (waits.ledger_time_ms // PERIOD_MS + 1) * PERIOD_MS
    periods = (offer.end_ms - waits.asked_ms) // PERIOD_MS
    assert int(offer.free_microhours) == periods * 900_000
    assert anywhere.terms is not None and anywhere.allowed
    assert anywhere.terms.issuer == "val1" and anywhere.offers[-1].issuer == "val0"
    terms = waits.terms
    assert terms is not None
    node.order(
        COIN,
        "behind",
        start_by_ms=terms.start_by_ms,
        end_ms=terms.end_ms,
        queue_until_ms=terms.queue_until_ms,
    )
    async with open_api(node) as api:
        behind = await listed(api, "state=queued")
    assert len(behind) == 2


def test_in_deficit_a_quote_says_what_the_coins_bring() -> None:
    """Read once as the period began: the covered share, floored."""
    world = short_lived()
    for _ in range(2):
        world.until(world.clock_ms + DAY_MS)
        world.next_period()
    reserve = world.reserve()
    assert reserve.solvency is Solvency.DEFICIT and reserve.batch_supply
    found = redeem_quote(world.draft, form(), COIN, 0)
    assert (found.solvency, found.allowed) == ("deficit", True)
    share = COIN * reserve.batch_reserve // reserve.batch_supply
    assert (found.deliverable, found.covered) == (str(share), str(reserve.batch_reserve))
    assert 0 < share < COIN


def test_what_coins_bring() -> None:
    """All of them where they are covered, else the covered share."""
    good = Reserve.empty(bytes(32), "val0", 0)
    bad = msgspec.structs.replace(good, batch_reserve=2, batch_supply=3)
    assert [brings(item, 10) for item in (good, bad)] == [10, 6]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"amount":"0","workload":"training"}', "bad_amount"),
        (b'{"amount":"1.5","workload":"training"}', "bad_request"),
        (b'{"amount":"1"}', "bad_request"),
        (b'{"amount":"1","workload":""}', "bad_request"),
        (b'{"amount":"1","workload":"training","queue_ms":-1}', "bad_request"),
        (b'{"amount":"1","workload":"training","lane":0}', "unknown_field"),
        (b"\xff", "bad_request"),
        (b"[" * 100_000, "bad_request"),
    ],
)
async def test_a_quote_of_nonsense(body: bytes, code: str) -> None:
    async with open_api(RedeemingNode()) as api:
        assert (await api.ask("/quotes/redeem", body, kind=JSON)).code == code


# Issuers, clients.


async def test_an_issuer_that_missed_an_order_has_a_strike() -> None:
    """With the penalty that is paid, the one that comes next, and when it is forgiven."""
    node = RedeemingNode()
    order = node.order(10 * COIN)
    async with open_api(node) as api:
        clean = await api.read("/issuers/val0/backing", Backing)
        for _ in range(21):
            node.decide([], after_ms=30_000)
        lapsed = await api.read(f"/orders/{order.hex()}", schemas.Redemption)
        struck = await api.read("/issuers/val0/backing", Backing)
        issuer = await api.read("/issuers/val0", Issuer)
    assert lapsed.state == "lapsed"
    assert (clean.conduct.strikes, clean.conduct.forgiven_ms) == (0, None)
    assert (clean.conduct.next_penalty_ppm, clean.conduct.paid_today) == (20_000, "0")
    assert (struck.conduct.strikes, struck.conduct.paid_today) == (1, str(COIN // 5))
    assert struck.conduct.forgiven_ms == lapsed.since_ms + 30 * DAY_MS
    assert struck.conduct.next_penalty_ppm in (20_000, 40_000)
    assert issuer.reserve.residual == "0"


async def test_both_clients_ask_the_same() -> None:
    """Lists with filters, one order, a quote."""
    node = RedeemingNode()
    order = node.order().hex()
    async with open_api(node) as api:
        with Client(api.url) as client:
            ask = asyncio.to_thread
            asked = {"issuer": "val0", "prefix": order[:6], "is_open": True}
            page = await ask(lambda: client.economy.redemptions(**asked))
            one = await ask(client.economy.redemption, order)
            quoted = await ask(client.economy.quote_redeem, form())
        async with AsyncClient(api.url) as client:
            assert await client.redemptions(**asked) == page
            assert await client.redemption(order) == one
            assert await client.quote_redeem(form()) == quoted
    assert [item.id for item in page.items] == [order] == [one.id]
    assert quoted.allowed
    for name in ("redemptions", "redemption", "quote_redeem"):
        both = (getattr(EconomyClient, name), getattr(AsyncClient, name))
        options, others = (list(signature(method).parameters) for method in both)
        assert options == others, name


async def test_both_clients_leave_out_what_has_ended() -> None:
    node = RedeemingNode()
    order = node.order()
    for _ in range(21):  # its issuer had ten minutes
        node.decide([], after_ms=30_000)
    async with open_api(node) as api:
        with Client(api.url) as client:
            found = await asyncio.to_thread(lambda: list(client.economy.open_redemptions("val0")))
            assert found == []
        async with AsyncClient(api.url) as client:
            assert (await client.redemptions(issuer="val0", is_open=True)).items == []
            page = await client.redemptions(issuer="val0")
            assert [item.id for item in page.items] == [order.hex()]
