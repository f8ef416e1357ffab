"""Receipts: cumulative words of the holder; which count, what they move, and who can make them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.codec import UINT_MAX, decode, encode
from ledger.economy.book import ORDERS_OF_COMMITMENT_MAX
from ledger.economy.capacity import MICROHOURS_MAX
from ledger.economy.redemption import (
    Rate,
    Receipt,
    Redemption,
    RedemptionState,
    at_better,
    check_receipt,
    consumed,
    cost_of,
    deliverable,
    hours_delivered,
    hours_needed,
    posted,
    receipt_hash,
)
from ledger.economy.reserve import Solvency
from ledger.economy.standard import FACTOR_MAX, UNITS_MAX
from ledger.operations import Burn
from ledger.parameters import PPM
from ledger.reasons import Invalid, Reason
from ledger.redemption_operations import PostReceipt
from ledger.transaction import SignedTransaction
from tests.ledger.economy_world import lasting
from tests.ledger.redemption_world import (
    CERTIFICATE,
    ENDPOINT,
    METER,
    RedemptionWorld,
    ending_world,
    new_world,
)
from tests.ledger.world import (
    COIN,
    key,
    lock_of,
    make_genesis,
)

replace = msgspec.structs.replace
factors = st.integers(1, FACTOR_MAX)
amounts = st.integers(1, 1 << 50)


# Which count.


def test_the_first_receipt_begins_the_session() -> None:
    """And says what the meter says."""
    world = new_world()
    order = world.ready_order()
    receipt = world.receipt(order, 3, COIN // 2, microhours=77)
    world.run(world.posts(receipt))
    held = world.order(order)
    assert held.state is RedemptionState.ACTIVE
    assert (held.number, held.burned, held.used_microhours) == (3, COIN // 2, 77)
    assert held.meter_root == receipt.meter_root


def test_a_receipt_says_all_so_far() -> None:
    """Of each only what it adds is burned; one that was left out is missed by nobody."""
    world = new_world()
    supply = world.reserve().supply
    order = world.ready_order()
    for number, delivered in ((1, 100), (2, 250), (9, 700_000)):
        world.run(world.posts(world.receipt(order, number, delivered)))
        assert world.order(order).burned == delivered
        assert supply - world.reserve().supply == delivered


@pytest.mark.parametrize(
    ("number", "delivered", "microhours"),
    [(5, 500, 500), (4, 600, 600), (6, 500, 600), (6, 499, 600), (6, 600, 499)],
    ids=["the same", "a lower number", "nothing more", "less", "fewer hours"],
)
def test_late_and_repeated_receipts_are_stale(number: int, delivered: int, microhours: int) -> None:
    """A higher number with more delivered, in no less device time."""
    world = new_world()
    order = world.ready_order()
    world.run(world.posts(world.receipt(order, 5, 500)))
    late = world.receipt(order, number, delivered, microhours=microhours)
    assert world.reason(world.posts(late)) is Reason.STALE_RECEIPT
    world.run(world.posts(world.receipt(order, 6, 501, microhours=500)))


def test_receipts_out_of_order_end_at_the_highest() -> None:
    """Within a block too: the older of two is stale after the newer one."""
    world = new_world()
    order = world.ready_order()
    first, second = (world.posts(world.receipt(order, n, 100 * n)) for n in (1, 2))
    assert world.reason(second, first) is Reason.STALE_RECEIPT
    world.run(first, second)
    assert world.order(order).burned == 200


def test_nothing_is_delivered_beyond_the_order() -> None:
    """All of it may be, a millionth more not."""
    world = new_world()
    order = world.ready_order()
    above = world.posts(world.receipt(order, 1, COIN + 1))
    assert world.reason(above) is Reason.ABOVE_ORDER
    world.run(world.posts(world.receipt(order, 1, COIN)))
    held = world.order(order)
    assert (held.remaining, held.reserved) == (0, 0)
    world.until(held.end_ms + world.draft.economy.closing_ms + 1)
    world.run()
    assert world.order(order).state is RedemptionState.SETTLED
    assert world.amount_of("carol") == 0


def test_a_closing_session_takes_a_higher_receipt() -> None:
    """What closing it is for: it stays closing, since when it was."""
    world = new_world()
    order = world.active_order(COIN, 100)
    world.run(world.closes(order))
    since_ms = world.order(order).since_ms
    world.run(world.posts(world.receipt(order, 2, 300)))
    held = world.order(order)
    assert (held.state, held.since_ms, held.burned) == (RedemptionState.CLOSING, since_ms, 300)


def test_a_service_closed_before_it_began_takes_a_receipt() -> None:
    """Who closes at once pays for what was signed before."""
    world = new_world()
    order = world.ready_order()
    world.run(world.closes(order))
    world.run(world.posts(world.receipt(order, 1, 300)))
    assert world.order(order).burned == 300


def test_a_receipt_for_another_order_is_its_own() -> None:
    """It counts for the order that it names, under that order's session key."""
    world = new_world()
    one, two = world.ready_order(COIN, "one"), world.ready_order(COIN, "two")
    receipt = world.receipt(one, 1, 100)
    assert world.reason(world.posts(receipt, "two")) is Reason.BAD_RECEIPT
    world.run(world.posts(receipt, "one"))
    assert (world.order(one).burned, world.order(two).burned) == (100, 0)


