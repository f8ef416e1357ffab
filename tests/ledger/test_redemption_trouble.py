"""Orders go on when their issuer, its hours or the holder's lock are in trouble."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from ledger.economy.capacity import CapacityCommitment, CommitmentState
from ledger.economy.challenge import Challenge
from ledger.economy.licence import LicenceState
from ledger.economy.redemption import RedemptionState
from ledger.economy.reserve import Solvency
from ledger.objects import load
from ledger.operations import Revoke, RotateKey, Suspend, WindDown
from ledger.reasons import Reason
from ledger.transaction import SignedTransaction
from tests.ledger.economy_world import lasting, more, with_economy
from tests.ledger.redemption_world import RedemptionWorld, ending_world, new_world
from tests.ledger.test_challenges import challenges, rules
from tests.ledger.test_compliance import order as freeze_order
from tests.ledger.test_redemption_queue import waits
from tests.ledger.world import (
    COIN,
    DAY_MS,
    GROUPS,
    PANEL_GROUPS,
    PERIOD_MS,
    TIME_MS,
    attest,
    commitment,
    key,
    lock_of,
    make_genesis,
)

replace = msgspec.structs.replace


def suspended(world: RedemptionWorld) -> SignedTransaction:
    return world.govern(Suspend("val0", 0))


def revoked(world: RedemptionWorld) -> SignedTransaction:
    return world.govern(Revoke("val0", 0))


def winding_down(world: RedemptionWorld) -> SignedTransaction:
    signer = "val0/operations"
    return world.does(WindDown("val0", key(signer).public, 0), signer)


TROUBLE = [suspended, revoked, winding_down]
trouble = pytest.mark.parametrize("trouble", TROUBLE)
Trouble = Callable[[RedemptionWorld], SignedTransaction]


@trouble
def test_whatever_becomes_of_its_licence_an_issuer_serves(trouble: Trouble) -> None:
    """An order is asked for, and led to its end, as if nothing were."""
    world = new_world()
    world.run(trouble(world))
    order = world.active_order(2 * COIN, COIN // 2)
    world.run(world.closes(order, "val0/metering"))
    world.until(world.clock_ms + world.draft.economy.closing_ms + 1)
    assert world.order(order).state is RedemptionState.SETTLED
    assert world.amount_of("carol") == 2 * COIN - COIN // 2


@trouble
def test_whatever_becomes_of_its_licence_an_issuer_pays(trouble: Trouble) -> None:
    """Silent, it has a strike: the holder never pays for its fault."""
    world = new_world()
    order = world.requested(10 * COIN)
    world.run(trouble(world))
    world.until(world.order(order).since_ms + world.draft.economy.accept_ms + 1)
    assert world.order(order).state is RedemptionState.LAPSED
    assert world.amount_of("carol") == 10 * COIN
    assert world.amount_of("carol", "val1") + world.amount_of("carol", "val2") == COIN // 5


def test_an_issuer_that_winds_down_is_not_closed_while_an_order_is_open() -> None:
    """Coins in orders are outstanding."""
    world = new_world()
    world.run(winding_down(world))
    world.requested()
    world.next_period()
    assert world.licence("val0").state is LicenceState.WINDDOWN
    assert world.reserve().supply > 0


def test_a_caged_issuer_whose_coins_are_covered_serves_one_for_one() -> None:
    """It mints nothing, for good; whoever has its coins gets their hours."""
    world = RedemptionWorld(with_economy(lasting(make_genesis(), 30), winddown_ms=PERIOD_MS))
    world.run(winding_down(world))
    world.until(world.clock_ms + 2 * PERIOD_MS)
    world.next_period()
    assert world.reserve().solvency is Solvency.CAGED
    order = world.active_order(COIN, COIN // 2)
    held = world.order(order)
    assert (held.burned, held.residual) == (COIN // 2, 0)


def test_the_issuers_new_key_leads_its_orders_on() -> None:
    """Rotated while an order is open: the old one is worth nothing from then on."""
    world = new_world()
    signer, fresh = "val0/operations", "val0/fresh"
    change = RotateKey("val0", key(signer).public, 0, "operations", key(fresh).public)
    world.run(world.does(change, signer, fresh))
    world.until(world.clock_ms + DAY_MS)
    order = world.requested()
    assert world.reason(world.accepts(order, signer)) is Reason.WRONG_ROLE_KEY
    world.run(world.accepts(order, fresh))


# Freezes.


def test_a_frozen_holder_asks_for_nothing() -> None:
    """An order would carry its coins past the freeze."""
    world = new_world()
    world.run(freeze_order(world))
    assert world.reason(world.redeems(world.asks())) is Reason.FROZEN


def test_what_is_paid_back_to_a_frozen_lock_is_frozen() -> None:
    """The order goes on; its coins come back to where the holder said, and lie there."""
    world = new_world()
    order = world.requested(refund_lock=lock_of("alice"))
    coin = world.coin("alice")
    world.run(freeze_order(world))
    world.run(world.cancels(order))
    world.run()
    assert world.order(order).is_paid
    assert world.coin("alice") == coin
    back = [item for item in world.state.outputs.values() if item.amount == COIN]
    assert [item.lock for item in back] == [lock_of("alice")]
    assert world.reason(world.transfer("alice", "bob", coin=coin)) is Reason.FROZEN


# Hours.


def void(world: RedemptionWorld) -> None:
    """A panel finds that the hours of val0 are not there."""
    world.run(challenges(world, 389 * COIN))
    identity = CapacityCommitment.identity("val0", "capacity-val0")
    held = load(world.state, Challenge, identity)
    assert held is not None
    seated = [group for group in PANEL_GROUPS if f"att-{group}" in held.panel]
    world.run(*(rules(world, group, upheld=True) for group in seated[:3]))
    world.run()
    found = world.capacity()
    assert found is not None
    assert found.state is CommitmentState.VOID


def test_a_contested_commitment_serves() -> None:
    """Contested counts until it is ruled."""
    world = new_world()
    world.run(challenges(world))
    order = world.active_order(COIN, COIN // 2)
    assert world.order(order).burned == COIN // 2


def test_hours_found_void_take_no_orders_and_end_none() -> None:
    """Who waits waits until its deadline, who was accepted is served or paid; the coins are
    covered by nothing, and so nothing burns."""
    world = new_world()
    first = world.active_order(13 * COIN, COIN // 2)
    accepted = world.requested(COIN, "accepted")
    world.run(world.accepts(accepted))
    until_ms = world.clock_ms + PERIOD_MS + 30_000
    waiting = world.requested(9 * COIN, "waits", queue_until_ms=until_ms)
    assert world.order(waiting).state is RedemptionState.QUEUED
    void(world)
    asked = world.asks(COIN, "new")
    assert world.reason(world.redeems(asked)) is Reason.COMMITMENT_OVER
    world.run(world.closes(first))
    late = world.posts(world.receipt(first, 2, COIN))
    assert world.reason(late) is Reason.NOT_HEALTHY
    world.next_period()
    assert world.order(waiting).state is RedemptionState.QUEUED
    world.run(world.readies(accepted))
    world.until(world.order(waiting).queue_until_ms + 1)
    assert world.order(waiting).state is RedemptionState.CANCELLED
    world.until(world.order(accepted).end_ms + 1)
    world.until(world.order(first).since_ms + world.draft.economy.closing_ms + 1)
    assert world.order(first).state is RedemptionState.SETTLED
    assert world.amount_of("carol") == 9 * COIN + COIN + 13 * COIN - COIN // 2
    assert world.book() is None


def test_hours_that_ended_with_an_order_open_cover_nothing() -> None:
    """All hours of the issuer were in it: what is delivered after their end burns nothing."""
    world = ending_world(15)
    assert world.reserve().reserve == 15 * 900_000
    order = world.requested(13 * COIN)
    world.run(world.accepts(order))
    world.run(world.readies(order))
    world.until(world.order(order).end_ms - 1)
    assert (world.capacity(), world.reserve().reserve) == (None, 0)
    assert world.reason(world.posts(world.receipt(order, 1, 5))) is Reason.NOT_HEALTHY


def two_commitments() -> RedemptionWorld:
    """val0 has hours for fifteen periods, and others for a month."""
    genesis = ending_world(15).genesis
    item = commitment("val0", name="more")
    item = replace(item, terms=replace(item.terms, region="us-east"))
    item = attest(genesis.nonce, item, {f"att-{group}": 900_000 for group in GROUPS})
    return RedemptionWorld(replace(genesis, commitments=(*genesis.commitments, item)))


def test_an_order_outlives_its_commitment() -> None:
    """Its issuer serves it at the factor of the request; what is delivered burns, and takes
    nothing of other hours: those of the order left when they were over."""
    world = two_commitments()
    world.until(world.clock_ms + 5 * PERIOD_MS)
    order = world.requested(8 * COIN)
    world.run(world.accepts(order))
    world.until(world.clock_ms + 11 * PERIOD_MS)
    assert world.capacity() is None
    world.run(world.readies(order))
    before = world.reserve()
    world.run(world.posts(world.receipt(order, 1, 7 * COIN)))
    after, held = world.reserve(), world.order(order)
    assert (held.burned, held.factor) == (7 * COIN, 1_000_000)
    assert (before.supply - after.supply, before.reserve - after.reserve) == (7 * COIN, 0)
    world.until(held.end_ms + world.draft.economy.closing_ms + 1)
    world.run()
    assert world.amount_of("carol") == COIN
    assert world.book() is None


def test_no_commitment_takes_the_name_of_one_that_has_open_orders() -> None:
    """An order outlives its commitment. Another one of that name might be of a class for which the
    standard has no factor: with whoever waits asked about that, no node could go on."""
    world = ending_world(3)
    order = waits(world, 30 * COIN, "session", 10)
    world.until(TIME_MS + 3 * PERIOD_MS + 1)
    assert (world.capacity(), world.order(order).state) == (None, RedemptionState.QUEUED)
    again = more(world, id="capacity-val0")
    assert world.reason(world.commits(again)) is Reason.COMMITMENT_EXISTS
    world.run(world.commits(replace(again, id="other")))
    world.run(world.cancels(order))
    world.run(world.commits(replace(again, region="ap-south")))
    assert world.capacity() is not None
