"""An order while the standard takes a step: its holder has the better factor of request and
start."""

from __future__ import annotations

import pytest

from ledger.economy.redemption import RedemptionState
from ledger.operations import ProposeStandard
from ledger.reasons import Reason
from tests.ledger.economy_world import lasting, with_economy
from tests.ledger.redemption_world import RedemptionWorld
from tests.ledger.test_redemption import kept
from tests.ledger.world import COIN, PERIOD_MS, TIME_MS, Reference, make_genesis

STEP_MS = TIME_MS + 5 * PERIOD_MS
"""When a tenth more throughput becomes the standard."""
AFTER = 909_091
NEEDED = -(-13 * COIN * 1_000_000 // AFTER)


def stepping() -> RedemptionWorld:
    world = RedemptionWorld(
        with_economy(
            lasting(make_genesis(), 30), notice_ms=2 * PERIOD_MS, step_spacing_ms=5 * PERIOD_MS
        )
    )
    world.run(world.govern(ProposeStandard(2, (Reference("training", 1_100),), ())))
    return world


def test_an_order_accepted_after_the_step_has_its_factor() -> None:
    """More hours for the same coins, kept at once, also where no others are free by then."""
    world = stepping()
    order = world.requested(13 * COIN)
    world.until(STEP_MS)
    assert (world.order(order).factor, kept(world)) == (1_000_000, [13 * COIN])
    world.run(world.accepts(order))
    assert (world.order(order).factor, kept(world)) == (AFTER, [NEEDED])
    times = {"start_by_ms": STEP_MS + 12 * PERIOD_MS - 1, "end_ms": STEP_MS + 12 * PERIOD_MS}
    other = world.redeems(world.asks(COIN // 100, "other", **times))
    assert world.reason(other) is Reason.NO_FREE_HOURS


def test_an_order_made_ready_after_the_step_has_its_factor() -> None:
    """Accepted before it, it begins after it."""
    world = stepping()
    order = world.requested(13 * COIN)
    world.run(world.accepts(order))
    world.until(STEP_MS)
    world.run(world.readies(order))
    assert (world.order(order).factor, kept(world)) == (AFTER, [NEEDED])


def test_an_order_begun_after_the_step_has_its_factor() -> None:
    """Ready before it, its first receipt comes after it."""
    world = stepping()
    order = world.ready_order(13 * COIN)
    world.until(STEP_MS)
    assert (world.order(order).factor, kept(world)) == (1_000_000, [13 * COIN])
    world.run(world.posts(world.receipt(order, 1, COIN // 2)))
    delivered = COIN // 2 * 1_000_000 // AFTER
    assert (world.order(order).factor, kept(world)) == (AFTER, [NEEDED - delivered])


def test_a_step_after_the_start_changes_no_order() -> None:
    """What was begun is served at what it began with; its hours are worth less by now, so a
    receipt takes less of the reserve than it burns."""
    world = stepping()
    order = world.ready_order(13 * COIN)
    world.run(world.posts(world.receipt(order, 1, 1_000)))
    world.until(STEP_MS)
    assert (world.order(order).factor, kept(world)) == (1_000_000, [13 * COIN - 1_000])
    before = world.reserve()
    world.run(world.posts(world.receipt(order, 2, COIN // 2 + 1_000)))
    after = world.reserve()
    assert before.supply - after.supply == COIN // 2
    fell = before.reserve - after.reserve
    assert COIN // 2 * AFTER // 1_000_000 <= fell <= COIN // 2 * AFTER // 1_000_000 + 1
    assert kept(world) == [13 * COIN - COIN // 2 - 1_000]


@pytest.mark.parametrize(("amount", "begins"), [(28 * COIN, True), (30 * COIN, False)])
def test_who_waited_across_a_step_is_asked_with_its_factor(amount: int, begins: bool) -> None:
    """Thirty-five periods are left: by the old factor there are hours for thirty coins, by the new
    one there are not."""
    world = stepping()
    first = world.requested(14 * COIN, "first")
    order = world.requested(
        amount,
        start_by_ms=TIME_MS + 30 * PERIOD_MS,
        end_ms=TIME_MS + 40 * PERIOD_MS,
        queue_until_ms=TIME_MS + 10 * PERIOD_MS,
    )
    world.until(STEP_MS - 1, world.cancels(first, "first"))
    world.run()
    held = world.order(order)
    assert held.state is (RedemptionState.REQUESTED if begins else RedemptionState.QUEUED)
    world.next_period()
    assert world.order(order).state is held.state
    assert held.factor == (AFTER if begins else 1_000_000)


@pytest.mark.parametrize("begins_after", [True, False])
def test_a_coin_is_as_many_units_as_are_better_for_its_holder(begins_after: bool) -> None:
    """A tenth more of the reference job than at the request; after the start nothing more."""
    world = stepping()
    order = world.requested()
    assert world.order(order).units == 1_000
    world.run(world.accepts(order), world.readies(order))
    if not begins_after:
        world.run(world.posts(world.receipt(order, 1, 1_000)))
    world.until(STEP_MS)
    world.run(world.posts(world.receipt(order, 2, 2_000)))
    assert world.order(order).units == (1_100 if begins_after else 1_000)
