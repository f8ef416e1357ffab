"""Who waits for hours: in which order they are asked, how many at once, and until when."""

from __future__ import annotations

import pytest

from ledger import redeeming, sweep
from ledger.economy.redemption import RedemptionState
from ledger.reasons import Reason
from tests.ledger.redemption_world import RedemptionWorld, ending_world, new_world
from tests.ledger.world import COIN, PERIOD_MS

QUEUED, REQUESTED = RedemptionState.QUEUED, RedemptionState.REQUESTED
FAR = 40
"""Periods until an order's window here is over: it may wait for long."""


def waits(
    world: RedemptionWorld, amount: int, session: str, periods: int = 20, **where: str
) -> bytes:
    """An order that waits so many periods, or begins at once."""
    begins = world.clock_ms // PERIOD_MS * PERIOD_MS
    return world.requested(
        amount,
        session,
        start_by_ms=begins + (FAR - 1) * PERIOD_MS,
        end_ms=begins + FAR * PERIOD_MS,
        queue_until_ms=begins + periods * PERIOD_MS,
        **where,
    )


def full(world: RedemptionWorld, *, but: int = 0, **where: str) -> bytes:
    """An order that leaves nothing free for a long while, or only so much."""
    begins = world.clock_ms // PERIOD_MS * PERIOD_MS
    amount = FAR * 900_000 - but
    times = {"start_by_ms": begins + (FAR - 1) * PERIOD_MS, "end_ms": begins + FAR * PERIOD_MS}
    return world.requested(amount, "first", **times, **where)


def states(world: RedemptionWorld, *orders: bytes) -> list[RedemptionState]:
    return [world.order(order).state for order in orders]


def asks_again(world: RedemptionWorld, issuer: str = "val0") -> int:
    """When the queue is asked next."""
    held = world.book(issuer)
    assert held is not None
    return held.asked_ms


def test_who_waits_is_served_when_hours_come_free() -> None:
    """The queue is asked as a period begins; what the issuer has to accept by runs from then."""
    world = new_world()
    first = world.requested(13 * COIN, "one")
    asked = world.asks(2 * COIN, "two")
    assert world.reason(world.redeems(asked)) is Reason.NO_FREE_HOURS
    second = world.requested(2 * COIN, "two", queue_until_ms=world.clock_ms + PERIOD_MS)
    assert world.order(second).state is QUEUED
    world.run(world.cancels(first, "one"))
    assert world.order(second).state is QUEUED
    world.next_period()
    held = world.order(second)
    assert (held.state, held.since_ms) == (REQUESTED, world.clock_ms)
    world.until(held.since_ms + world.draft.economy.accept_ms)
    assert world.order(second).state is REQUESTED
    world.run()
    assert world.order(second).state is RedemptionState.LAPSED


def test_who_came_first_is_asked_first() -> None:
    """Each of three could begin, there is room for two."""
    world = new_world()
    first = full(world)
    orders = [waits(world, 17 * COIN, name) for name in ("a", "b", "c")]
    world.run(world.cancels(first, "first"))
    world.next_period()
    assert states(world, *orders) == [REQUESTED, REQUESTED, QUEUED]
    world.run(world.cancels(orders[0], "a"))
    world.next_period()
    assert states(world, *orders[1:]) == [REQUESTED, REQUESTED]


def test_who_does_not_fit_is_passed_over_and_keeps_its_place() -> None:
    """A smaller order behind it begins; once there is room it comes before those behind it."""
    world = new_world()
    first = full(world, but=10 * COIN)
    other = waits(world, 10 * COIN, "other")
    large, small = waits(world, 33 * COIN, "large"), waits(world, 5 * COIN, "small")
    assert states(world, other, large, small) == [REQUESTED, QUEUED, QUEUED]
    world.run(world.cancels(first, "first"))
    world.next_period()
    assert states(world, large, small) == [QUEUED, REQUESTED]
    late = waits(world, 30 * COIN, "late")
    world.run(world.cancels(other, "other"), world.cancels(small, "small"))
    world.next_period()
    assert states(world, large, late) == [REQUESTED, QUEUED]


def test_a_newcomer_does_not_pass_who_waits() -> None:
    """Hours are free for both in the middle of a period: who may wait is asked behind the other as
    the next one begins, who may not is told how many wait. Once nobody does, it goes on at once."""
    world = new_world()
    first = full(world)
    early = waits(world, 5 * COIN, "early")
    world.run(world.cancels(first, "first"))
    found = world.refusal(world.redeems(world.asks(COIN, "hasty")))
    assert found.reason is Reason.NO_FREE_HOURS
    assert found.detail.endswith("1 wait for hours; behind them it may wait too, until a deadline")
    late = waits(world, COIN, "late")
    assert states(world, early, late) == [QUEUED, QUEUED]
    assert world.order(early).place < world.order(late).place
    world.next_period()
    assert states(world, early, late) == [REQUESTED, REQUESTED]
    assert states(world, world.requested(COIN, "hasty")) == [REQUESTED]


def test_who_waits_in_vain_holds_up_no_more_than_a_period() -> None:
    """More than there will ever be: whoever comes waits behind it, and passes it as the period
    begins."""
    world = new_world()
    vain = waits(world, FAR * COIN, "vain")
    assert states(world, vain) == [QUEUED]
    small = waits(world, COIN, "small")
    world.next_period()
    assert states(world, vain, small) == [QUEUED, REQUESTED]


