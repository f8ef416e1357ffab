"""Every edge of an order's life: who may, when, what it moves; and what is refused."""

from __future__ import annotations

import msgspec

from ledger.economy.redemption import ORDER_KEPT_MS, Redemption, RedemptionState
from ledger.objects import load
from ledger.reasons import Reason
from tests.ledger.economy_world import lasting
from tests.ledger.redemption_world import CERTIFICATE, ENDPOINT, RedemptionWorld, new_world
from tests.ledger.world import COIN, PERIOD_MS, make_genesis

# Asking.


def test_coins_move_into_the_order_and_stay_outstanding() -> None:
    """The hours are kept in the book of the commitment."""
    world = new_world()
    supply = world.reserve().supply
    order = world.requested(2 * COIN)
    held = world.order(order)
    assert (held.state, held.held, held.microhours) == (
        RedemptionState.REQUESTED,
        2 * COIN,
        2_000_000,
    )
    assert world.reserve().supply == supply
    book = world.book()
    assert book is not None
    assert [item.microhours for item in book.kept] == [2_000_000]


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
    world.run(world.closes(order))
    assert world.order(order).state is RedemptionState.CLOSING
    world.until(world.clock_ms + world.draft.economy.closing_ms + 1)
    held = world.order(order)
    assert (held.state, held.held) == (RedemptionState.SETTLED, 0)
    assert world.amount_of("carol") == 2 * COIN - burned
    assert world.book() is None


def test_cancelled_before_anybody_accepts() -> None:
    world = new_world()
    order = world.requested()
    world.run(world.cancels(order))
    assert world.order(order).state is RedemptionState.CANCELLED
    world.run()
    assert world.amount_of("carol") == COIN
    assert world.reason(world.cancels(order)) is Reason.WRONG_STATE


def test_a_silent_issuer_pays() -> None:
    """Lapsed: all back, and two per cent of it from the bond."""
    world = new_world()
    order = world.requested(10 * COIN)
    accept_ms = world.draft.economy.accept_ms
    asked_ms = world.order(order).since_ms
    world.until(asked_ms + accept_ms)
    assert world.order(order).state is RedemptionState.REQUESTED
    world.until(asked_ms + accept_ms + 1)
    assert world.order(order).state is RedemptionState.LAPSED
    assert world.amount_of("carol") == 10 * COIN
    assert world.amount_of("carol", "val1") + world.amount_of("carol", "val2") == COIN // 5


def test_who_waits_is_served_when_hours_come_free() -> None:
    """The queue is asked as a period begins."""
    world = new_world()
    first = world.requested(13 * COIN, "one")
    asked = world.asks(2 * COIN, "two")
    assert world.reason(world.redeems(asked)) is Reason.NO_FREE_HOURS
    second = world.requested(2 * COIN, "two", queue_until_ms=world.clock_ms + PERIOD_MS)
    assert world.order(second).state is RedemptionState.QUEUED
    world.run(world.cancels(first, "one"))
    assert world.order(second).state is RedemptionState.QUEUED
    world.next_period()
    assert world.order(second).state is RedemptionState.REQUESTED


def test_an_order_never_comes_again() -> None:
    """It is known until nobody can ask for the same one: what was signed for it counts once."""
    world = new_world()
    begins = world.clock_ms // PERIOD_MS * PERIOD_MS
    late = {"start_by_ms": begins + 150 * PERIOD_MS, "end_ms": begins + 160 * PERIOD_MS}
    asked = world.asks(**late)
    world.run(world.redeems(asked))
    order = world.id_of(asked)
    world.run(world.cancels(order))
    world.until(world.clock_ms + 2 * ORDER_KEPT_MS)
    assert world.clock_ms < asked.start_by_ms
    assert world.reason(world.redeems(asked)) is Reason.REDEMPTION_EXISTS
    world.until(asked.start_by_ms + 1)
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
