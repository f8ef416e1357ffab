"""Every edge of an order's life: who leads it on, when, and what it moves."""

from __future__ import annotations

import msgspec
import pytest

from ledger.economy.redemption import ORDER_KEPT_MS, Redemption, RedemptionState
from ledger.objects import load
from ledger.reasons import Reason
from tests.ledger.economy_world import lasting
from tests.ledger.redemption_world import CERTIFICATE, ENDPOINT, RedemptionWorld, new_world
from tests.ledger.world import COIN, PERIOD_MS, make_genesis

REQUESTED, CLOSING = RedemptionState.REQUESTED, RedemptionState.CLOSING


def kept(world: RedemptionWorld) -> list[int]:
    """µh in the book of val0's hours, by period."""
    held = world.book()
    return [] if held is None else [item.microhours for item in held.kept]


def test_coins_move_into_the_order_and_stay_outstanding() -> None:
    """The hours are kept in the book of the commitment."""
    world = new_world()
    supply = world.reserve().supply
    order = world.requested(2 * COIN)
    held = world.order(order)
    assert (held.state, held.held, held.microhours) == (REQUESTED, 2 * COIN, 2_000_000)
    assert world.reserve().supply == supply
    assert kept(world) == [2_000_000]


def test_the_whole_way_to_settled() -> None:
    """What is delivered burns, hours and coins fall together, the rest comes back."""
    world = new_world()
    before = world.reserve()
    order = world.ready_order(2 * COIN)
    held = world.order(order)
    assert (held.endpoint, held.session_hash) == (ENDPOINT, CERTIFICATE)
    world.run(world.posts(world.receipt(order, 1, COIN // 2)))
    assert world.order(order).state is RedemptionState.ACTIVE
    world.run(world.posts(world.receipt(order, 5, COIN // 2 + 7)))
    now = world.reserve()
    burned = COIN // 2 + 7
    assert before.supply - now.supply == burned
    assert before.reserve - now.reserve == burned
    assert kept(world) == [2 * COIN - burned]
    world.run(world.closes(order))
    assert world.order(order).state is CLOSING
    world.until(world.clock_ms + world.draft.economy.closing_ms + 1)
    held = world.order(order)
    assert (held.state, held.held) == (RedemptionState.SETTLED, 0)
    assert world.amount_of("carol") == 2 * COIN - burned
    assert world.book() is None


def test_a_queued_order_is_cancelled_at_the_end_of_its_own_deadline() -> None:
    """All of it back, and no penalty: nobody missed anything."""
    world = new_world()
    world.requested(14 * COIN, "one")
    until_ms = world.clock_ms + 30_000
    order = world.requested(COIN, "two", queue_until_ms=until_ms)
    world.until(until_ms)
    assert world.order(order).state is RedemptionState.QUEUED
    world.run()
    assert world.order(order).state is RedemptionState.CANCELLED
    assert (world.amount_of("carol"), world.amount_of("carol", "val1")) == (COIN, 0)


def test_a_queued_order_is_cancelled_by_its_holder() -> None:
    """It leaves the queue, and is paid back in the next block."""
    world = new_world()
    world.requested(14 * COIN, "one")
    order = world.requested(COIN, "two", queue_until_ms=world.clock_ms + PERIOD_MS)
    world.run(world.cancels(order, "two"))
    held, book_now = world.order(order), world.book()
    assert (held.state, held.is_paid) == (RedemptionState.CANCELLED, False)
    assert book_now is not None
    assert (book_now.orders, book_now.queued) == (1, 0)
    world.run()
    assert (world.order(order).is_paid, world.amount_of("carol")) == (True, COIN)


def test_cancelled_before_anybody_accepts() -> None:
    """Free for the holder, but for the fee of asking."""
    world = new_world()
    order = world.requested()
    world.run(world.cancels(order))
    assert world.order(order).state is RedemptionState.CANCELLED
    assert (world.book(), world.amount_of("carol")) == (None, 0)
    world.run()
    assert world.amount_of("carol") == COIN
    assert world.reason(world.cancels(order)) is Reason.WRONG_STATE


def test_accepted_by_the_operations_key() -> None:
    """Its hours stay kept, and it is the holder's to cancel no more."""
    world = new_world()
    order = world.requested()
    world.run(world.accepts(order))
    held = world.order(order)
    assert (held.state, held.since_ms) == (RedemptionState.ACCEPTED, world.clock_ms)
    assert kept(world) == [COIN]
    assert world.reason(world.cancels(order)) is Reason.WRONG_STATE


def test_a_lapsed_order_is_paid_back_with_a_penalty() -> None:
    """Two per cent of it from the bond, to the holder."""
    world = new_world()
    order = world.requested(10 * COIN)
    lapses_ms = world.order(order).since_ms + world.draft.economy.accept_ms
    world.until(lapses_ms + 1)
    assert world.order(order).state is RedemptionState.LAPSED
    assert world.amount_of("carol") == 10 * COIN
    assert world.amount_of("carol", "val1") + world.amount_of("carol", "val2") == COIN // 5
    assert world.book() is None


def test_an_accepted_order_without_a_service_fails() -> None:
    """At start-by it is still possible, a moment later all is paid back with a penalty."""
    world = new_world()
    order = world.requested(10 * COIN)
    world.run(world.accepts(order))
    world.until(world.order(order).start_by_ms + 1)
    assert world.order(order).state is RedemptionState.FAILED
    assert world.amount_of("carol") == 10 * COIN
    assert world.amount_of("carol", "val1") + world.amount_of("carol", "val2") == COIN // 5


def test_a_service_that_nobody_begins_is_settled_at_the_end_of_its_window() -> None:
    """All of it back, and no penalty."""
    world = new_world()
    order = world.ready_order()
    world.until(world.order(order).end_ms)
    assert world.order(order).state is RedemptionState.READY
    world.run()
    assert world.order(order).state is RedemptionState.SETTLED
    assert (world.amount_of("carol"), world.amount_of("carol", "val1")) == (COIN, 0)


def test_the_holder_closes_a_service_before_it_begins() -> None:
    """The issuer does not: it would end what the holder paid for."""
    world = new_world()
    order = world.ready_order()
    assert world.reason(world.closes(order, "val0/metering")) is Reason.WRONG_STATE
    world.run(world.closes(order))
    assert world.order(order).state is CLOSING


@pytest.mark.parametrize("signer", ["session", "val0/metering"])
def test_either_side_closes_a_session(signer: str) -> None:
    world = new_world()
    order = world.active_order()
    world.run(world.closes(order, signer))
    assert (world.order(order).state, world.order(order).since_ms) == (CLOSING, world.clock_ms)
    assert world.reason(world.closes(order, signer)) is Reason.WRONG_STATE


def test_the_end_of_the_window_closes_a_session() -> None:
    """Closing since that end: its challenge window runs from there."""
    world = new_world()
    order = world.active_order()
    end_ms = world.order(order).end_ms
    world.until(end_ms)
    assert world.order(order).state is RedemptionState.ACTIVE
    world.run()
    assert (world.order(order).state, world.order(order).since_ms) == (CLOSING, end_ms)
    world.until(end_ms + world.draft.economy.closing_ms)
    assert world.order(order).state is CLOSING
    world.run()
    assert world.order(order).state is RedemptionState.SETTLED


def test_a_session_that_nobody_closed_for_long_is_settled_in_two_steps() -> None:
    """A chain that stood still: first it closes since its end, then it is over."""
    world = new_world()
    order = world.active_order(COIN, COIN // 4)
    world.until(world.order(order).end_ms + world.draft.economy.closing_ms + PERIOD_MS)
    world.run()
    assert world.order(order).state is RedemptionState.SETTLED
    assert world.amount_of("carol") == COIN - COIN // 4


def test_what_ended_is_told_of_for_an_hour() -> None:
    """Or until its start-by, where that is later."""
    world = new_world()
    order = world.requested()
    world.run(world.cancels(order))
    world.run()
    until_ms = world.order(order).since_ms + ORDER_KEPT_MS
    assert until_ms > world.order(order).start_by_ms
    world.until(until_ms)
    assert load(world.state, Redemption, order) is not None
    world.run()
    assert load(world.state, Redemption, order) is None


def test_an_id_never_comes_again() -> None:
    """As long as the same words would ask for anything the order is there: else whoever has old
    receipts would post them for the new one."""
    world = new_world()
    begins = world.clock_ms // PERIOD_MS * PERIOD_MS
    asked = world.asks(start_by_ms=begins + 120 * PERIOD_MS, end_ms=begins + 160 * PERIOD_MS)
    order = world.id_of(asked)
    world.run(world.redeems(asked))
    world.run(world.cancels(order))
    latest_ms = asked.start_by_ms - world.draft.economy.accept_ms - PERIOD_MS
    assert latest_ms > begins + ORDER_KEPT_MS + PERIOD_MS
    world.until(latest_ms - 1)
    assert world.reason(world.redeems(asked)) is Reason.REDEMPTION_EXISTS
    world.until(asked.start_by_ms)
    assert world.order(order).is_paid
    world.run()
    assert load(world.state, Redemption, order) is None
    assert world.reason(world.redeems(asked)) is Reason.BAD_WINDOW


def test_no_delivery_takes_more_of_the_reserve_than_of_the_coins() -> None:
    """Where a coin is no whole number of µh, however small the deliveries and whenever."""
    made = lasting(make_genesis(), 30)
    odd = tuple(msgspec.structs.replace(item, factor=300_000_007) for item in made.standard)
    world = RedemptionWorld(msgspec.structs.replace(made, standard=odd))
    order = world.ready_order()
    for number in range(1, 8):
        if number == 4:
            world.next_period()
        before = world.reserve()
        world.run(world.posts(world.receipt(order, number, number * 137)))
        now = world.reserve()
        assert now.supply - before.supply == -137
        assert before.reserve - now.reserve <= 137
