"""Orders of an issuer in deficit: each brings the same share, whoever comes first; the rest is a
claim that becomes coins again once all of them are covered."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import redeeming
from ledger.economy.challenge import Challenge
from ledger.economy.dispute import Dispute
from ledger.economy.licence import LicenceState
from ledger.economy.redemption import RedemptionState, cost_of
from ledger.economy.reserve import Reserve, Solvency, margin_limit
from ledger.economy.residual import ResidualClaim
from ledger.economy.throughput import Throughput
from ledger.objects import load, load_all
from ledger.operations import Burn, Operation, WindDown
from ledger.reasons import Reason
from ledger.redemption_operations import Redeem
from ledger.transaction import Fee, Output, SignedTransaction
from tests.ledger.economy_world import FEE, proposed, short_lived, with_economy
from tests.ledger.redemption_world import RedemptionWorld
from tests.ledger.test_challenges import challenges, rules
from tests.ledger.world import (
    COIN,
    GROUPS,
    PANEL_GROUPS,
    PERIOD_MS,
    attest,
    commitment,
    key,
    lock_of,
    sign,
)

replace = msgspec.structs.replace
HOLDERS = ("one", "two", "three")


def poor_world(days: int = 1, **economy: int) -> RedemptionWorld:
    """val0 has 4,000 coins outstanding and hours worth 1,296 a day."""
    return RedemptionWorld(with_economy(short_lived(days).genesis, **economy))


def claim_of(world: RedemptionWorld, owner: str) -> int:
    identity = ResidualClaim.identity("val0", lock_of(owner))
    held = load(world.state, ResidualClaim, identity)
    return 0 if held is None else held.amount


def burns(world: RedemptionWorld, amount: int) -> None:
    world.run(world.spends("alice", Burn(world.asset(), amount), amount))


def is_no_less_covered(after: Reserve, before: Reserve) -> bool:
    return after.reserve * before.supply >= before.reserve * after.supply


def winds_down(world: RedemptionWorld) -> SignedTransaction:
    signer = "val0/operations"
    return world.does(WindDown("val0", key(signer).public, 0), signer)


# The share.


def test_a_delivery_takes_what_covers_it() -> None:
    """A coin of hours costs O/R coins of the order, rounded up: one burns, the rest is a claim of
    the refund lock, which is outstanding no more. R falls by the coin alone."""
    world = poor_world()
    order = world.ready_order(10 * COIN)
    before = world.reserve()
    assert (before.batch_reserve, before.batch_supply) == (before.reserve, before.supply)
    world.run(world.posts(world.receipt(order, 1, COIN // 2)))
    held, after = world.order(order), world.reserve()
    cost = -(-COIN // 2 * before.supply // before.reserve)
    assert (held.burned, held.residual) == (COIN // 2, cost - COIN // 2)
    assert (before.supply - after.supply, before.reserve - after.reserve) == (cost, COIN // 2)
    assert after.residual == claim_of(world, "carol") == cost - COIN // 2
    assert is_no_less_covered(after, before)


def test_an_order_brings_no_more_than_its_share() -> None:
    """floor(a R / O), and not a millionth more, whatever the receipt says; what that leaves is less
    than one costs."""
    world = poor_world()
    order = world.ready_order(10 * COIN)
    held = world.reserve()
    most = 10 * COIN * held.reserve // held.supply
    world.run(world.posts(world.receipt(order, 1, most + 1)))
    assert world.order(order).burned == most
    assert world.order(order).remaining < -(-held.supply // held.reserve)
    above = world.posts(world.receipt(order, 2, 10 * COIN + 1))
    assert world.reason(above) is Reason.ABOVE_ORDER


def void(world: RedemptionWorld) -> None:
    """A panel finds that the hours of "more" are not there."""
    world.run(challenges(world, 389 * COIN, name="more"))
    held = load(world.state, Challenge, b"val0\0more")
    assert held is not None
    seated = [group for group in PANEL_GROUPS if f"att-{group}" in held.panel]
    world.run(*(rules(world, group, upheld=True, of="more") for group in seated[:3]))
    world.run()


def test_a_receipt_signed_before_a_deficit_deepened_counts_as_far_as_coins_reach() -> None:
    """All was delivered and signed for when the coins were covered; before it was posted they were
    no more. It is taken: what the coins bring is burned, with its share of the time, and as much of
    the throughput; all else is a claim. What follows counts for nothing, until a coin brings
    something again."""
    world = two_commitments()
    order = world.ready_order(10 * COIN)
    world.run(world.posts(world.receipt(order, 1, 2 * COIN)))
    signed = world.receipt(order, 4, 10 * COIN)
    void(world)
    share, before = world.reserve(), world.order(order)
    world.run(world.posts(signed))
    held, after = world.order(order), world.reserve()
    counted = 8 * COIN * share.batch_reserve // share.batch_supply
    assert 0 < counted < 8 * COIN
    assert (held.burned, held.number) == (2 * COIN + counted, 4)
    assert held.used_microhours == held.burned
    assert load_all(world.state, Throughput) == [
        Throughput("gpu-80g", "training", held.burned, held.burned)
    ]
    assert held.burned + held.residual + held.remaining == 10 * COIN
    assert held.remaining < -(-share.batch_supply // share.batch_reserve)
    assert share.supply - after.supply == before.remaining - held.remaining
    assert share.residual + held.residual == after.residual == claim_of(world, "carol")
    assert is_no_less_covered(after, share)
    late = world.receipt(order, 5, 10 * COIN)
    assert world.reason(world.posts(late)) is Reason.NOT_HEALTHY


def test_claims_of_one_lock_add_up() -> None:
    """Over receipts and over orders."""
    world = poor_world()
    orders = [world.ready_order(COIN, name) for name in HOLDERS]
    for order, name in zip(orders, HOLDERS, strict=True):
        world.run(world.posts(world.receipt(order, 1, 1_000), name))
        world.run(world.posts(world.receipt(order, 2, 2_001), name))
    held = [world.order(order) for order in orders]
    assert claim_of(world, "carol") == sum(item.residual for item in held)
    assert len({item.residual for item in held}) == 1


def test_the_share_is_read_anew_each_period() -> None:
    """Hours passed: what is left covers less."""
    world = poor_world()
    order = world.ready_order(10 * COIN)
    world.run(world.posts(world.receipt(order, 1, 1_000)))
    first = world.reserve()
    world.next_period()
    now = world.reserve()
    assert (now.batch_reserve, now.batch_supply) == (now.reserve, now.supply)
    assert not is_no_less_covered(now, first)


def test_coins_covered_again_bring_all_from_the_next_period_on() -> None:
    """For the period that began in deficit its share stands."""
    world = poor_world(3)
    order = world.ready_order(10 * COIN)
    burns(world, 500 * COIN)
    assert world.reserve().solvency is Solvency.WARN
    world.run(world.posts(world.receipt(order, 1, 1_000)))
    residual = world.order(order).residual
    assert residual > 0
    world.next_period()
    assert world.reserve().batch_supply == 0
    world.run(world.posts(world.receipt(order, 2, 2_000)))
    assert world.order(order).residual == residual


def two_commitments() -> RedemptionWorld:
    """val0 has hours for a day, and others for a month that nobody believes for long."""
    genesis = short_lived(1).genesis
    item = commitment("val0", name="more")
    item = replace(item, terms=replace(item.terms, region="us-east"))
    item = attest(genesis.nonce, item, {f"att-{group}": 900_000 for group in GROUPS})
    return RedemptionWorld(replace(genesis, commitments=(*genesis.commitments, item)))


def test_a_deficit_within_a_period_is_shared_at_once() -> None:
    """A panel finds hours void: who is served in the rest of the period takes nothing of the
    others, and gets what they get."""
    world = two_commitments()
    order = world.ready_order(10 * COIN)
    assert world.reserve().batch_supply == 0
    void(world)
    before = world.reserve()
    assert (before.solvency, world.clock_ms // PERIOD_MS) == (
        Solvency.DEFICIT,
        before.since_ms // PERIOD_MS,
    )
    world.run(world.posts(world.receipt(order, 1, COIN // 2)))
    after = world.reserve()
    assert before.supply - after.supply == cost_of(COIN // 2, before.reserve, before.supply)
    assert is_no_less_covered(after, before)


def test_what_a_panel_found_delivered_counts_as_far_as_coins_reach() -> None:
    """The issuer claims the whole order: its share of it burns, the rest is a claim."""
    world = poor_world()
    order = world.ready_order(10 * COIN)
    world.run(world.closes(order))
    world.run(world.disputes(order, COIN, signer="val0/metering", claimed=10 * COIN))
    opened = load(world.state, Dispute, order)
    assert opened is not None
    share = world.reserve()
    world.run(*(world.rules(order, name, upheld=True) for name in opened.panel[:3]))
    world.run()
    held = world.order(order)
    assert held.state is RedemptionState.RULED
    assert held.burned == 10 * COIN * share.batch_reserve // share.batch_supply
    assert held.residual == claim_of(world, "carol") > 0
    assert held.remaining == world.amount_of("carol") < 10


def test_caged_orders_are_served_as_in_deficit() -> None:
    """Wound down for too long: no minting, and the same share for all; its claims stay claims."""
    world = poor_world(3, winddown_ms=PERIOD_MS)
    world.run(winds_down(world))
    world.until(world.clock_ms + 2 * PERIOD_MS)
    world.next_period()
    assert world.reserve().solvency is Solvency.CAGED
    order = world.ready_order(10 * COIN)
    before = world.reserve()
    world.run(world.posts(world.receipt(order, 1, COIN // 2)))
    assert is_no_less_covered(world.reserve(), before)
    claim = claim_of(world, "carol")
    assert claim > 0
    burns(world, 500 * COIN)
    world.next_period()
    held = world.reserve()
    assert held.supply + held.residual < held.reserve
    assert claim_of(world, "carol") == claim


# No ordering beats another.


@given(
    covered=st.integers(1, 1 << 45),
    more=st.integers(1, 1 << 45),
    deliveries=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 1 << 30)), max_size=30),
    data=st.data(),
)
def test_shares_do_not_depend_on_who_comes_first(
    covered: int, more: int, deliveries: list[tuple[int, int]], data: st.DataObject
) -> None:
    """Figures alone: each delivery leaves the coverage of all others no lower, and what each
    holder pays is what it was delivered times O/R, but for a millionth a receipt."""
    outstanding = covered + more
    paid: dict[int, int] = {}
    left, hours = outstanding, covered
    for holder, delivered in data.draw(st.permutations(deliveries)):
        cost = cost_of(delivered, covered, outstanding)
        if delivered > hours or cost > left:
            continue
        assert (hours - delivered) * left >= hours * (left - cost)
        left, hours = left - cost, hours - delivered
        paid[holder] = paid.get(holder, 0) + cost * covered - delivered * outstanding
    for holder, rounding in paid.items():
        count = sum(other == holder for other, _ in deliveries)
        assert 0 <= rounding < count * covered


def three_orders() -> tuple[RedemptionWorld, list[bytes]]:
    world = poor_world()
    return world, [world.ready_order(4 * COIN, name) for name in HOLDERS]


WORLD, ORDERS = three_orders()
START = WORLD.state.copy()
parts = st.lists(st.integers(1, 300_000), min_size=1, max_size=3)


@settings(max_examples=25, deadline=None)
@given(wanted=st.tuples(parts, parts, parts), data=st.data())
def test_no_ordering_of_holders_beats_another(
    wanted: tuple[list[int], list[int], list[int]], data: st.DataObject
) -> None:
    """Three orders of a state, their receipts in any interleaving, a block each: coverage of all
    that is left never falls, and each holder has the same of what it was delivered."""
    WORLD.state = START.copy()
    share = WORLD.reserve()
    steps = [holder for holder, items in enumerate(wanted) for _ in items]
    done = [0, 0, 0]
    for holder in data.draw(st.permutations(steps)):
        done[holder] += 1
        total = sum(wanted[holder][: done[holder]])
        before = WORLD.reserve()
        receipt = WORLD.receipt(ORDERS[holder], done[holder], total)
        WORLD.advance([WORLD.posts(receipt, HOLDERS[holder])])
        assert is_no_less_covered(WORLD.reserve(), before)
    WORLD.run()
    for holder, order in enumerate(ORDERS):
        held = WORLD.order(order)
        assert held.burned == sum(wanted[holder])
        exact = held.burned * share.supply
        paid = (held.burned + held.residual) * share.reserve
        assert 0 <= paid - exact < done[holder] * share.reserve


# Claims.


def claimed(world: RedemptionWorld, delivered: int = COIN // 2) -> int:
    """An order that left a claim, closed; the claim."""
    order = world.ready_order(10 * COIN)
    world.run(world.posts(world.receipt(order, 1, delivered)))
    world.run(world.closes(order))
    return claim_of(world, "carol")


def test_claims_return_as_coins_once_all_are_covered() -> None:
    """At a period's start: all that there are, to the lock that has them."""
    world = poor_world(3)
    claim = claimed(world)
    burns(world, 500 * COIN)
    before = world.reserve()
    assert (before.residual, world.amount_of("carol")) == (claim, 0)
    world.next_period()
    after = world.reserve()
    assert (after.residual, after.supply) == (0, before.supply + claim)
    assert (claim_of(world, "carol"), world.amount_of("carol")) == (0, claim)
    assert after.supply <= after.reserve


