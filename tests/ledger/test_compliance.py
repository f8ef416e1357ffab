"""Orders: they come first, name locks, end by themselves, and edit nothing."""

from __future__ import annotations

import pytest

from ledger.economy.compliance import FREEZES_MAX, Freeze, Order
from ledger.objects import load, load_all
from ledger.operations import FreezeOrder, LiftOrder, RenewOrder
from ledger.reasons import Invalid, Reason
from ledger.times import rfc3339
from ledger.transaction import SignedTransaction
from tests.ledger.economy_world import EconomyWorld
from tests.ledger.world import DAY_MS, REGULATORS, lock_of

REFERENCE = bytes([7]) * 32


def order(
    world: EconomyWorld, *owners: str, name: str = "case-1", days: int = 30, until_ms: int = 0
) -> SignedTransaction:
    targets = tuple(sorted(lock_of(owner) for owner in owners or ("alice",)))
    until_ms = until_ms or world.time_ms + days * DAY_MS
    return world.govern(FreezeOrder(name, REFERENCE, targets, until_ms))


def frozen(world: EconomyWorld, owner: str) -> bool:
    """Whether the owner's coins stand still in the next block."""
    try:
        world.execution(1).add(world.transfer(owner, "carol"))
    except Invalid as error:
        assert error.reason is Reason.FROZEN, error
        return True
    return False


def test_a_frozen_lock_pays_nobody_and_receives() -> None:
    """The named one alone; the refusal names the order and its end."""
    world = EconomyWorld()
    world.run(order(world))
    until_ms = load_all(world.state, Order)[0].until_ms
    found = world.refusal(world.transfer("alice", "bob"))
    assert found.reason is Reason.FROZEN
    assert found.detail.endswith(f"by order 'case-1' until {rfc3339(until_ms)}")
    world.run(world.transfer("bob", "alice"))


def test_a_spend_that_waits_cannot_race_an_order() -> None:
    """After the order it is refused; before it there is no place for it."""
    world = EconomyWorld()
    spend, freeze = world.transfer("alice", "bob"), order(world)
    assert world.reason(freeze, spend) is Reason.FROZEN
    assert world.reason(spend, freeze) is Reason.NOT_FIRST


def test_an_order_ends_with_the_calendar() -> None:
    """In a block at its last moment frozen, a millisecond later free; the ledger clock, which
    an outage stops, does not count."""
    world = EconomyWorld()
    until_ms = world.time_ms + 90 * DAY_MS
    world.run(order(world, until_ms=until_ms))
    world.run(after_ms=until_ms - 1 - world.time_ms)
    assert frozen(world, "alice")
    world.run()
    assert not frozen(world, "alice")
    world.run(world.transfer("alice", "bob"))
    assert load_all(world.state, Order) == load_all(world.state, Freeze) == []


@pytest.mark.parametrize("until", ["never", "now", "past", "91 days"])
def test_an_order_without_an_end_is_none(until: str) -> None:
    """It ends after the block that gives it, and at most ninety days later."""
    world = EconomyWorld()
    block_ms = world.time_ms + 1
    moments = {
        "never": 0,
        "now": block_ms,
        "past": world.time_ms - 5,
        "91 days": block_ms + 90 * DAY_MS + 1,
    }
    locks = (lock_of("alice"),)
    tx = world.govern(FreezeOrder("case-1", REFERENCE, locks, moments[until]))
    assert world.reason(tx) is Reason.NO_EXPIRY


def test_the_shortest_and_the_longest_order_hold() -> None:
    """One millisecond, and ninety days to the millisecond."""
    world = EconomyWorld()
    world.run(order(world, until_ms=world.time_ms + 2))
    assert frozen(world, "alice")
    world.run(order(world, "bob", name="case-2", until_ms=world.time_ms + 1 + 90 * DAY_MS))


def test_both_authorities_order_together() -> None:
    """Neither alone freezes, renews or lifts."""
    world = EconomyWorld()
    world.run(order(world))
    until_ms = world.time_ms + DAY_MS
    acts = (
        FreezeOrder("case-2", REFERENCE, (lock_of("bob"),), until_ms),
        RenewOrder("case-1", 1, until_ms),
        LiftOrder("case-1", 1),
    )
    validators = [f"val{index}/operations" for index in range(3)]
    for act in acts:
        for approvers in (validators, list(REGULATORS[:2])):
            assert world.reason(world.govern(act, approvers=approvers)) is Reason.NEEDS_QUORUM


