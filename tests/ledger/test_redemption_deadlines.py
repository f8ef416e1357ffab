"""Races with a deadline: at its last moment an act counts, a moment later it does not, swept or
not; and how many orders a block sweeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from ledger import sweep
from ledger.economy.dispute import Dispute
from ledger.economy.redemption import Redemption, RedemptionState
from ledger.objects import load, load_all
from ledger.reasons import Reason
from ledger.sweep import ORDER_ROOM, SWEEP_OBJECTS_MAX
from ledger.times import HOUR_MS
from ledger.transaction import SignedTransaction
from tests.ledger.economy_world import lasting, with_economy
from tests.ledger.redemption_world import RedemptionWorld
from tests.ledger.world import COIN, make_genesis

Act = Callable[[RedemptionWorld, bytes], SignedTransaction]


def hasty_world() -> RedemptionWorld:
    """A panel has an hour: attestors need not vouch for the hours anew meanwhile."""
    return RedemptionWorld(with_economy(lasting(make_genesis(), 30), contest_ms=HOUR_MS))


def queued(world: RedemptionWorld) -> tuple[bytes, int]:
    world.requested(14 * COIN, "first")
    order = world.requested(queue_until_ms=world.clock_ms + 30_000)
    return order, world.order(order).queue_until_ms


def requested(world: RedemptionWorld) -> tuple[bytes, int]:
    order = world.requested()
    return order, world.order(order).since_ms + world.draft.economy.accept_ms


def accepted(world: RedemptionWorld) -> tuple[bytes, int]:
    order = world.requested()
    world.run(world.accepts(order))
    return order, world.order(order).start_by_ms


def ready(world: RedemptionWorld) -> tuple[bytes, int]:
    order = world.ready_order()
    return order, world.order(order).end_ms


def active(world: RedemptionWorld) -> tuple[bytes, int]:
    order = world.active_order()
    return order, world.order(order).end_ms


def closing(world: RedemptionWorld) -> tuple[bytes, int]:
    order = world.active_order()
    world.run(world.closes(order))
    return order, world.order(order).since_ms + world.draft.economy.closing_ms


def disputed(world: RedemptionWorld) -> tuple[bytes, int]:
    order, _ = closing(world)
    world.run(world.disputes(order, COIN))
    return order, world.clock_ms + world.draft.economy.contest_ms


def posts(world: RedemptionWorld, order: bytes) -> SignedTransaction:
    return world.posts(world.receipt(order, 2, COIN // 2))


def votes(world: RedemptionWorld, order: bytes) -> SignedTransaction:
    opened = load(world.state, Dispute, order)
    assert opened is not None
    return world.rules(order, opened.panel[0], upheld=True)


@dataclass(frozen=True)
class Race:
    """An act at the last moment of a state, and what has become of it a moment later."""

    begins: Callable[[RedemptionWorld], tuple[bytes, int]]
    act: Act
    after: RedemptionState
    then: RedemptionState
    reason: Reason = Reason.WRONG_STATE


S = RedemptionState
RACES = {
    "cancel-queued": Race(queued, RedemptionWorld.cancels, S.CANCELLED, S.CANCELLED),
    "cancel-requested": Race(requested, RedemptionWorld.cancels, S.CANCELLED, S.LAPSED),
    "accept": Race(requested, RedemptionWorld.accepts, S.ACCEPTED, S.LAPSED),
    "ready": Race(accepted, RedemptionWorld.readies, S.READY, S.FAILED),
    "begin": Race(ready, posts, S.ACTIVE, S.SETTLED),
    "close-ready": Race(ready, RedemptionWorld.closes, S.CLOSING, S.SETTLED),
    "close": Race(active, RedemptionWorld.closes, S.CLOSING, S.CLOSING),
    "post-closing": Race(closing, posts, S.CLOSING, S.SETTLED),
    "dispute": Race(closing, lambda w, o: w.disputes(o, COIN), S.DISPUTED, S.SETTLED),
    "post-disputed": Race(disputed, posts, S.DISPUTED, S.RULED),
    "rule": Race(disputed, votes, S.DISPUTED, S.RULED, Reason.UNKNOWN_DISPUTE),
}
races = pytest.mark.parametrize("race", RACES.values(), ids=RACES)


@races
def test_at_the_last_moment_an_act_counts(race: Race) -> None:
    """Time equal to the deadline; that very block sweeps nothing of it."""
    world = hasty_world()
    order, last_ms = race.begins(world)
    world.until(last_ms, race.act(world, order))
    assert world.clock_ms == last_ms
    assert world.order(order).state is race.after


@races
def test_a_moment_later_it_is_refused_and_the_order_has_moved_on(race: Race) -> None:
    """The block sweeps before it looks at transactions."""
    world = hasty_world()
    order, last_ms = race.begins(world)
    act = race.act(world, order)
    world.until(last_ms)
    assert world.reason(act) is race.reason
    world.run()
    assert world.order(order).state is race.then


@races
def test_what_no_sweep_has_come_to_is_over_all_the_same(
    race: Race, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where more is due than a block sweeps, no order lives longer than its deadline."""
    world = hasty_world()
    order, last_ms = race.begins(world)
    act = race.act(world, order)
    world.until(last_ms)
    before = world.order(order)
    monkeypatch.setattr(sweep, "SWEEP_OBJECTS_MAX", 0)
    assert world.reason(act) is race.reason
    world.run()
    assert world.order(order) == before


