"""What orders change around them: the book, the reserve, the bond; and what the system does to
them when a deadline passes.

An order is written in one way only (`write`), so that its hours are always in the book, and none
that ended still holds any. Money leaves it in two: `deliver` burns what was delivered, and what is
left is given back once, when it becomes paid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

import msgspec

from ledger.backing import Yardstick
from ledger.draft import Draft
from ledger.economy import book, capacity, conduct, redemption, throughput
from ledger.economy.bond import Bond, slash
from ledger.economy.book import Book, Place
from ledger.economy.capacity import CapacityCommitment
from ledger.economy.conduct import Conduct
from ledger.economy.panel import Verdict
from ledger.economy.redemption import Rate, Redemption, RedemptionState
from ledger.economy.reserve import Reserve, Solvency
from ledger.economy.residual import ResidualClaim
from ledger.economy.standard import Standard, factor_table, units_table
from ledger.economy.throughput import Throughput
from ledger.locks import Key, lock_hash
from ledger.objects import decode, key_of
from ledger.registers import BOOKS, COMMITMENTS, DISPUTES, LICENCES, REDEMPTIONS, RESERVES, name
from ledger.schema import DamagedChain
from ledger.transaction import Output

QUEUE_ASKED_MAX = 64
"""Orders that wait and are asked about in one step of the sweep, in 5 to 13 ms, 25 on a busy
machine (bench/redemption.py); the rest in the next block."""
RESIDUALS_A_PERIOD = 1_024
"""Claims that turn into coins again at one period's start."""


