"""Disputes about an order: deposit, claim, panel, and who pays whom."""

from __future__ import annotations

import pytest

from ledger.economy.attestor import PANEL_SEATS
from ledger.economy.conduct import Conduct
from ledger.economy.dispute import DEPOSIT_LEAST, Dispute, deposit_needed
from ledger.economy.redemption import RedemptionState
from ledger.objects import load
from ledger.operations import RemoveAttestor, Suspend
from ledger.reasons import Reason
from ledger.redemption_operations import RuleRedemption
from ledger.times import HOUR_MS
from tests.ledger.economy_world import lasting, with_economy
from tests.ledger.redemption_world import RedemptionWorld
from tests.ledger.world import COIN, GROUPS, PANEL_GROUPS, key, make_genesis

ORDER = 10 * COIN
DELIVERED = 2 * COIN
LEFT = ORDER - DELIVERED
HOLDER, ISSUER = "session", "val0/metering"
CLAIMED = {HOLDER: DELIVERED, ISSUER: 5 * COIN}


def new_world() -> RedemptionWorld:
    """A panel has an hour: attestors need not vouch for the hours anew meanwhile."""
    return RedemptionWorld(with_economy(lasting(make_genesis(), 30), contest_ms=HOUR_MS))


def closing(world: RedemptionWorld) -> bytes:
    """Ten coins, of which two are delivered."""
    order = world.active_order(ORDER, DELIVERED)
    world.run(world.closes(order))
    return order


def disputed(world: RedemptionWorld, signer: str) -> bytes:
    order = closing(world)
    world.run(world.disputes(order, COIN, signer=signer, claimed=CLAIMED[signer]))
    return order


def dispute_of(world: RedemptionWorld, order: bytes) -> Dispute:
    held = load(world.state, Dispute, order)
    assert held is not None
    return held


def ruled(world: RedemptionWorld, order: bytes, *, upheld: bool) -> None:
    """Three of the panel say so, and it is carried out."""
    panel = dispute_of(world, order).panel
    world.run(*(world.rules(order, name, upheld=upheld) for name in panel[:3]))
    world.run()
    assert world.order(order).state is RedemptionState.RULED


def strikes(world: RedemptionWorld) -> int:
    held = load(world.state, Conduct, b"val0")
    return 0 if held is None else held.strikes


def coins_of(world: RedemptionWorld, *owners: str) -> list[int]:
    """In the coin of val1, in which deposits here are."""
    return [world.amount_of(owner, "val1") for owner in owners]


# Opening.