def test_a_session_past_its_window_is_closing_before_anybody_writes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Receipts and disputes are those of a closing one; the sweep finds it as it then is."""
    world = hasty_world()
    order, end_ms = active(world)
    monkeypatch.setattr(sweep, "SWEEP_OBJECTS_MAX", 0)
    world.until(end_ms + 2)
    assert load_all(world.state, Redemption)[0].state is RedemptionState.ACTIVE
    assert world.reason(world.closes(order)) is Reason.WRONG_STATE
    world.run(posts(world, order))
    held = world.order(order)
    assert (held.state, held.since_ms) == (RedemptionState.CLOSING, end_ms)
    world.run(world.disputes(order, COIN))
    assert world.order(order).state is RedemptionState.DISPUTED


def test_no_receipt_comes_after_the_ruling(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the block of the last vote it does; a moment later the dispute is decided, swept or
    not."""
    world = hasty_world()
    order, _ = disputed(world)
    opened = load(world.state, Dispute, order)
    assert opened is not None
    late = world.posts(world.receipt(order, 3, COIN // 2 + 1))
    ruling = [world.rules(order, name, upheld=False) for name in opened.panel[:3]]
    world.run(*ruling, posts(world, order))
    assert world.order(order).burned == COIN // 2
    monkeypatch.setattr(sweep, "SWEEP_OBJECTS_MAX", 0)
    assert world.reason(late) is Reason.WRONG_STATE


def test_a_block_sweeps_so_many_orders_and_the_next_goes_on() -> None:
    """Eighty orders lapse at once: each takes the room of four deadlines, so the first 64 go, then
    the others, of which none is accepted meanwhile. All are paid back."""
    count, owners = 80, [f"holder {number}" for number in range(20)]
    world = RedemptionWorld(lasting(make_genesis(accounts=owners), 30))
    orders = []
    for start in range(0, count, len(owners)):
        asked = [world.asks(10_000, f"session {start + place}") for place in range(len(owners))]
        world.run(*(world.redeems(item, owner) for item, owner in zip(asked, owners, strict=True)))
        orders += [world.id_of(item) for item in asked]
    last_ms = max(world.order(order).since_ms for order in orders) + world.draft.economy.accept_ms
    world.until(last_ms + 1)
    states = [world.order(order).state for order in orders]
    swept = SWEEP_OBJECTS_MAX // ORDER_ROOM
    assert states.count(RedemptionState.LAPSED) == swept == 64
    assert RedemptionState.REQUESTED not in states[: swept - len(owners)]
    left = [order for order in orders if world.order(order).state is RedemptionState.REQUESTED]
    world.run()
    assert {world.order(order).state for order in left} == {RedemptionState.LAPSED}
    assert world.amount_of("carol") == count * 10_000
    assert world.book() is None
