"""What a silent issuer pays, and that a holder who sabotages its own orders gains nothing."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.economy import conduct
from ledger.economy.bond import Bond
from ledger.economy.conduct import BOND_SHARE_A_DAY, Conduct
from ledger.economy.dispute import Dispute
from ledger.economy.redemption import RedemptionState
from ledger.objects import load
from ledger.times import HOUR_MS
from tests.ledger.economy_world import FEE, lasting, with_economy
from tests.ledger.redemption_world import RedemptionWorld, new_world
from tests.ledger.world import COIN, DAY_MS, PERIOD_MS, economy, make_genesis

BOND = 600 * COIN
COINS = ("val0", "val1", "val2")


def bond_of(world: RedemptionWorld) -> int:
    return sum(item.amount for item in world.draft.all(Bond, Bond.prefix("val0")))


def conduct_of(world: RedemptionWorld) -> Conduct:
    held = load(world.state, Conduct, b"val0")
    assert held is not None
    return held


def far(world: RedemptionWorld, amount: int, session: str) -> bytes:
    """A large order, whose window ends in a hundred and sixty periods."""
    end_ms = (world.clock_ms // PERIOD_MS + 160) * PERIOD_MS
    return world.requested(amount, session, end_ms=end_ms)


def missed(world: RedemptionWorld, amount: int, session: str) -> int:
    """The issuer does not answer: what it pays."""
    before = bond_of(world)
    order = far(world, amount, session)
    world.until(world.order(order).since_ms + world.draft.economy.accept_ms + 1)
    assert world.order(order).state is RedemptionState.LAPSED
    return before - bond_of(world)


# What silence costs.


def test_each_further_strike_costs_twice_as_much_up_to_a_fifth() -> None:
    """Two per cent of the order, four, eight, sixteen, twenty, twenty; all to the holder, half
    from each asset of the bond."""
    world = new_world()
    paid = [missed(world, 10 * COIN, f"order {number}") for number in range(6)]
    assert paid == [COIN * share // 10 for share in (2, 4, 8, 16, 20, 20)]
    assert conduct_of(world).strikes == 6
    gained = [world.amount_of("carol", coin) for coin in COINS]
    assert gained == [60 * COIN, sum(paid) // 2, sum(paid) // 2]


def test_a_period_has_one_strike() -> None:
    """Three orders that lapse in it: each is paid for, at the share of the first."""
    world = new_world()
    orders = [world.requested(COIN, f"order {number}") for number in range(3)]
    world.until(world.order(orders[-1]).since_ms + world.draft.economy.accept_ms + 1)
    assert (conduct_of(world).strikes, BOND - bond_of(world)) == (1, 3 * COIN // 50)


def test_a_missed_service_is_a_strike_as_a_missed_answer_is() -> None:
    """Accepted, and no endpoint by start-by."""
    world = new_world()
    missed(world, 10 * COIN, "first")
    order = world.requested(10 * COIN, "second")
    world.run(world.accepts(order))
    before = bond_of(world)
    world.until(world.order(order).start_by_ms + 1)
    assert (conduct_of(world).strikes, before - bond_of(world)) == (2, 10 * COIN * 4 // 100)


def test_a_strike_is_forgiven_after_a_month() -> None:
    """Of three, one at a time; the next costs as if it had never been."""
    world = new_world(100)
    for number in range(3):
        missed(world, 10 * COIN, f"order {number}")
    held = conduct_of(world)
    world.until(held.since_ms + 60 * DAY_MS)
    world.renew("val0")
    assert missed(world, 10 * COIN, "later") == 10 * COIN * 4 // 100
    assert conduct_of(world).since_ms == held.since_ms + 60 * DAY_MS


def test_penalties_of_a_day_take_a_tenth_of_the_bond() -> None:
    """As the first of the day found it; what is above goes unpaid. The next day has its own."""
    world = new_world()
    paid = [missed(world, 140 * COIN, f"order {number}") for number in range(6)]
    shares = [COIN * 140 * share // 100 for share in (2, 4, 8, 16)]
    assert paid == [*shares, BOND // BOND_SHARE_A_DAY - sum(shares), 0]
    assert BOND - bond_of(world) == BOND // BOND_SHARE_A_DAY
    world.until((world.clock_ms // DAY_MS + 1) * DAY_MS)
    assert missed(world, 140 * COIN, "next day") == 28 * COIN
    assert conduct_of(world).most == (BOND - BOND // BOND_SHARE_A_DAY) // BOND_SHARE_A_DAY


def test_without_a_bond_nothing_is_paid_but_the_order_itself() -> None:
    """The strike counts all the same."""
    genesis = lasting(make_genesis(), 30)
    others = tuple(item for item in genesis.bonds if item.issuer != "val0")
    world = RedemptionWorld(msgspec.structs.replace(genesis, bonds=others))
    assert missed(world, 10 * COIN, "order") == 0
    assert world.amount_of("carol") == 10 * COIN
    assert conduct_of(world).strikes == 1


def test_a_bond_of_odd_sums_pays_what_divides() -> None:
    """Pro rata and floored: a millionth that does not divide goes unpaid, an asset of which too
    little is there pays nothing, and the day's limit counts what was paid."""
    genesis = lasting(make_genesis(), 30)
    sums = {"val1": 999_999_999, "val2": 7}
    bonds = tuple(
        msgspec.structs.replace(item, amount=sums[item.coin]) if item.issuer == "val0" else item
        for item in genesis.bonds
    )
    world = RedemptionWorld(msgspec.structs.replace(genesis, bonds=bonds))
    due = 10 * COIN // 50
    part = due * 999_999_999 // sum(sums.values())
    assert missed(world, 10 * COIN, "order") == part < due
    assert (conduct_of(world).paid, world.amount_of("carol", "val2")) == (part, 0)