def test_renewed_it_ends_later_or_earlier() -> None:
    """At the version it has; once per version; never beyond ninety days from now."""
    world = EconomyWorld()
    world.run(order(world, days=10))
    first_ms = load_all(world.state, Order)[0].until_ms
    longer = RenewOrder("case-1", 1, first_ms + DAY_MS)
    world.run(world.govern(longer))
    assert world.reason(world.govern(longer)) is Reason.WRONG_VERSION
    far = RenewOrder("case-1", 2, world.time_ms + 91 * DAY_MS)
    assert world.reason(world.govern(far)) is Reason.NO_EXPIRY
    world.run(after_ms=first_ms + 1 - world.time_ms)
    assert frozen(world, "alice")
    world.run(world.govern(RenewOrder("case-1", 2, world.time_ms + 9)))
    world.run(after_ms=9)
    assert not frozen(world, "alice")


def test_lifted_it_is_over_at_once() -> None:
    """The coins move in the very block that lifts; nothing is left, and the name is free."""
    world = EconomyWorld()
    world.run(order(world))
    spend = world.transfer("alice", "bob")
    assert world.reason(world.govern(LiftOrder("case-1", 2))) is Reason.WRONG_VERSION
    world.run(world.govern(LiftOrder("case-1", 1)), spend)
    assert load_all(world.state, Order) == load_all(world.state, Freeze) == []
    assert world.reason(world.govern(LiftOrder("case-1", 1))) is Reason.UNKNOWN_ORDER
    world.run(order(world))


def test_an_expired_order_is_neither_renewed_nor_lifted() -> None:
    """Swept or not: in the block after its last moment it is unknown, and its name is free."""
    world = EconomyWorld()
    until_ms = world.time_ms + 5_000
    world.run(order(world, until_ms=until_ms))
    late = until_ms + 1 - world.time_ms
    for act in (RenewOrder("case-1", 1, until_ms + DAY_MS), LiftOrder("case-1", 1)):
        assert world.reason(world.govern(act), after_ms=late) is Reason.UNKNOWN_ORDER
    world.run(order(world, until_ms=until_ms + DAY_MS), after_ms=late)
    assert frozen(world, "alice")


def test_a_name_in_force_is_taken() -> None:
    """Another order has another name."""
    world = EconomyWorld()
    world.run(order(world))
    assert world.reason(order(world, "bob")) is Reason.BAD_ORDER


@pytest.mark.parametrize("ends", ["lifted", "expired"])
def test_two_orders_on_one_lock_hold_until_the_last_one_ends(ends: str) -> None:
    """One ends; the other, with other targets beside, still holds."""
    world = EconomyWorld()
    short_ms = world.time_ms + 10_000
    world.run(order(world, until_ms=short_ms), order(world, "alice", "bob", name="case-2"))
    if ends == "lifted":
        world.run(world.govern(LiftOrder("case-1", 1)))
    else:
        world.run(after_ms=20_000)
    assert frozen(world, "alice")
    assert frozen(world, "bob")
    held = load(world.state, Freeze, lock_of("alice"))
    assert held is not None
    assert [item.order for item in held.orders] == ["case-2"]
    world.run(world.govern(LiftOrder("case-2", 1)))
    assert not frozen(world, "alice")
    assert not frozen(world, "bob")


def test_so_many_orders_name_one_lock_and_no_more() -> None:
    """Eight; one that ended makes room."""
    world = EconomyWorld()
    world.run(order(world, name="case-0", until_ms=world.time_ms + 5_000))
    for index in range(1, FREEZES_MAX):
        world.run(order(world, name=f"case-{index}"))
    assert world.reason(order(world, name="one-more")) is Reason.BAD_ORDER
    world.run(after_ms=6_000)
    world.run(order(world, name="one-more"))


def test_targets_ascend_each_once() -> None:
    """So that one order has one form."""
    world = EconomyWorld()
    locks = sorted((lock_of("alice"), lock_of("bob")))
    for targets in ((locks[0], locks[0]), (locks[1], locks[0])):
        tx = world.govern(FreezeOrder("case-1", REFERENCE, targets, world.time_ms + DAY_MS))
        assert world.reason(tx) is Reason.BAD_ORDER
