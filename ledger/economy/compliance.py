"""Compliance orders: a future spending rule with an end, never an edit of history.

    (none) -> ACTIVE -> LIFTED | EXPIRED;  ACTIVE -> ACTIVE by renewal

An order freezes the coins under some locks until a moment of header time. It comes before all other
transactions of its block, so that no spend that waits can race it, it is public, and it ends by
itself. No coin can be seized: no asset's genesis allows it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from ledger.codec import Bytes32, Slug, UInt, Wire
from ledger.economy.parameters import EconomyParameters
from ledger.reasons import Invalid, Reason
from ledger.times import rfc3339

TARGETS_MAX = 64
FREEZES_MAX = 8
"""Orders that name one lock at one time."""
ORDERS_MAX = 1_024
"""In force at one time on a chain."""

Targets = Annotated[tuple[Bytes32, ...], Meta(min_length=1, max_length=TARGETS_MAX)]


class Order(Wire, frozen=True):
    """An order in force. Identity: the slug."""

    TYPE: ClassVar[int] = 50
    id: Slug
    reference: Bytes32
    """The hash of the legal document behind it."""
    targets: Targets
    """Locks whose outputs are not spent."""
    until_ms: UInt
    """The last moment, of header time."""
    version: UInt


class FrozenBy(Wire, frozen=True):
    """One order that names a lock."""

    order: Slug
    until_ms: UInt


class Freeze(Wire, frozen=True):
    """Which orders name a lock. Identity: the lock."""

    TYPE: ClassVar[int] = 51
    lock: Bytes32
    orders: Annotated[tuple[FrozenBy, ...], Meta(min_length=1, max_length=FREEZES_MAX)]


def check_order(
    targets: Iterable[bytes], until_ms: int, time_ms: int, parameters: EconomyParameters
) -> None:
    """An end within the longest life, locks ascending, each once; raises Invalid."""
    check_until(until_ms, time_ms, parameters)
    locks = list(targets)
    if locks != sorted(set(locks)):
        raise Invalid(Reason.BAD_ORDER, "targets ascend, each once")


def check_until(until_ms: int, time_ms: int, parameters: EconomyParameters) -> None:
    """Every order ends; raises Invalid(NO_EXPIRY)."""
    latest = time_ms + parameters.order_ms_max
    if not time_ms < until_ms <= latest:
        moments = f"block time is {rfc3339(time_ms)}, the latest is {rfc3339(latest)}"
        raise Invalid(Reason.NO_EXPIRY, f"an order ends: until {rfc3339(until_ms)}, {moments}")


def frozen_until(held: Freeze | None, time_ms: int) -> FrozenBy | None:
    """The order that holds a lock the longest, None where it is free."""
    if held is None:
        return None
    active = [item for item in held.orders if time_ms <= item.until_ms]
    return max(active, key=lambda item: (item.until_ms, item.order), default=None)


def with_order(held: Freeze | None, lock: bytes, order: Order, time_ms: int) -> Freeze:
    """The lock named by one order more, or for longer; raises Invalid(BAD_ORDER)."""
    others = [] if held is None else [item for item in held.orders if item.order != order.id]
    others = [item for item in others if time_ms <= item.until_ms]
    if len(others) >= FREEZES_MAX:
        raise Invalid(Reason.BAD_ORDER, f"{FREEZES_MAX} orders name lock {lock.hex()} already")
    named = sorted([*others, FrozenBy(order.id, order.until_ms)], key=lambda item: item.order)
    return Freeze(lock, tuple(named))


def without_order(held: Freeze | None, order: str) -> Freeze | None:
    """The lock without one order; None where no other names it."""
    left = () if held is None else tuple([item for item in held.orders if item.order != order])
    return msgspec.structs.replace(held, orders=left) if held is not None and left else None
