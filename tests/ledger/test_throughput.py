"""Receipts of fast devices make the system draft a step; a few that lie do not."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.codec import UINT_MAX
from ledger.economy.redemption import RedemptionState
from ledger.economy.standard import FACTOR_MAX, Reference, Standard, units_table
from ledger.economy.step import PPM, StandardStep, StepState
from ledger.economy.throughput import Throughput, added, counted
from ledger.objects import load, load_all, load_one
from ledger.operations import ProposeStandard
from tests.ledger.economy_world import lasting, with_economy
from tests.ledger.redemption_world import RedemptionWorld, ending_world
from tests.ledger.test_redemption_deficit import two_commitments
from tests.ledger.test_redemption_trouble import void
from tests.ledger.world import COIN, PERIOD_MS, TIME_MS, make_genesis

replace = msgspec.structs.replace
NOTICE_MS = 4 * PERIOD_MS
HALF = COIN // 2
"""Of a coin, and of an hour, which the standard expects for it."""


def make_world() -> RedemptionWorld:
    """The trigger is 10 %, delta 15 %, and a training hour 1,000 units."""
    values = {"notice_ms": NOTICE_MS, "step_spacing_ms": 5 * PERIOD_MS}
    return RedemptionWorld(with_economy(lasting(make_genesis(), 30), **values))


def told(world: RedemptionWorld) -> list[tuple[int, int]]:
    """What receipts told of training, (µ, µh)."""
    found = load_all(world.state, Throughput)
    assert {(item.device_class, item.workload) for item in found} <= {("gpu-80g", "training")}
    return [(item.amount, item.microhours) for item in found]


def post(
    world: RedemptionWorld, order: bytes, number: int, delivered: int, microhours: int,
    session: str = "session",
) -> None:  # fmt: skip
    receipt = world.receipt(order, number, delivered, microhours=microhours)
    world.run(world.posts(receipt, session))


def drafted(world: RedemptionWorld) -> StandardStep | None:
    return load(world.state, StandardStep)


def units(step: StandardStep | None) -> int:
    """Of training; 0 without a step."""
    return 0 if step is None else units_table(step.references)["training"]


def fast_world() -> RedemptionWorld:
    """A draft stands: half a coin and a fifth more in half an hour."""
    world = make_world()
    post(world, world.ready_order(), 1, HALF * 6 // 5, HALF)
    world.next_period()
    return world


@pytest.mark.parametrize(
    ("delivered", "counts", "rises_to"),
    [
        (549_999, 549_999, 0),
        (550_000, 550_000, 1_100),
        (600_000, 600_000, 1_176),
        (COIN, 600_000, 1_176),
    ],
)
def test_fast_devices_draft_a_step(delivered: int, counts: int, rises_to: int) -> None:
    """From the trigger on, no further than delta; nobody is faster than the trigger twice over. The
    draft comes with the period, and the sums go."""
    world = make_world()
    order = world.ready_order()
    post(world, order, 1, delivered, HALF)
    assert told(world) == [(counts, HALF)] and drafted(world) is None
    world.next_period()
    step = drafted(world)
    assert told(world) == [] and units(step) == rises_to
    if step is not None:
        assert (step.state, step.version) == (StepState.DRAFT, 2)
        assert (step.since_ms, step.ends_ms) == (world.clock_ms, world.clock_ms + NOTICE_MS)
    assert load_one(world.state, Standard) == world.genesis.first_standard


def test_what_receipts_of_a_period_add_is_summed() -> None:
    """They are cumulative: each counts by what it adds."""
    world = make_world()
    first, second = world.ready_order(), world.ready_order(COIN, "other")
    post(world, first, 1, 100_000, 90_000)
    post(world, first, 4, 300_000, 280_000)
    post(world, second, 1, 50_000, 60_000, "other")
    assert told(world) == [(350_000, 340_000)]


@pytest.mark.parametrize(("liar", "rises"), [(990_000, False), (1_010_000, True)])
def test_who_has_less_than_half_of_the_time_moves_nothing(liar: int, *, rises: bool) -> None:
    """One hour brings what the standard expects; in the time of the other, three coins are said to
    have been delivered."""
    world = make_world()
    usual, fast = world.ready_order(COIN), world.ready_order(3 * COIN, "liar")
    post(world, usual, 1, COIN, COIN)
    post(world, fast, 1, 3 * COIN, liar, "liar")
    world.next_period()
    assert (drafted(world) is not None) is rises


def test_time_that_delivered_nothing_outweighs_nobody() -> None:
    """A hundredth of a coin in all the time that a receipt can say, beside fast devices."""
    world = make_world()
    fast, slow = world.ready_order(2 * COIN), world.ready_order(COIN, "slow")
    post(world, fast, 1, COIN * 6 // 5, COIN)
    post(world, slow, 1, COIN // 100, UINT_MAX, "slow")
    assert told(world) == [(COIN * 6 // 5 + COIN // 100, COIN + COIN // 50)]
    world.next_period()
    assert units(drafted(world)) == 1_176


def test_work_without_time_tells_nothing() -> None:
    world = make_world()
    post(world, world.ready_order(), 1, COIN, 0)
    assert told(world) == []


def test_one_period_does_not_count_in_the_next() -> None:
    """Both together would be below the trigger."""
    world = make_world()
    order = world.ready_order()
    post(world, order, 1, HALF, HALF)
    world.next_period()
    assert drafted(world) is None
    post(world, order, 2, HALF + 60_000, HALF + 50_000)
    assert told(world) == [(60_000, 50_000)]
    world.next_period()
    assert units(drafted(world)) == 1_176


def test_a_draft_lapses() -> None:
    """With the first block at its end; nothing is drafted anew without new receipts."""
    world = fast_world()
    step = drafted(world)
    assert step is not None
    world.until(step.ends_ms - 1)
    assert drafted(world) == step
    world.next_period()
    assert drafted(world) is None
    assert load_one(world.state, Standard) == world.genesis.first_standard


def test_a_draft_stands_as_it_is() -> None:
    """Further receipts do not change it; those of the period in which it lapses draft the next."""
    world = fast_world()
    step, order = drafted(world), world.ready_order(COIN, "more")
    assert step is not None
    post(world, order, 1, 550_000, HALF, "more")
    world.next_period()
    assert drafted(world) == step and told(world) == []
    world.until(step.ends_ms - PERIOD_MS)
    post(world, order, 2, 660_000, HALF + 100_000, "more")
    world.next_period()
    after = drafted(world)
    assert after is not None and (units(after), after.since_ms) == (1_100, step.ends_ms)


def test_a_proposal_takes_its_place() -> None:
    """Less than was drafted; while it is noticed, nothing is drafted."""
    world = fast_world()
    world.run(world.govern(ProposeStandard(2, (Reference("training", 1_001),), ())))
    step = drafted(world)
    assert step is not None and (step.state, units(step)) == (StepState.NOTICED, 1_001)
    post(world, world.ready_order(COIN, "more"), 1, 600_000, HALF, "more")
    world.next_period()
    assert drafted(world) == step and told(world) == []


def test_across_a_step_devices_are_measured_by_the_new_standard() -> None:
    """What was told before it is dropped. An order goes on in coins of its start, of which by now a
    tenth more are needed: a device that keeps to the old standard keeps to the new one."""
    world = make_world()
    world.run(world.govern(ProposeStandard(2, (Reference("training", 1_100),), ())))
    order = world.ready_order()
    step = drafted(world)
    assert step is not None
    world.until(step.ends_ms - PERIOD_MS)
    post(world, order, 1, 360_000, 300_000)
    assert told(world) == [(360_000, 300_000)]
    world.next_period()
    assert load_one(world.state, Standard).version == 2
    assert drafted(world) is None and told(world) == []
    post(world, order, 2, 360_000 + 110_000, 300_000 + 110_000)
    assert told(world) == [(100_000, 110_000)]
    world.next_period()
    assert drafted(world) is None


def test_an_order_begun_after_a_step_is_measured_by_the_coins_that_it_brings() -> None:
    """It was ready before; with its first receipt a coin is a tenth more units, as the standard has
    it by then, and so a device that keeps to it is no slower than that."""
    world = make_world()
    world.run(world.govern(ProposeStandard(2, (Reference("training", 1_100),), ())))
    order = world.ready_order()
    step = drafted(world)
    assert step is not None
    world.until(step.ends_ms + 1)
    assert load_one(world.state, Standard).version == 2
    post(world, order, 1, 100_000, 110_000)
    assert world.order(order).units == 1_100
    assert told(world) == [(100_000, 110_000)]


def test_devices_whose_commitment_is_over_tell_nothing() -> None:
    """The last receipt comes while the order is closing; other hours still cover the coins."""
    short, long = ending_world(16).genesis, two_commitments().genesis
    commitments = (short.commitments[0], *long.commitments[1:])
    world = RedemptionWorld(replace(short, commitments=commitments))
    order = world.ready_order()
    post(world, order, 1, COIN // 10, COIN // 10)
    world.until(TIME_MS + 16 * PERIOD_MS + 1)
    assert world.capacity() is None and told(world) == []
    post(world, order, 2, HALF, COIN // 5)
    assert (world.order(order).state, world.order(order).burned) == (RedemptionState.CLOSING, HALF)
    assert told(world) == []


def test_devices_that_were_found_void_tell_nothing() -> None:
    """Hours of another commitment cover a part of the coins: who is served gets that much."""
    world = two_commitments()
    order = world.ready_order(10 * COIN)
    void(world)
    post(world, order, 1, HALF, HALF)
    assert world.order(order).burned == HALF
    assert told(world) == []


@given(
    st.integers(1, 1 << 62),
    st.integers(0, UINT_MAX),
    st.integers(1, FACTOR_MAX),
    st.integers(10_000, PPM),
)
def test_what_a_receipt_counts_for_is_bounded(
    delivered: int, microhours: int, factor: int, trigger_ppm: int
) -> None:
    """Never more than it says, nor than the bounds; within them exactly what it says."""
    amount, time = counted(delivered, microhours, factor, trigger_ppm)
    assert amount <= delivered and time <= microhours
    most = PPM + 2 * trigger_ppm
    assert amount * PPM * PPM <= time * factor * most
    assert time * factor <= 2 * delivered * PPM
    is_plain = PPM * PPM * delivered <= microhours * factor * most
    if is_plain and microhours * factor <= 2 * delivered * PPM:
        assert (amount, time) == (delivered, microhours)


def test_a_full_sum_stays_full() -> None:
    held = Throughput("gpu-80g", "training", UINT_MAX - 1, UINT_MAX)
    full = Throughput("gpu-80g", "training", UINT_MAX, UINT_MAX)
    assert added(held, 2, 5) == added(full, 1, 1) == full