@pytest.mark.parametrize(("signer", "needed"), [(HOLDER, ORDER // 100), (ISSUER, 3 * COIN // 100)])
def test_the_deposit_is_one_percent_of_what_it_is_about(signer: str, needed: int) -> None:
    """For the holder the whole order, as its penalty is; for the issuer what it wants more."""
    world = new_world()
    order = closing(world)
    low = world.disputes(order, needed - 1, signer=signer, claimed=CLAIMED[signer])
    assert world.reason(low) is Reason.LOW_DEPOSIT
    world.run(world.disputes(order, needed, signer=signer, claimed=CLAIMED[signer]))
    held = dispute_of(world, order)
    assert (held.deposit, held.by_issuer) == (needed, signer == ISSUER)
    assert world.order(order).state is RedemptionState.DISPUTED


def test_a_deposit_is_never_nothing() -> None:
    """However little it is about, rounded up."""
    assert deposit_needed(1, 10_000) == DEPOSIT_LEAST
    assert deposit_needed(100 * DEPOSIT_LEAST + 1, 10_000) == DEPOSIT_LEAST + 1


@pytest.mark.parametrize(
    ("signer", "claimed"),
    [(HOLDER, DELIVERED + 1), (ISSUER, DELIVERED), (ISSUER, ORDER + 1)],
)
def test_what_is_claimed_lies_between_the_receipt_and_the_order(signer: str, claimed: int) -> None:
    """The holder was served no more than it signed for, the issuer wants more than that."""
    world = new_world()
    order = closing(world)
    tx = world.disputes(order, COIN, signer=signer, claimed=claimed)
    assert world.reason(tx) is Reason.ABOVE_ORDER


@pytest.mark.parametrize("claimed", [0, DELIVERED])
def test_a_receipt_before_it_keeps_no_holder_from_disputing(claimed: int) -> None:
    """What the holder says is of when it said so: a higher receipt, in the same block and before
    it, leaves it as it is. Upheld, what it signed for stays burned."""
    world = new_world()
    order = closing(world)
    dispute = world.disputes(order, COIN, claimed=claimed)
    world.run(world.posts(world.receipt(order, 2, 3 * COIN)), dispute)
    assert dispute_of(world, order).claimed == claimed
    ruled(world, order, upheld=True)
    assert world.order(order).burned == 3 * COIN
    assert (world.amount_of("carol"), strikes(world)) == (ORDER - 3 * COIN, 1)


def test_the_whole_order_may_be_claimed() -> None:
    world = new_world()
    order = closing(world)
    world.run(world.disputes(order, COIN, signer=ISSUER, claimed=ORDER))
    assert dispute_of(world, order).claimed == ORDER


def test_a_deposit_is_in_coins_of_an_issuer_that_is_not_in_trouble() -> None:
    """What the winner gets must be worth something."""
    world = new_world()
    order = closing(world)
    world.run(world.govern(Suspend("val1", 0)))
    assert world.reason(world.disputes(order, COIN)) is Reason.UNKNOWN_ASSET
    world.run(world.disputes(order, COIN, coin="val2"))


def test_only_the_two_sides_of_a_closing_order_dispute_it_once() -> None:
    world = new_world()
    order = world.active_order(ORDER, DELIVERED)
    assert world.reason(world.disputes(order, COIN)) is Reason.WRONG_STATE
    world.run(world.closes(order))
    for stranger in ("alice", "val0/operations", "val1/metering"):
        tx = world.disputes(order, COIN, signer=stranger)
        assert world.reason(tx) is Reason.WRONG_ROLE_KEY
    world.run(world.disputes(order, COIN))
    for signer in (HOLDER, ISSUER):
        tx = world.disputes(order, COIN, signer=signer, claimed=CLAIMED[signer])
        assert world.reason(tx) is Reason.WRONG_STATE


def test_a_dispute_about_an_order_that_nobody_has_is_none() -> None:
    world = new_world()
    closing(world)
    assert world.reason(world.disputes(bytes(32), COIN, claimed=0)) is Reason.UNKNOWN_REDEMPTION


def test_without_a_panel_there_is_no_dispute() -> None:
    """Three groups at least: with two left nobody could decide."""
    world = new_world()
    order = closing(world)
    names = [f"att-{group}" for group in (*PANEL_GROUPS, *GROUPS)]
    for name in names[:6]:
        world.run(world.govern(RemoveAttestor(name, 1)))
    assert world.reason(world.disputes(order, COIN)) is Reason.NO_PANEL


def test_the_panel_is_of_distinct_groups_and_drawn_by_the_block_before() -> None:
    """Five seats; another order of the same block has another."""
    world = new_world()
    orders = [closing(world)]
    asked = world.asks(COIN, "second")
    world.run(world.redeems(asked))
    orders.append(world.id_of(asked))
    world.run(world.accepts(orders[1]))
    world.run(world.readies(orders[1]))
    world.run(world.closes(orders[1], "second"))
    panels = []
    for order, session in zip(orders, ("session", "second"), strict=True):
        world.run(world.disputes(order, COIN, signer=session))
        panels.append(dispute_of(world, order).panel)
        assert len(set(panels[-1])) == PANEL_SEATS
    assert panels[0] != panels[1]


# Ruling.


def test_votes_are_those_of_the_panel() -> None:
    """Each once, under its own key, while it is drawn and licensed; others do not rule."""
    world = new_world()
    order = disputed(world, HOLDER)
    panel = dispute_of(world, order).panel
    everybody = {f"att-{group}" for group in (*GROUPS, *PANEL_GROUPS)}
    outside = min(everybody - set(panel))
    assert world.reason(world.rules(order, outside, upheld=True)) is Reason.NOT_ON_PANEL
    assert world.reason(world.rules(order, "att-nobody", upheld=True)) is Reason.UNKNOWN_ATTESTOR
    stolen = RuleRedemption(panel[0], key("bob").public, order, upheld=True)
    assert world.reason(world.does(stolen, "bob")) is Reason.WRONG_ROLE_KEY
    world.run(world.rules(order, panel[0], upheld=True))
    again = world.rules(order, panel[0], upheld=False)
    assert world.reason(again) is Reason.REPLAYED_OPERATION
    world.run(world.govern(RemoveAttestor(panel[1], 1)))
    gone = world.rules(order, panel[1], upheld=True)
    assert world.reason(gone) is Reason.UNKNOWN_ATTESTOR


def test_who_votes_after_three_agree_comes_too_late() -> None:
    """In the same block the panel has ruled; in the next the dispute is over."""
    world = new_world()
    order = disputed(world, HOLDER)
    *three, fourth = dispute_of(world, order).panel[:4]
    votes = [world.rules(order, name, upheld=True) for name in three]
    late = world.rules(order, fourth, upheld=True)
    assert world.reason(*votes, late) is Reason.REPLAYED_OPERATION
    world.run(*votes)
    assert world.reason(late) is Reason.UNKNOWN_DISPUTE


def test_an_order_that_nobody_disputes_is_not_ruled_on() -> None:
    world = new_world()
    order = closing(world)
    tx = world.rules(order, f"att-{PANEL_GROUPS[0]}", upheld=True)
    assert world.reason(tx) is Reason.UNKNOWN_DISPUTE


def test_a_holder_who_was_not_served_is_paid() -> None:
    """Upheld: its deposit back, what is left of the order, and a penalty; the issuer has a
    strike."""
    world = new_world()
    order = disputed(world, HOLDER)
    supply = world.reserve().supply
    ruled(world, order, upheld=True)
    assert world.amount_of("carol") == LEFT
    assert coins_of(world, "dave") == [COIN]
    penalty = world.amount_of("carol", "val1") + world.amount_of("carol", "val2")
    assert (penalty, strikes(world)) == (ORDER // 50, 1)
    assert world.reserve().supply == supply


def test_a_holder_who_disputes_falsely_loses_its_deposit_to_the_issuer() -> None:
    """Dismissed: the rest of the order is paid back as without it; no strike."""
    world = new_world()
    order = disputed(world, HOLDER)
    ruled(world, order, upheld=False)
    assert world.amount_of("carol") == LEFT
    assert coins_of(world, "dave", "carol", "val0/treasury") == [0, 0, COIN]
    assert strikes(world) == 0


def test_an_issuer_that_delivered_more_is_believed_by_its_meter() -> None:
    """Upheld: what it claimed burns, and its hours are gone; its deposit comes back."""
    world = new_world()
    order = disputed(world, ISSUER)
    supply = world.reserve().supply
    ruled(world, order, upheld=True)
    held, hours = world.order(order), world.capacity()
    assert (held.burned, held.number) == (CLAIMED[ISSUER], 1)
    assert supply - world.reserve().supply == CLAIMED[ISSUER] - DELIVERED
    assert hours is not None
    assert hours.delivered_of(world.draft.period) == CLAIMED[ISSUER]
    assert world.amount_of("carol") == ORDER - CLAIMED[ISSUER]
    assert (coins_of(world, "dave"), strikes(world)) == ([COIN], 0)


def test_an_issuer_that_claims_falsely_loses_its_deposit_to_the_holder() -> None:
    """And pays the penalty: else it would dispute first, for little, so that the holder cannot."""
    world = new_world()
    order = disputed(world, ISSUER)
    ruled(world, order, upheld=False)
    assert world.amount_of("carol") == LEFT
    penalty = ORDER // 50
    assert coins_of(world, "dave", "carol") == [0, COIN + penalty // 2]
    assert (world.order(order).burned, strikes(world)) == (DELIVERED, 1)


@pytest.mark.parametrize("signer", [HOLDER, ISSUER])
@pytest.mark.parametrize("votes", [0, 2])
def test_a_silent_panel_leaves_the_highest_receipt(signer: str, votes: int) -> None:
    """Two votes decide nothing: the deposit comes back, nobody pays."""
    world = new_world()
    order = disputed(world, signer)
    panel = dispute_of(world, order).panel
    world.run(*(world.rules(order, name, upheld=True) for name in panel[:votes]))
    world.run(world.posts(world.receipt(order, 2, 3 * COIN)))
    world.until(world.order(order).since_ms + world.draft.economy.contest_ms + 1)
    held = world.order(order)
    assert (held.state, held.burned) == (RedemptionState.RULED, 3 * COIN)
    assert world.amount_of("carol") == ORDER - 3 * COIN
    assert coins_of(world, "dave", "carol", "val0/treasury") == [COIN, 0, 0]
    assert strikes(world) == 0


def test_receipts_that_reach_the_claim_make_it_needless() -> None:
    """A higher one came while the panel sat: upheld, nothing more burns."""
    world = new_world()
    order = disputed(world, ISSUER)
    world.run(world.posts(world.receipt(order, 2, CLAIMED[ISSUER] + 7)))
    supply = world.reserve().supply
    ruled(world, order, upheld=True)
    assert world.reserve().supply == supply
    assert world.amount_of("carol") == ORDER - CLAIMED[ISSUER] - 7