def moved(world: RedemptionWorld, made: PostReceipt, **changes: object) -> SignedTransaction:
    return world.does(replace(made, **changes), "val0/metering")


def test_a_receipt_is_the_word_of_the_session_key_alone() -> None:
    """Of another chain, of another number or amount: the signature is not for that. Checked with
    the transaction's own, before anybody looks at a state."""
    world = new_world()
    order = world.ready_order()
    receipt, holder = world.receipt(order, 1, 100), key("session")
    good = PostReceipt(
        "val0",
        key("val0/metering").public,
        receipt,
        holder.public,
        holder.sign(receipt_hash(world.chain_id, receipt)),
    )
    foreign = holder.sign(receipt_hash(bytes(32), receipt))
    for tx in (
        moved(world, good, signature=foreign),
        moved(world, good, signature=bytes(64)),
        moved(world, good, receipt=replace(receipt, number=2)),
        moved(world, good, receipt=replace(receipt, delivered=101)),
        moved(world, good, receipt=replace(receipt, microhours=1)),
        moved(world, good, receipt=replace(receipt, order=bytes(32))),
        moved(world, good, receipt=replace(receipt, meter_root=bytes(32))),
        moved(world, good, session_key=key("bob").public),
    ):
        with pytest.raises(Invalid) as caught:
            world.run(tx)
        assert caught.value.reason is Reason.BAD_SIGNATURE
    world.run(moved(world, good))


# Stolen keys.


def test_a_stolen_session_key_moves_no_coin() -> None:
    """It cancels, closes, and signs receipts that only the issuer can post. What is paid back goes
    to the holder's lock, which stands in the order."""
    world = new_world()
    first = world.requested(COIN, "stolen")
    world.run(world.cancels(first, "stolen"))
    world.run()
    assert world.amount_of("carol") == COIN
    order = world.ready_order(COIN + 1, "stolen")
    for signer in ("stolen", "bob"):
        tx = world.posts(world.receipt(order, 1, 100), "stolen", signer)
        assert world.reason(tx) is Reason.WRONG_ROLE_KEY
    assert world.reason(world.accepts(order, "stolen")) is Reason.WRONG_ROLE_KEY
    assert world.reason(world.readies(order, "stolen")) is Reason.WRONG_ROLE_KEY
    world.run(world.closes(order, "stolen"))
    world.until(world.clock_ms + world.draft.economy.closing_ms + 1)
    assert world.amount_of("carol") == 2 * COIN + 1


def test_a_session_key_opens_no_other_order() -> None:
    """A fresh one for each."""
    world = new_world()
    one, two = world.ready_order(COIN, "one"), world.ready_order(COIN, "two")
    assert world.reason(world.closes(two, "one")) is Reason.WRONG_ROLE_KEY
    assert world.reason(world.posts(world.receipt(two, 1, 9), "one")) is Reason.BAD_RECEIPT
    world.run(world.closes(one, "one"))
    assert world.reason(world.disputes(one, COIN, signer="two")) is Reason.WRONG_ROLE_KEY


