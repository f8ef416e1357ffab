"""Compliance orders and the freezes that follow from them."""

from __future__ import annotations

import msgspec

from ledger.draft import Draft
from ledger.economy import compliance
from ledger.economy.compliance import ORDERS_MAX, Freeze, Order
from ledger.handlers.common import need_version
from ledger.operations import FreezeOrder, LiftOrder, RenewOrder
from ledger.reasons import Invalid, Reason
from ledger.registers import ORDERS, name


def freeze(draft: Draft, operation: FreezeOrder) -> None:
    """A new order; its name is of no other in force."""
    if ORDERS.get(draft, name(operation.order)) is not None:
        raise Invalid(Reason.BAD_ORDER, f"order '{operation.order}' is in force")
    if len(ORDERS.all(draft)) >= ORDERS_MAX:
        raise Invalid(Reason.TOO_MANY, f"{ORDERS_MAX} orders are in force")
    compliance.check_order(operation.targets, operation.until_ms, draft.time_ms, draft.economy)
    _release(draft, operation.order)
    order = Order(operation.order, operation.reference, operation.targets, operation.until_ms, 1)
    _enforce(draft, order)


def renew(draft: Draft, operation: RenewOrder) -> None:
    """Another end for the same targets."""
    held = _need_order(draft, operation.order, operation.version)
    compliance.check_until(operation.until_ms, draft.time_ms, draft.economy)
    _enforce(
        draft,
        msgspec.structs.replace(held, until_ms=operation.until_ms, version=held.version + 1),
    )


def lift(draft: Draft, operation: LiftOrder) -> None:
    """The coins move again at once."""
    _need_order(draft, operation.order, operation.version)
    _release(draft, operation.order)


def release(draft: Draft, order: Order) -> None:
    """What an order that is over leaves behind."""
    ORDERS.remove(draft, name(order.id))
    for lock in order.targets:
        left = compliance.without_order(draft.load(Freeze, lock), order.id)
        if left is None:
            draft.remove(Freeze, lock)
        else:
            draft.put(left, lock)


def _enforce(draft: Draft, order: Order) -> None:
    ORDERS.put(draft, order)
    for lock in order.targets:
        held = draft.load(Freeze, lock)
        draft.put(compliance.with_order(held, lock, order, draft.time_ms), lock)


def _release(draft: Draft, order: str) -> None:
    held = draft.load(Order, name(order))
    if held is not None:
        release(draft, held)


def _need_order(draft: Draft, order: str, version: int) -> Order:
    held = ORDERS.get(draft, name(order))
    if held is None:
        raise Invalid(Reason.UNKNOWN_ORDER, f"no order '{order}' is in force")
    need_version(version, held.version, order)
    return held
