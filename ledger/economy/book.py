"""The book of a commitment: hours kept for orders, by the period in which their windows end.

All open windows begin now. So a set of orders can be served exactly if, for each end, the hours
kept for windows that end by then fit into the hours of the periods until then: serving the earliest
end first does it (Jackson's rule, the feasibility test of EDF). One more order is possible if that
still holds at its own end and at every later one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from ledger.codec import Slug, UInt, Wire
from ledger.economy.capacity import CapacityCommitment
from ledger.economy.redemption import ORDER_LEAST, WINDOW_PERIODS_MAX
from ledger.reasons import Invalid, Reason

ORDERS_A_DOUBLING = 256
"""So many open orders double the least that one more may be: the book of a commitment is not filled
by a few coins, which would keep everybody else from redeeming."""
ORDERS_OF_COMMITMENT_MAX = 4_096
"""Open at once, waiting ones included; each is an object of half a kilobyte."""


class Kept(Wire, frozen=True):
    """µh that are kept for windows that end with one period."""

    period: UInt
    microhours: UInt


class Book(Wire, frozen=True):
    """What orders hold of one commitment. Identity: that of the commitment."""

    TYPE: ClassVar[int] = 57
    issuer: Slug
    commitment: Slug
    kept: Annotated[tuple[Kept, ...], Meta(max_length=WINDOW_PERIODS_MAX + 1)]
    """By ascending period."""
    orders: UInt
    """How many are open."""
    queued: UInt
    """How many of them wait."""
    places: UInt
    """How many have ever waited: the next place in the queue."""
    next_place: UInt
    """From where on the queue is still to be asked in this period."""
    asked_ms: UInt
    """The end of the period in which the queue was asked last; 0 while nobody waits."""

    @classmethod
    def empty(cls, issuer: str, commitment: str) -> Book:
        return cls(issuer, commitment, (), 0, 0, 0, 0, 0)

    @property
    def key(self) -> bytes:
        return CapacityCommitment.identity(self.issuer, self.commitment)


class Place(Wire, frozen=True):
    """An order that waits. Identity: that of its commitment, zero byte, place (8 bytes)."""

    TYPE: ClassVar[int] = 70
    order: Annotated[bytes, Meta(min_length=32, max_length=32)]

    @staticmethod
    def identity(book: bytes, place: int) -> bytes:
        return book + b"\0" + place.to_bytes(8, "big")


def deadline(held: Book) -> int | None:
    """When the queue is asked again: after the end of the period in which it was asked last."""
    return held.asked_ms if held.queued else None


def least_amount(held: Book | None) -> int:
    """The smallest order that is taken now, in µ."""
    return ORDER_LEAST << (held.orders // ORDERS_A_DOUBLING if held is not None else 0)


def check_full(held: Book) -> None:
    """Whether one more may be open; raises Invalid(TOO_MANY)."""
    if held.orders >= ORDERS_OF_COMMITMENT_MAX:
        detail = f"'{held.commitment}' of '{held.issuer}' has {held.orders} open orders"
        raise Invalid(Reason.TOO_MANY, detail)


def without_order(held: Book) -> Book | None:
    """One fewer; None when none is left."""
    return msgspec.structs.replace(held, orders=held.orders - 1) if held.orders > 1 else None


def changed(held: Book, period: int, microhours: int, now: int) -> Book:
    """So many µh more (or fewer) are kept for windows that end with `period`; what was kept for
    past ones is dropped."""
    kept = {item.period: item.microhours for item in held.kept if item.period >= now}
    if period >= now:
        kept[period] = kept.get(period, 0) + microhours
    left = tuple([Kept(end, kept[end]) for end in sorted(kept) if kept[end]])
    return msgspec.structs.replace(held, kept=left)


def free_until(
    kept: Iterable[Kept],
    hours: Sequence[tuple[int, int, int]],
    *,
    taken: int,
    period: int,
    now: int,
) -> int:
    """The most µh that one more order may take by the end of `period`, all others served as well.

    `hours` are (µh a period, first period, period after the last), `taken` what was delivered in
    the present period already: of later ones it takes nothing.
    """
    taken = min(taken, _until(hours, now, now))
    demand, later = 0, []
    for item in kept:
        if now <= item.period <= period:
            demand += item.microhours
        elif item.period > period:
            later.append((item.period, item.microhours))
    free = _until(hours, period, now) - taken - demand
    for end, more in later:
        demand += more
        free = min(free, _until(hours, end, now) - taken - demand)
    return max(0, free)


def _until(hours: Sequence[tuple[int, int, int]], period: int, now: int) -> int:
    """µh of the periods from now to the end of `period`."""
    total = 0
    for figure, first, end in hours:  # Asked for each end that is kept: 156 of them at most.
        begins = first if first > now else now
        over = end if end <= period else period + 1
        if over > begins:
            total += figure * (over - begins)
    return total