def test_a_stolen_metering_key_burns_nothing_without_the_holder() -> None:
    """It closes sessions, and disputes with a deposit of its own; a receipt it cannot sign."""
    world = new_world()
    order = world.active_order(COIN, 100)
    forged = world.posts(world.receipt(order, 2, COIN), "val0/metering")
    assert world.reason(forged) is Reason.BAD_RECEIPT
    assert world.reason(world.accepts(order, "val0/metering")) is Reason.WRONG_ROLE_KEY
    world.run(world.closes(order, "val0/metering"))
    world.until(world.clock_ms + world.draft.economy.closing_ms + 1)
    assert world.amount_of("carol") == COIN - 100


# Rounding.


@given(amount=amounts, factor=factors, cuts=st.lists(st.floats(0, 1), max_size=8))
def test_an_order_keeps_enough_hours_for_all_that_is_delivered(
    amount: int, factor: int, cuts: list[float]
) -> None:
    """Hours are rounded up for the order and down for each receipt: what they take never passes
    what is kept, and all that is kept comes free with the last."""
    parts = sorted({int(amount * cut) for cut in cuts} | {amount})
    taken = before = 0
    for part in parts:
        taken += hours_delivered(part - before, factor)
        before = part
        assert hours_needed(amount, factor) - hours_delivered(part, factor) >= 0
    assert taken <= hours_needed(amount, factor)


@given(
    worth=st.integers(0, 1 << 60),
    delivered=amounts,
    factor=factors,
    cut=st.integers(0, PPM),
)
def test_a_receipt_takes_no_more_of_the_reserve_than_it_burns(
    worth: int, delivered: int, factor: int, cut: int
) -> None:
    """`worth` is the reserve in millionths of µ before it is floored. An hour counts for no more
    there than the order's factor: the least of all workloads, and falling ever since."""
    counts = factor - factor * cut // PPM
    hours = hours_delivered(delivered, factor)
    assert (worth - hours * counts) // PPM >= worth // PPM - delivered


@given(
    covered=st.integers(1, 1 << 50),
    more=st.integers(1, 1 << 50),
    remaining=amounts,
)
def test_what_an_order_can_deliver_it_has_the_coins_for(
    covered: int, more: int, remaining: int
) -> None:
    """floor(a R / O) costs no more than a; one more costs more than there is."""
    outstanding = covered + more
    most = deliverable(remaining, covered, outstanding)
    assert cost_of(most, covered, outstanding) <= remaining
    assert cost_of(most + 1, covered, outstanding) > remaining


ORDER = Redemption(
    id=bytes(32),
    issuer="val0",
    commitment="capacity-val0",
    workload="training",
    asset=bytes(32),
    amount=COIN,
    burned=0,
    residual=0,
    state=RedemptionState.ACTIVE,
    since_ms=0,
    is_paid=False,
    session_key=key("session").public,
    refund_lock=lock_of("carol"),
    factor=PPM,
    units=4_000,
    microhours=COIN,
    start_by_ms=1,
    end_ms=2,
    queue_until_ms=0,
    place=0,
    endpoint=ENDPOINT,
    session_hash=CERTIFICATE,
    number=0,
    used_microhours=0,
    meter_root=METER,
)


@given(amount=amounts, factor=factors, numbers=st.lists(st.integers(1, 1 << 50), min_size=1))
def test_coins_of_an_order_are_burned_claimed_or_left(
    amount: int, factor: int, numbers: list[int]
) -> None:
    """Whatever receipts come in, with any share: no coin is lost or made, none counts twice, and of
    device time no more counts than of what was delivered."""
    held = replace(ORDER, amount=amount, factor=factor)
    for number, delivered in enumerate(numbers, 1):
        share = (number, number + 1)
        made = Receipt(held.id, number, delivered, 2 * delivered, METER)
        try:
            check_receipt(held, made)
            fresh = min(delivered - held.burned, deliverable(held.remaining, *share))
            after = posted(held, consumed(held, fresh, cost_of(fresh, *share)), made)
        except Invalid as refused:
            assert refused.reason in (
                Reason.STALE_RECEIPT,
                Reason.ABOVE_ORDER,
                Reason.NOT_HEALTHY,
            )
            continue
        assert held.remaining - after.remaining == cost_of(fresh, *share)
        assert after.burned + after.residual + after.remaining == amount
        assert after.remaining >= 0 and after.number == number
        assert after.used_microhours <= 2 * after.burned
        held = after