def test_claims_wait_until_they_are_covered_beside_all_coins() -> None:
    """Coins alone are not enough: a claim that returned would uncover them again. To the last
    millionth."""
    world = poor_world(3)
    claim = claimed(world)
    held = world.reserve()
    next_reserve = held.reserve - 900_000 + COIN // 2
    burns(world, held.supply + claim - next_reserve - 1)
    world.next_period()
    held = world.reserve()
    assert held.supply + claim == held.reserve + 1
    assert (held.solvency, held.residual) == (Solvency.WARN, claim)
    burns(world, 900_000 + 1)
    world.next_period()
    held = world.reserve()
    assert (held.supply, held.residual) == (held.reserve, 0)


def test_claims_do_not_return_in_deficit() -> None:
    """However long: they rank with what is not covered."""
    world = poor_world()
    claim = claimed(world)
    for _ in range(3):
        world.next_period()
    assert (world.reserve().residual, claim_of(world, "carol")) == (claim, claim)


def test_so_many_claims_return_a_period(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest in the next; of all issuers together."""
    monkeypatch.setattr(redeeming, "RESIDUALS_A_PERIOD", 2)
    world = poor_world(3)
    owners = ("carol", "dave", "erin")
    for owner in owners:
        order = world.ready_order(COIN, owner, refund_lock=lock_of(owner))
        world.run(world.posts(world.receipt(order, 1, 100_000), owner))
    total = world.reserve().residual
    burns(world, 500 * COIN)
    world.next_period()
    left = [owner for owner in owners if claim_of(world, owner)]
    assert len(left) == 1
    assert world.reserve().residual == claim_of(world, left[0]) == total // 3
    world.next_period()
    assert world.reserve().residual == 0
    assert [world.amount_of(owner) for owner in owners] == [total // 3] * 3


def test_nothing_is_minted_into_what_claims_need() -> None:
    """New hours cure the issuer: until its claims are coins again they count as such."""
    world = poor_world()
    claim = claimed(world)
    proposed(world)
    world.run(*(world.attests(group, "val0", of="more") for group in GROUPS))
    held = world.reserve()
    assert (held.solvency, held.residual) == (Solvency.HEALTHY, claim)
    spare = margin_limit(held.reserve, 200_000) - held.supply - claim
    found = world.refusal(world.minting("val0", spare + 1))
    assert found.reason is Reason.ABOVE_HEADROOM


def pays_elsewhere(
    world: RedemptionWorld, owner: str, operation: Operation, amount: int
) -> SignedTransaction:
    """Of the owner's largest coin of val0, the fee in coins of val1."""
    coin, fee = world.coin(owner), world.coin(owner if owner != "carol" else "alice", "val1")
    payer = owner if owner != "carol" else "alice"
    outputs = [Output(fee.asset, fee.amount - FEE, lock_of(payer))]
    if coin.amount > amount:
        outputs.append(Output(coin.asset, coin.amount - amount, lock_of(owner)))
    body = world.body([coin, fee], outputs, fee=Fee(fee.asset, FEE), operations=[operation])
    return sign(body, [owner, payer])


def burns_all(world: RedemptionWorld, owner: str) -> None:
    amount = world.coin(owner).amount
    world.run(pays_elsewhere(world, owner, Burn(world.asset(), amount), amount))


def test_who_winds_down_is_not_closed_while_claims_stand() -> None:
    """All coins are gone but for a claim: it comes back, and when that is burned it is over."""
    genesis = short_lived(1).genesis
    bonds = tuple(item for item in genesis.bonds if item.coin != "val0")
    world = RedemptionWorld(replace(genesis, bonds=bonds))
    asked: Redeem = world.asks(COIN)
    order = world.id_of(asked)
    world.run(pays_elsewhere(world, "alice", asked, COIN))
    world.run(world.accepts(order))
    world.run(world.readies(order))
    world.run(world.posts(world.receipt(order, 1, COIN // 4)))
    world.run(world.closes(order))
    world.until(world.clock_ms + world.draft.economy.closing_ms + 1)
    for owner in ("alice", "bob", "carol"):
        burns_all(world, owner)
    claim = claim_of(world, "carol")
    assert (world.reserve().supply, world.reserve().residual) == (0, claim)
    world.run(winds_down(world))
    world.next_period()
    assert world.licence("val0").state is LicenceState.WINDDOWN
    assert world.amount_of("carol") == claim > 0
    burns_all(world, "carol")
    world.next_period()
    assert world.licence("val0").state is LicenceState.CLOSED
