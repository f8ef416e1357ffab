"""The hours that orders keep, a second time; it imports nothing of the node.

A book's hours are added up anew from all orders, and whether one more fits is tried out: period by
period the hours go to the windows that end first. Who is late already takes no more from the rest.
"""

from __future__ import annotations

from typing import Any

from tests.ledger.second_redemption_values import MILLION, QUEUED, Book, Redemption
from tests.ledger.second_reserve import counted
from tests.ledger.second_roots import State
from tests.ledger.second_standing import CONTESTED, LIVE, keep

DOUBLED_BY = 256
"""So many open orders double the least of one more."""
OPEN_MAX = 4_096
"""Orders of one commitment."""


def place_key(book: bytes, place: int) -> bytes:
    return book + b"\0" + place.to_bytes(8, "big")


def orders_of(state: State, book: bytes) -> list[Redemption]:
    """Those that have not ended."""
    found = [Redemption(*value) for value in state.all("Redemption")]
    return [order for order in found if order.book == book and order.is_open]


def book_of(state: State, identity: bytes) -> Book | None:
    value = state.get("Book", identity)
    return None if value is None else Book(*value)


def is_full(others: list[Redemption]) -> bool:
    """Whether none may be opened beside these."""
    return len(others) >= OPEN_MAX


def doublings(others: list[Redemption]) -> int:
    """How often the least of one more order is doubled."""
    return len(others) // DOUBLED_BY


def store(state: State, before: Redemption | None, order: Redemption) -> None:
    """Write an order, its place in the queue and its book."""
    identity = order.book
    book = book_of(state, identity) or Book(order.issuer, order.commitment, [], 0, 0, 0, 0, 0)
    waited = before is not None and before.state == QUEUED
    waits = order.state == QUEUED
    if waits and not waited:
        order = order._replace(place=book.places)
        state.put("Place", place_key(identity, order.place), [order.id])
        asked_ms = book.asked_ms if book.queued else period_end(state)
        book = book._replace(places=book.places + 1, asked_ms=asked_ms)
    elif waited and not waits:
        state.drop("Place", place_key(identity, order.place))
    keep(state, "Redemption", list(order))
    found = orders_of(state, identity)
    if order.kept != (before.kept if before else 0):
        book = book._replace(kept=_kept(state, found))
    waiting = [item for item in found if item.state == QUEUED]
    if found:
        keep(state, "Book", list(book._replace(orders=len(found), queued=len(waiting))))
    else:
        state.drop("Book", identity)


def _kept(state: State, orders: list[Redemption]) -> list[list[int]]:
    """By the last period of their windows; past ones are forgotten."""
    kept: dict[int, int] = {}
    for order in orders:
        last = order.end_ms // state.period_ms - 1
        if last >= state.period and order.kept:
            kept[last] = kept.get(last, 0) + order.kept
    return [[last, kept[last]] for last in sorted(kept)]


def period_end(state: State) -> int:
    return (state.period + 1) * state.period_ms - 1


def taken_now(state: State, commitment: list[Any]) -> int:
    """µh of the present period that are delivered."""
    return int(commitment[10]) if commitment[9] == state.period else 0


def fits(state: State, commitment: list[Any], microhours: int, end_ms: int) -> bool:
    """Whether so much more is served in time, the earliest end first, and nobody's hours are taken
    that has them."""
    if commitment[1] not in (LIVE, CONTESTED):
        return False
    book = book_of(state, f"{commitment[0][1]}\0{commitment[0][0]}".encode())
    last_period = end_ms // state.period_ms - 1
    wanted: dict[int, int] = {last_period: microhours}
    for last, kept in book.kept if book else []:
        if last >= state.period:
            wanted[last] = wanted.get(last, 0) + kept
    ends = sorted({entry[3] // state.period_ms for entry in commitment[6]})
    figures: dict[int, int] = {}
    present = _figure(state, commitment, ends, state.period, figures)
    spare = -min(taken_now(state, commitment), present)
    for period in range(state.period, max(wanted) + 1):
        spare += _figure(state, commitment, ends, period, figures)
        spare -= wanted.get(period, 0)
        if period in wanted and period >= last_period and spare < 0:
            return False
    return True


def _figure(
    state: State, commitment: list[Any], ends: list[int], period: int, known: dict[int, int]
) -> int:
    """µh that count in one period; `known` by the end of the words that reach it."""
    terms = commitment[0]
    if not terms[5] // state.period_ms <= period < terms[6] // state.period_ms:
        return 0
    reach = next((end for end in ends if end > period), None)
    if reach is None:
        return 0
    if reach not in known:
        known[reach] = counted(state, commitment, reach * state.period_ms)
    return known[reach]


def needed(amount: int, factor: int) -> int:
    """µh, rounded up."""
    return (amount * MILLION + factor - 1) // factor