@given(st.integers(1, MICROHOURS_MAX // 100), st.integers(1, 100))
def test_a_lower_factor_is_better_for_the_holder(amount: int, share: int) -> None:
    """More hours and units for the same coins. A higher factor, and a lower throughput, change
    nothing."""
    held = replace(ORDER, amount=amount, factor=PPM, microhours=amount)
    better = at_better(held, Rate(PPM * share // 100, 5_000))
    assert (better.microhours, better.units) == (-(-amount * 100 // share), 5_000)
    assert at_better(better, Rate(PPM, 4_000)) == better


@given(
    hours=st.integers(1, MICROHOURS_MAX),
    factor=st.sampled_from([1, PPM, FACTOR_MAX]) | factors,
    steps=st.lists(st.tuples(factors, st.integers(1, UNITS_MAX)), min_size=1, max_size=8),
)
@example(MICROHOURS_MAX, FACTOR_MAX, [(1, UNITS_MAX)])
def test_no_steps_make_hours_that_an_order_cannot_hold(
    hours: int, factor: int, steps: list[tuple[int, int]]
) -> None:
    """However far factors fall while an order is open: it can be read again, so that no block
    raises, and a whole book of such orders too. It keeps what it has where the better would be more
    than any commitment can promise, and has it where it is not."""
    amount = max(1, hours * factor // PPM)
    held = replace(ORDER, amount=amount, factor=factor, microhours=hours_needed(amount, factor))
    for rate in (Rate(*step) for step in steps):
        after = at_better(held, rate)
        assert decode(encode(after), Redemption, size_max=1_000) == after
        least = min(held.factor, rate.factor)
        if hours_needed(amount, least) <= MICROHOURS_MAX:
            assert (after.factor, after.units) == (least, max(held.units, rate.units))
        else:
            assert after == held
        assert after.microhours == hours_needed(amount, after.factor)
        assert ORDERS_OF_COMMITMENT_MAX * after.microhours <= UINT_MAX
        held = after


def test_coins_that_are_just_covered_stay_so() -> None:
    """A coin of hours at a factor of one and a half; all coins are covered to the last one. Two
    receipts of a millionth each, in two periods: floored on their sum the second would take more
    of the reserve than it burns."""
    world = ending_world(1_926, ("inference",))
    order = world.ready_order(COIN, workload="inference")
    world.run(world.posts(world.receipt(order, 1, 1)))
    covered = 900_000 * 3 // 2 * 1_925
    spare = world.reserve().supply - covered
    world.run(world.spends("alice", Burn(world.asset(), spare), spare))
    world.next_period()
    assert (world.reserve().supply, world.reserve().reserve) == (covered, covered)
    for delivered in (2, 3, 4):
        world.run(world.posts(world.receipt(order, delivered, delivered)))
        held = world.reserve()
        assert held.supply <= held.reserve
        assert held.solvency is Solvency.WARN


def test_an_odd_factor_leaves_coins_covered_whenever_receipts_come() -> None:
    """A millionth is no whole number of µh: over two periods each receipt takes what it burns, or
    less."""
    made = lasting(make_genesis(), 30)
    odd = tuple(replace(item, factor=300_000_007) for item in made.standard)
    world = RedemptionWorld(replace(made, standard=odd))
    order = world.ready_order()
    for number in range(1, 8):
        if number == 4:
            world.next_period()
        before = world.reserve()
        world.run(world.posts(world.receipt(order, number, number * 137)))
        now = world.reserve()
        assert before.supply - now.supply == 137
        assert before.reserve - now.reserve <= 137