def write(draft: Draft, before: Redemption | None, after: Redemption) -> None:
    """Store an order, and what it keeps in its commitment's book."""
    identity = CapacityCommitment.identity(after.issuer, after.commitment)
    held: Book | None = draft.load(Book, identity)
    if held is None:
        held = Book.empty(after.issuer, after.commitment)
    if before is None:
        held = msgspec.structs.replace(held, orders=held.orders + 1)
    period_ms = draft.parameters.period_ms
    more = after.reserved - (before.reserved if before is not None else 0)
    if more:
        held = book.changed(held, after.end_ms // period_ms - 1, more, draft.period)
    waited = before is not None and before.state is RedemptionState.QUEUED
    waits = after.state is RedemptionState.QUEUED
    if waits and not waited:
        after, held = _join_queue(draft, after, held)
    elif waited and not waits:
        draft.remove(Place, Place.identity(identity, after.place))
        held = msgspec.structs.replace(held, queued=held.queued - 1)
    left: Book | None = held
    if after.has_ended and not (before is not None and before.has_ended):
        left = book.without_order(held)
    if left is None:
        BOOKS.remove(draft, identity)
    else:
        BOOKS.put(draft, left)
    REDEMPTIONS.put(draft, after)


def _join_queue(draft: Draft, order: Redemption, held: Book) -> tuple[Redemption, Book]:
    draft.put(Place(order.id), Place.identity(held.key, held.places))
    order = msgspec.structs.replace(order, place=held.places)
    asked_ms = held.asked_ms if held.queued else _period_end(draft)
    held = msgspec.structs.replace(
        held, places=held.places + 1, queued=held.queued + 1, asked_ms=asked_ms
    )
    return order, held


def _period_end(draft: Draft) -> int:
    """The last moment of the present period."""
    return (draft.period + 1) * draft.parameters.period_ms - 1


def free_hours(
    draft: Draft, held: CapacityCommitment, yardstick: Yardstick, now: int
) -> Callable[[int], int]:
    """The µh that one more order may take by the end of a period. `now` is the present period, or
    the next: then what is free without the hours of the present one."""
    stored = draft.load(Book, held.key)
    kept = stored.kept if stored is not None else ()
    hours, taken = list(capacity.stretches(held, yardstick.measure)), held.delivered_of(now)
    return lambda period: book.free_until(kept, hours, taken=taken, period=period, now=now)


def room_for(
    draft: Draft, held: CapacityCommitment, microhours: int, end_ms: int, yardstick: Yardstick
) -> bool:
    """Whether hours are free for one more order, those that are open served as well."""
    free = free_hours(draft, held, yardstick, draft.period)
    return microhours <= free(end_ms // draft.parameters.period_ms - 1)


def rate_of(draft: Draft, held: CapacityCommitment, workload: str) -> Rate:
    """What a coin brings of its hours, by the standard in force."""
    standard = draft.one(Standard)
    factor = factor_table(standard.factors)[held.terms.device_class, workload]
    return Rate(factor, units_table(standard.references)[workload])


def at_present_rate(draft: Draft, held: Redemption) -> Redemption:
    """At what is better for its holder of before and of the standard in force; with the first
    receipt it has begun, and nothing changes any more."""
    if held.state > RedemptionState.READY:
        return held
    identity = CapacityCommitment.identity(held.issuer, held.commitment)
    commitment = COMMITMENTS.get(draft, identity)
    if commitment is None:
        return held
    return redemption.at_better(held, rate_of(draft, commitment, held.workload))


def deliver(draft: Draft, held: Redemption, delivered: int) -> Redemption:
    """The order after `delivered` µ in all, or what its coins bring by now if that is less: a
    deficit may have deepened since its sides agreed. What that adds is burned, and the hours leave
    the reserve with it."""
    reserve = reserve_of(draft, held)
    fresh = min(delivered - held.burned, brings(reserve, held.remaining))
    if fresh <= 0:
        return held
    cost = _cost(reserve, fresh)
    after = redemption.consumed(held, fresh, cost)
    claim = cost - fresh
    RESERVES.put(
        draft,
        msgspec.structs.replace(
            reserve, supply=reserve.supply - cost, residual=reserve.residual + claim
        ),
    )
    if claim:
        identity = ResidualClaim.identity(held.issuer, held.refund_lock)
        known = draft.load(ResidualClaim, identity)
        total = claim + (known.amount if known is not None else 0)
        draft.put(ResidualClaim(held.issuer, held.refund_lock, total), identity)
    hours = redemption.hours_delivered(fresh, held.factor)
    identity = CapacityCommitment.identity(held.issuer, held.commitment)
    commitment = COMMITMENTS.get(draft, identity)
    if commitment is not None and hours:
        COMMITMENTS.put(draft, capacity.delivered(commitment, hours, draft.period))
    return after


def tell(draft: Draft, held: Redemption, after: Redemption) -> None:
    """What was delivered by a receipt, and its device time, count in the throughput of the period;
    of devices whose commitment is over nothing does."""
    identity = CapacityCommitment.identity(held.issuer, held.commitment)
    commitment = COMMITMENTS.get(draft, identity)
    if commitment is None or not commitment.counts:
        return
    rate, trigger_ppm = rate_of(draft, commitment, held.workload), draft.economy.trigger_ppm
    delivered, microhours = after.burned - held.burned, after.used_microhours - held.used_microhours
    today = delivered * after.units // rate.units  # a step raised what a coin is since the start
    amount, time = throughput.counted(today, microhours, rate.factor, trigger_ppm)
    if not amount:
        return
    none = Throughput(commitment.terms.device_class, held.workload, 0, 0)
    known = draft.load(Throughput, none.identity) or none
    draft.put(throughput.added(known, amount, time), none.identity)


def reserve_of(draft: Draft, held: Redemption) -> Reserve:
    """Of the coin of an order."""
    reserve = RESERVES.get(draft, held.asset)
    if reserve is None:
        raise DamagedChain(f"the coin of order {held.id.hex()} has no reserve")
    return reserve


def brings(reserve: Reserve, coins: int) -> int:
    """The most that so many coins bring in the present period: all of them, or in a deficit the
    covered share."""
    if not reserve.batch_supply:
        return coins
    return redemption.deliverable(coins, reserve.batch_reserve, reserve.batch_supply)


def _cost(reserve: Reserve, delivered: int) -> int:
    if not reserve.batch_supply:
        return delivered
    return redemption.cost_of(delivered, reserve.batch_reserve, reserve.batch_supply)


def _paid(held: Redemption) -> Redemption:
    """What ended, and what was left of it given back."""
    return msgspec.structs.replace(held, is_paid=True)


def _refund(held: Redemption) -> list[Output]:
    """What is left of an order that ended; once, as it becomes paid."""
    return [Output(held.asset, held.remaining, held.refund_lock)] if held.remaining else []


def settle(draft: Draft, identity: bytes) -> list[Output]:
    """The deadline of an order has passed."""
    stored = draft.load(Redemption, identity)
    assert stored is not None  # Its deadline goes with it.
    if stored.has_ended:
        if not stored.is_paid:
            REDEMPTIONS.put(draft, _paid(stored))
            return _refund(stored)
        REDEMPTIONS.remove(draft, identity)
        return []
    if stored.state is RedemptionState.ACTIVE:
        write(draft, stored, redemption.matured(stored, draft.clock_ms))
        return []
    return _end(draft, stored, *_ENDS[stored.state])


_ENDS = {
    RedemptionState.QUEUED: (RedemptionState.CANCELLED, False),
    RedemptionState.REQUESTED: (RedemptionState.LAPSED, True),
    RedemptionState.ACCEPTED: (RedemptionState.FAILED, True),
    RedemptionState.READY: (RedemptionState.SETTLED, False),
    RedemptionState.CLOSING: (RedemptionState.SETTLED, False),
}
"""What becomes of an order whose time is over, and whether its issuer missed an act."""


def _end(draft: Draft, held: Redemption, state: RedemptionState, is_missed: bool) -> list[Output]:
    after = redemption.entered(held, state, draft.clock_ms)
    write(draft, held, _paid(after))
    outputs = _refund(after)
    return [*outputs, *_penalise(draft, after)] if is_missed else outputs


def _penalise(draft: Draft, held: Redemption) -> list[Output]:
    """A strike, and what it costs, from the bond to the holder."""
    identity, clock_ms = name(held.issuer), draft.clock_ms
    known = draft.load(Conduct, identity) or Conduct.clean(held.issuer, clock_ms)
    bonds = draft.all(Bond, Bond.prefix(held.issuer))
    found = conduct.matured(known, clock_ms, draft.economy)
    found = conduct.struck(found, clock_ms=clock_ms, period=draft.period)
    found = conduct.allowed(found, sum(item.amount for item in bonds), clock_ms)
    due = min(conduct.penalty(found, held.amount, draft.economy), found.most - found.paid)
    outputs = pay_from_bond(draft, bonds, due, held.refund_lock)
    paid = sum(item.amount for item in outputs)
    draft.put(msgspec.structs.replace(found, paid=found.paid + paid), identity)
    return outputs


def pay_from_bond(draft: Draft, bonds: Iterable[Bond], amount: int, lock: bytes) -> list[Output]:
    """So much of an issuer's bond, pro rata over its assets; what is missing goes unpaid."""
    outputs = []
    for item, part in slash(bonds, amount):
        if not part:
            continue
        identity = Bond.identity(item.issuer, item.asset)
        if part == item.amount:
            draft.remove(Bond, identity)
        else:
            draft.put(msgspec.structs.replace(item, amount=item.amount - part), identity)
        outputs.append(Output(item.asset, part, lock))
    return outputs


def settle_dispute(draft: Draft, identity: bytes) -> list[Output]:
    """The loser pays the deposit to the other side; a silent panel leaves the highest receipt."""
    dispute = DISPUTES.get(draft, identity)
    held = draft.load(Redemption, identity)
    assert dispute is not None  # Its deadline goes with it.
    assert held is not None  # Disputed, it has no deadline of its own.
    DISPUTES.remove(draft, identity)
    after, is_missed, lock = held, False, dispute.refund_lock
    if dispute.verdict is Verdict.UPHELD and dispute.by_issuer:
        after = deliver(draft, held, dispute.claimed)
    elif dispute.verdict is Verdict.UPHELD:
        is_missed = True
    elif dispute.verdict is Verdict.DISMISSED and dispute.by_issuer:
        is_missed, lock = True, held.refund_lock  # or it would dispute first, for next to nothing
    elif dispute.verdict is Verdict.DISMISSED:
        lock = _treasury_lock(draft, held.issuer, lock)
    write(draft, held, after)
    outputs = _end(draft, after, RedemptionState.RULED, is_missed)
    return [Output(dispute.asset, dispute.deposit, lock), *outputs]


def _treasury_lock(draft: Draft, issuer: str, other: bytes) -> bytes:
    licence = LICENCES.get(draft, name(issuer))
    return other if licence is None else lock_hash(Key(licence.grant.keys.treasury))


def ask_queue(draft: Draft, identity: bytes) -> int:
    """A period has begun: whoever waits and finds hours now is requested, in order. How many were
    asked; where more wait than are asked at once, the next block goes on."""
    held = draft.load(Book, identity)
    commitment = COMMITMENTS.get(draft, identity)
    if held is None or not held.queued:
        return 0
    yardstick = Yardstick.of(draft)
    waiting = list(islice(_places(draft, held), QUEUE_ASKED_MAX + 1))
    for _, place in waiting[:QUEUE_ASKED_MAX]:
        order = draft.load(Redemption, place.order)
        assert order is not None  # It leaves the queue with its state.
        if commitment is None:
            continue
        after = at_present_rate(draft, order)
        if _may_begin(draft, commitment, after, yardstick):
            after = redemption.entered(after, RedemptionState.REQUESTED, draft.clock_ms)
            write(draft, order, after)
    held = draft.load(Book, identity)
    assert held is not None  # Who waits is open.
    is_done = len(waiting) <= QUEUE_ASKED_MAX
    BOOKS.put(
        draft,
        msgspec.structs.replace(
            held,
            next_place=0 if is_done else waiting[QUEUE_ASKED_MAX][0],
            asked_ms=_period_end(draft) if is_done else held.asked_ms,
        ),
    )
    return min(len(waiting), QUEUE_ASKED_MAX)


def _places(draft: Draft, held: Book) -> Iterable[tuple[int, Place]]:
    """Who waits, from where the last step stopped, with the place."""
    prefix = key_of(Place, held.key + b"\0")
    for key, data in draft.objects(prefix):
        place = int.from_bytes(key[len(prefix) :], "big")
        if place >= held.next_place:
            yield place, decode(data, Place)


def _may_begin(
    draft: Draft, commitment: CapacityCommitment, order: Redemption, yardstick: Yardstick
) -> bool:
    """Until its own deadline its issuer has time to accept it and to prepare."""
    if draft.clock_ms > order.queue_until_ms or not commitment.counts:
        return False
    return room_for(draft, commitment, order.microhours, order.end_ms, yardstick)


def return_residuals(draft: Draft) -> list[Output]:
    """Claims on issuers that are cured become coins again, once all of them are covered."""
    outputs: list[Output] = []
    for reserve in RESERVES.all(draft):
        is_bad = reserve.solvency in (Solvency.DEFICIT, Solvency.CAGED)
        if not reserve.residual or is_bad:
            continue
        if reserve.supply + reserve.residual > reserve.reserve:
            continue
        room = RESIDUALS_A_PERIOD - len(outputs)
        claims = list(islice(draft.all(ResidualClaim, Bond.prefix(reserve.issuer)), room))
        for claim in claims:
            draft.remove(ResidualClaim, ResidualClaim.identity(claim.issuer, claim.lock))
            outputs.append(Output(reserve.asset, claim.amount, claim.lock))
        total = sum(claim.amount for claim in claims)
        RESERVES.put(
            draft,
            msgspec.structs.replace(
                reserve, supply=reserve.supply + total, residual=reserve.residual - total
            ),
        )
    return outputs
