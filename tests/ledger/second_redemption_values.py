"""Orders, their books and disputes as values, a second time; it imports nothing of the node."""

from __future__ import annotations

from typing import Any, NamedTuple

QUEUED, REQUESTED, ACCEPTED, READY, ACTIVE, CLOSING, DISPUTED = range(1, 8)
CANCELLED, LAPSED, FAILED, SETTLED, RULED = range(8, 13)
HOUR_MS = 3_600_000
MILLION = 10**6
NOTHING = bytes(32)
KINDS = ("Redemption", "Dispute", "Conduct", "Book", "ResidualClaim", "Place", "Throughput")
"""Of objects that orders bring."""


class Redemption(NamedTuple):
    """An order, in the order of its array."""

    id: bytes
    issuer: str
    commitment: str
    workload: str
    asset: bytes
    amount: int
    burned: int
    residual: int
    state: int
    since_ms: int
    is_paid: bool
    session_key: bytes
    refund_lock: bytes
    factor: int
    units: int
    microhours: int
    start_by_ms: int
    end_ms: int
    queue_until_ms: int
    place: int = 0
    endpoint: str = ""
    session_hash: bytes = NOTHING
    number: int = 0
    used_microhours: int = 0
    meter_root: bytes = NOTHING

    @property
    def left(self) -> int:
        """µ neither delivered nor claimed."""
        return self.amount - self.burned - self.residual

    @property
    def is_open(self) -> bool:
        return self.state < CANCELLED

    @property
    def kept(self) -> int:
        """µh that nobody else gets: none while it waits, none at its end."""
        if not self.is_open or self.state == QUEUED:
            return 0
        return self.microhours - self.burned * MILLION // self.factor

    @property
    def book(self) -> bytes:
        """Where its hours stand."""
        return f"{self.issuer}\0{self.commitment}".encode()


class Book(NamedTuple):
    issuer: str
    commitment: str
    kept: list[list[int]]
    """[last period, µh]."""
    orders: int
    queued: int
    places: int
    next_place: int
    asked_ms: int


class Dispute(NamedTuple):
    order: bytes
    by_issuer: bool
    claimed: int
    asset: bytes
    deposit: int
    refund_lock: bytes
    since_ms: int
    panel: list[str]
    votes: list[list[Any]]
    decided_ms: int


class Conduct(NamedTuple):
    """Of one issuer: strikes, and what penalties took on one day."""

    issuer: str
    strikes: int
    struck_in: int
    since_ms: int
    day: int
    most: int
    paid: int


def order_deadline(economy: Any, value: list[Any]) -> int | None:
    """Its last moment in this state."""
    order = Redemption(*value)
    if order.state == DISPUTED:
        return None
    if not order.is_open:
        return max(order.since_ms + HOUR_MS, order.start_by_ms) if order.is_paid else order.since_ms
    return int(
        {
            QUEUED: order.queue_until_ms,
            REQUESTED: order.since_ms + economy.accept_ms,
            ACCEPTED: order.start_by_ms,
            READY: order.end_ms,
            ACTIVE: order.end_ms,
            CLOSING: order.since_ms + economy.closing_ms,
        }[order.state]
    )


def order_now(value: list[Any], clock_ms: int) -> list[Any]:
    """A session whose window is over is closing since then."""
    order = Redemption(*value)
    if order.state == ACTIVE and clock_ms > order.end_ms:
        return list(order._replace(state=CLOSING, since_ms=order.end_ms))
    return value