@given(
    strikes=st.integers(0, 200),
    amount=st.integers(1, 1 << 60),
    share=st.integers(1_000, 200_000),
    most=st.integers(1_000, 200_000),
)
def test_a_penalty_never_passes_its_most(strikes: int, amount: int, share: int, most: int) -> None:
    """However many strikes there are, and where the first share is the larger one."""
    held = msgspec.structs.replace(Conduct.clean("val0", 0), strikes=strikes)
    numbers = msgspec.structs.replace(economy(), penalty_ppm=share, penalty_ppm_max=most)
    found = conduct.penalty(held, amount, numbers)
    assert found <= amount * most // 1_000_000
    again = msgspec.structs.replace(held, strikes=strikes + 1)
    assert conduct.penalty(again, amount, numbers) >= found


@given(st.lists(st.integers(0, 100 * DAY_MS), max_size=12))
def test_strikes_are_those_of_so_many_periods_less_those_forgiven(gaps: list[int]) -> None:
    """Against a list of moments: one a period is added, each month takes the oldest."""
    numbers = economy()
    held, clock_ms, count, since_ms, last = Conduct.clean("val0", 0), 0, 0, 0, -1
    for gap in gaps:
        clock_ms += gap
        period = clock_ms // PERIOD_MS
        held = conduct.matured(held, clock_ms, numbers)
        while count and clock_ms >= since_ms + numbers.forgive_ms:
            count, since_ms = count - 1, since_ms + numbers.forgive_ms
        held = conduct.struck(held, clock_ms=clock_ms, period=period)
        if not count or period != last:
            since_ms = since_ms if count else clock_ms
            count, last = count + 1, period
        assert (held.strikes, held.since_ms) == (count, since_ms)


# What sabotage gains.


def never_begins(world: RedemptionWorld) -> int:
    order = world.ready_order()
    world.until(world.order(order).end_ms + 1)
    return 1


def closes_at_once(world: RedemptionWorld) -> int:
    order = world.ready_order()
    world.run(world.closes(order))
    world.until(world.clock_ms + world.draft.economy.closing_ms + 1)
    return 1


def signs_nothing_more(world: RedemptionWorld) -> int:
    order = world.active_order(COIN, COIN // 4)
    world.until(world.order(order).end_ms + world.draft.economy.closing_ms + PERIOD_MS)
    world.run()
    return 1


def asks_and_cancels(world: RedemptionWorld) -> int:
    for number in range(10):
        order = world.requested(COIN, f"session {number}")
        world.run(world.cancels(order, f"session {number}"))
    world.run()
    return 10


def waits_and_leaves(world: RedemptionWorld) -> int:
    first = world.requested(14 * COIN, "first")
    for number in range(4):
        session, until_ms = f"session {number}", world.clock_ms + 10_000
        world.requested(COIN, session, queue_until_ms=until_ms)
    world.run(world.cancels(first, "first"))
    world.until(world.clock_ms + 10_001)
    return 5


def disputes_falsely(world: RedemptionWorld) -> int:
    order = world.ready_order()
    world.run(world.closes(order))
    world.run(world.disputes(order, COIN // 100))
    opened = load(world.state, Dispute, order)
    assert opened is not None
    world.run(*(world.rules(order, name, upheld=False) for name in opened.panel[:3]))
    world.run()
    return 2


def disputes_before_a_silent_panel(world: RedemptionWorld) -> int:
    order = world.ready_order()
    world.run(world.closes(order))
    world.run(world.disputes(order, COIN // 100))
    world.until(world.clock_ms + HOUR_MS + 1)
    return 2


@pytest.mark.parametrize(
    "sabotage",
    [
        never_begins,
        closes_at_once,
        signs_nothing_more,
        asks_and_cancels,
        waits_and_leaves,
        disputes_falsely,
        disputes_before_a_silent_panel,
    ],
)
def test_a_holder_who_sabotages_its_own_orders_gains_nothing(
    sabotage: Callable[[RedemptionWorld], int],
) -> None:
    """It loses the fees, what it received, and a deposit that it put up for a lie. The bond is
    whole, the issuer has no strike, and all hours are free again."""
    world = RedemptionWorld(with_economy(lasting(make_genesis(), 30), contest_ms=HOUR_MS))
    owners = ("alice", "carol", "dave")
    before = sum(world.amount_of(owner, coin) for owner in owners for coin in COINS)
    supply = world.reserve().supply
    fees = sabotage(world) * FEE
    after = sum(world.amount_of(owner, coin) for owner in owners for coin in COINS)
    burned = supply - world.reserve().supply
    lost = world.amount_of("val0/treasury", "val1")
    assert before - after == fees + burned + lost
    assert bond_of(world) == BOND
    assert load(world.state, Conduct, b"val0") is None
    assert world.book() is None
