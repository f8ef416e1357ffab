"""What the system does to orders as time passes, a second time; it imports nothing of ours."""

from __future__ import annotations

from typing import Any

from tests.ledger.second_membership import TREASURY_KEY
from tests.ledger.second_order_book import book_of, fits, orders_of, period_end, store
from tests.ledger.second_redemption import at_better, deliver, verdict_of
from tests.ledger.second_redemption_values import (
    ACCEPTED,
    ACTIVE,
    CANCELLED,
    CLOSING,
    FAILED,
    LAPSED,
    MILLION,
    QUEUED,
    READY,
    REQUESTED,
    RULED,
    SETTLED,
    Conduct,
    Dispute,
    Redemption,
)
from tests.ledger.second_reserve import take_bond
from tests.ledger.second_roots import State
from tests.ledger.second_rules import lock_of
from tests.ledger.second_standing import DEFICIT, all_now, keep, now

ASKED_MAX = 64
"""Of a queue, in one block."""
CLAIMS_MAX = 1_024
"""That return in one period."""
DAY_MS = 86_400_000
Outputs = list[list[Any]]

ENDS = {
    QUEUED: (CANCELLED, False),
    REQUESTED: (LAPSED, True),
    ACCEPTED: (FAILED, True),
    READY: (SETTLED, False),
    CLOSING: (SETTLED, False),
}
"""How each state ends by itself, and whether that is the issuer's fault."""


def order_is_due(state: State, value: list[Any]) -> Outputs:
    order = Redemption(*value)
    if order.is_paid:
        state.drop("Redemption", order.id)
        return []
    if not order.is_open:
        return _pay_back(state, order)
    if order.state == ACTIVE:
        store(state, order, order._replace(state=CLOSING, since_ms=order.end_ms))
        return []
    return _end(state, order, *ENDS[order.state])


def _pay_back(state: State, order: Redemption) -> Outputs:
    keep(state, "Redemption", list(order._replace(is_paid=True)))
    return [[order.asset, order.left, order.refund_lock]] if order.left else []


def _end(state: State, order: Redemption, ended: int, is_missed: bool) -> Outputs:
    after = order._replace(state=ended, since_ms=state.clock_ms)
    store(state, order, after)
    outputs = _pay_back(state, after)
    return outputs + _penalty(state, after) if is_missed else outputs


def _penalty(state: State, order: Redemption) -> Outputs:
    """The share doubles with each strike; a day takes a tenth of the bond."""
    economy, clock_ms = state.economy, state.clock_ms
    identity = order.issuer.encode()
    value = state.get("Conduct", identity)
    held = Conduct(*value) if value else Conduct(order.issuer, 0, 0, clock_ms, 0, 0, 0)
    while held.strikes and held.since_ms + economy.forgive_ms <= clock_ms:
        since_ms = held.since_ms + economy.forgive_ms
        held = held._replace(strikes=held.strikes - 1, since_ms=since_ms)
    if not held.strikes:
        held = held._replace(strikes=1, struck_in=state.period, since_ms=clock_ms)
    elif held.struck_in != state.period:
        held = held._replace(strikes=held.strikes + 1, struck_in=state.period)
    bonds = state.all("Bond", identity + b"\0")
    if held.day != clock_ms // DAY_MS or not held.most:
        most = sum(amount for _, _, amount in bonds) // 10
        held = held._replace(day=clock_ms // DAY_MS, most=most, paid=0)
    share = economy.penalty_ppm
    for _ in range(held.strikes - 1):
        share = min(2 * share, economy.penalty_ppm_max)
    share = min(share, economy.penalty_ppm_max)
    due = min(order.amount * share // MILLION, held.most - held.paid)
    outputs = seize(state, order.issuer, due, order.refund_lock)
    paid = held.paid + sum(amount for _, amount, _ in outputs)
    state.put("Conduct", identity, list(held._replace(paid=paid)))
    return outputs


def seize(state: State, issuer: str, amount: int, lock: bytes) -> Outputs:
    """Of a bond, from each coin in proportion."""
    outputs: Outputs = []
    bonds = state.all("Bond", issuer.encode() + b"\0")
    total = sum(there for _, _, there in bonds)
    for _, coin, there in bonds:
        share = there * min(amount, total) // total
        if share:
            take_bond(state, issuer, coin, share)
            outputs.append([coin, share, lock])
    return outputs


def dispute_is_due(state: State, value: list[Any]) -> Outputs:
    """Who lost pays the deposit; nobody did where the panel was silent."""
    held = Dispute(*value)
    order = Redemption(*state.get("Redemption", held.order))
    state.drop("Dispute", held.order)
    upheld, lock = verdict_of(held.votes), held.refund_lock
    if upheld is False and held.by_issuer:
        lock = order.refund_lock
    elif upheld is False:
        licence = now(state, "Licence", order.issuer.encode())
        lock = lock_of([1, licence[0][6][TREASURY_KEY]]) if licence else lock
    after = order
    if upheld and held.by_issuer:
        after = deliver(state, order, held.claimed)
        store(state, order, after)
    is_missed = upheld is not None and upheld is not held.by_issuer
    paid = _end(state, after, RULED, is_missed)
    return [[held.asset, held.deposit, lock], *paid]


def ask_queue(state: State, identity: bytes) -> int:
    """In order of their places, from where the last block stopped; how many."""
    book = book_of(state, identity)
    if book is None or not book.queued:
        return 0
    queue = [order for order in orders_of(state, identity) if order.state == QUEUED]
    queue = sorted(queue, key=lambda order: order.place)
    queue = [order for order in queue if order.place >= book.next_place]
    commitment, clock_ms = now(state, "CapacityCommitment", identity), state.clock_ms
    for order in queue[:ASKED_MAX]:
        in_time = clock_ms <= order.queue_until_ms
        after = at_better(state, order)
        if commitment and in_time and fits(state, commitment, after.microhours, order.end_ms):
            store(state, order, after._replace(state=REQUESTED, since_ms=clock_ms))
    asked = book_of(state, identity)
    assert asked is not None
    rest = queue[ASKED_MAX:]
    if rest:
        asked = asked._replace(next_place=rest[0].place)
    else:
        asked = asked._replace(next_place=0, asked_ms=period_end(state))
    keep(state, "Book", list(asked))
    return min(len(queue), ASKED_MAX)


def return_claims(state: State) -> Outputs:
    """Coins again where all of them are covered beside the coins there are."""
    outputs: Outputs = []
    for reserve in all_now(state, "Reserve"):
        _, issuer, supply, backing, _, solvency = reserve[:6]
        if not reserve[11] or solvency >= DEFICIT or supply + reserve[11] > backing:
            continue
        for claim in state.all("ResidualClaim", issuer.encode() + b"\0"):
            if len(outputs) == CLAIMS_MAX:
                break
            state.drop("ResidualClaim", issuer.encode() + b"\0" + claim[1])
            outputs.append([reserve[0], claim[2], claim[1]])
            reserve[2] += claim[2]
            reserve[11] -= claim[2]
        keep(state, "Reserve", reserve)
    return outputs


def read_shares(state: State) -> None:
    """What coins that are not covered bring in this period."""
    for reserve in all_now(state, "Reserve"):
        is_uncovered = reserve[5] >= DEFICIT and reserve[2] > reserve[3]
        share = [reserve[3], reserve[2]] if is_uncovered else [0, 0]
        if share != reserve[12:14]:
            keep(state, "Reserve", [*reserve[:12], *share, *reserve[14:]])