def test_each_waits_until_a_deadline_of_its_own() -> None:
    """At the last moment it may still begin, a moment later it is paid back."""
    world = new_world()
    first = full(world)
    early, late = waits(world, COIN, "early", 2), waits(world, COIN, "late", 3)
    world.until(world.order(early).queue_until_ms, world.cancels(first, "first"))
    assert states(world, early, late) == [QUEUED, QUEUED]
    world.run()
    assert states(world, early, late) == [RedemptionState.CANCELLED, QUEUED]
    assert world.amount_of("carol") == 36 * COIN + COIN
    world.until(world.order(late).queue_until_ms)
    assert states(world, late) == [REQUESTED]


def test_nobody_begins_whose_deadline_passed_with_the_period() -> None:
    """The first block of the period comes a moment too late for it: it is asked, and cancelled."""
    world = new_world()
    first = full(world)
    begins = (world.clock_ms // PERIOD_MS + 1) * PERIOD_MS
    late = world.requested(COIN, "late", queue_until_ms=begins + 3)
    world.until(begins - 5, world.cancels(first, "first"))
    world.run(after_ms=9)
    assert world.clock_ms == begins + 4
    assert states(world, late) == [RedemptionState.CANCELLED]


def test_who_waits_for_a_commitment_that_ends_waits_on() -> None:
    """Its hours are over: nobody begins, and each is paid back at its own deadline."""
    world = ending_world(15)
    end_ms = world.clock_ms + 15 * PERIOD_MS
    order = waits(world, 13 * COIN + COIN // 2 + 1, "waits", 16)
    world.until(end_ms)
    world.next_period()
    assert world.capacity() is None
    assert states(world, order) == [QUEUED]
    world.until(world.order(order).queue_until_ms + 1)
    assert states(world, order) == [RedemptionState.CANCELLED]


def many(world: RedemptionWorld, count: int) -> list[bytes]:
    return [waits(world, COIN // 100, f"number {number}") for number in range(count)]


def test_many_that_wait_are_asked_over_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many a block, in order, the next block goes on; then the queue rests until the period
    after."""
    monkeypatch.setattr(redeeming, "QUEUE_ASKED_MAX", 3)
    world = new_world()
    first = full(world)
    orders = many(world, 8)
    world.run(world.cancels(first, "first"))
    world.next_period()
    for asked in (3, 6, 8):
        assert states(world, *orders) == [REQUESTED] * asked + [QUEUED] * (8 - asked)
        world.run()
    held = world.book()
    assert held is not None
    assert (held.queued, held.orders, held.next_place) == (0, 8, 0)


def test_those_passed_over_are_asked_again_in_the_next_period(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is free: each block asks some, after the last of them the queue rests."""
    monkeypatch.setattr(redeeming, "QUEUE_ASKED_MAX", 3)
    world = new_world()
    first = full(world)
    orders = many(world, 7)
    world.next_period()
    end_ms = asks_again(world) + PERIOD_MS
    for _ in range(2):
        assert asks_again(world) < world.clock_ms
        world.run()
    assert asks_again(world) == end_ms
    world.run(world.cancels(first, "first"))
    world.run()
    assert states(world, *orders) == [QUEUED] * 7
    world.next_period()
    world.run()
    world.run()
    assert states(world, *orders) == [REQUESTED] * 7


def test_the_rest_of_a_queue_may_leave_before_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked keeps its place; who comes later is asked behind it."""
    monkeypatch.setattr(redeeming, "QUEUE_ASKED_MAX", 2)
    world = new_world()
    first = full(world)
    orders = many(world, 4)
    world.next_period()
    world.run(*(world.cancels(orders[number], f"number {number}") for number in (2, 3)))
    assert asks_again(world) > world.clock_ms
    late = waits(world, COIN, "late")
    world.run(world.cancels(first, "first"))
    world.next_period()
    world.run()
    assert states(world, *orders[:2], late) == [REQUESTED] * 3


def test_a_queue_that_emptied_is_joined_anew() -> None:
    """Places go on counting as long as anybody's order is open, and begin anew after that."""
    world = new_world()
    first = full(world)
    one = waits(world, COIN, "one")
    world.run(world.cancels(one, "one"))
    two = waits(world, COIN, "two")
    assert (world.order(one).place, world.order(two).place) == (0, 1)
    world.run(world.cancels(first, "first"), world.cancels(two, "two"))
    assert world.book() is None
    world.run(world.redeems(world.asks(14 * COIN, "again")))
    assert world.order(waits(world, 23 * COIN, "three")).place == 0


def test_sixty_four_are_asked_at_once() -> None:
    """The limit itself, and one more."""
    world = new_world()
    first = full(world)
    orders = many(world, redeeming.QUEUE_ASKED_MAX + 1)
    world.run(world.cancels(first, "first"))
    world.next_period()
    assert states(world, *orders) == [REQUESTED] * redeeming.QUEUE_ASKED_MAX + [QUEUED]
    world.run()
    assert states(world, orders[-1]) == [REQUESTED]


def test_who_is_asked_takes_the_room_of_four_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two wait for hours of each of two issuers: where a block has room for eight deadlines, the
    second queue is asked in the next one."""
    monkeypatch.setattr(sweep, "SWEEP_OBJECTS_MAX", 2 * sweep.ORDER_ROOM)
    world = new_world()
    issuers = ("val0", "val1")
    for issuer in issuers:
        where = {"issuer": issuer, "commitment": f"capacity-{issuer}"}
        full(world, **where)
        for number in range(2):
            waits(world, COIN, f"{issuer}, {number}", **where)
    before = [asks_again(world, issuer) for issuer in issuers]
    after = [moment + PERIOD_MS for moment in before]
    world.next_period()
    assert [asks_again(world, issuer) for issuer in issuers] == [after[0], before[1]]
    world.run()
    assert [asks_again(world, issuer) for issuer in issuers] == after
