"""Orders of the rules beside those of the model."""

from __future__ import annotations

from typing import Any

from ledger.draft import Draft
from ledger.economy.conduct import Conduct
from ledger.economy.redemption import Redemption
from ledger.economy.reserve import Reserve
from ledger.economy.residual import ResidualClaim
from ledger.economy.throughput import Throughput
from ledger.registers import DISPUTES, REDEMPTIONS
from tests.economy.model_orders import OrderActions
from tests.ledger.world import lock_of

Pair = tuple[str, object, object]
"""What it is, by the rules and by the model."""


def order_state(model: OrderActions, operation: Any) -> str:
    """As the table of operations names it."""
    order = operation.receipt.order if hasattr(operation, "receipt") else operation.order
    held = model.asks.get(order)
    return "none" if held is None else held.state


def pairs(draft: Draft, model: OrderActions) -> list[Pair]:
    """Everything that orders are and leave behind."""
    claims = {(item.issuer, item.lock): item.amount for item in draft.all(ResidualClaim)}
    owed = {(name, lock_of(owner)): due for (name, owner), due in model.claims.items()}
    conduct = {x.issuer: (x.strikes, x.struck_in, x.since_ms) for x in draft.all(Conduct)}
    spent = {x.issuer: (x.day, x.most, x.paid) for x in draft.all(Conduct)}
    names = model.conduct.items()
    return [
        ("asks", _orders(draft), _asks(model)),
        ("disputes", _disputes(draft), _quarrels(model)),
        ("claims", claims, owed),
        ("conduct", conduct, {name: (x.strikes, x.period, x.since) for name, x in names}),
        ("penalties", spent, {name: (x.day, x.most, x.paid) for name, x in names}),
        ("told", _told(draft), model.told),
        ("shares", _shares(draft), {name: (x.claims, x.share) for name, x in model.coins.items()}),
    ]


def _orders(draft: Draft) -> dict[bytes, object]:
    found: list[Redemption] = REDEMPTIONS.all(draft)
    return {
        item.id: (
            *(item.state.name.lower(), item.since_ms, item.is_paid),
            *(item.burned, item.residual, item.held),
            *(item.factor, item.units, item.microhours, item.reserved),
            *(item.number, item.used_microhours),
        )
        for item in found
    }


def _asks(model: OrderActions) -> dict[bytes, object]:
    return {
        order: (
            *(item.state, item.since, item.paid),
            *(item.burned, item.claimed, 0 if item.paid else item.left),
            *(item.factor, item.units, item.hours, item.kept),
            *(item.number, item.used),
        )
        for order, item in model.asks.items()
    }


def _disputes(draft: Draft) -> dict[bytes, object]:
    return {
        item.order: (
            *(item.by_issuer, item.claimed, item.deposit, item.since_ms, item.panel),
            *({vote.attestor: vote.upheld for vote in item.votes}, item.decided_ms),
        )
        for item in DISPUTES.all(draft)
    }


def _quarrels(model: OrderActions) -> dict[bytes, object]:
    return {
        order: (
            *(item.by_issuer, item.claimed, item.deposit, item.since, item.panel),
            *(item.votes, item.decided),
        )
        for order, item in model.quarrels.items()
    }


def _told(draft: Draft) -> dict[tuple[str, str], tuple[int, int]]:
    found = draft.all(Throughput)
    return {(item.device_class, item.workload): (item.amount, item.microhours) for item in found}


def _shares(draft: Draft) -> dict[str, object]:
    return {
        item.issuer: (item.residual, (item.batch_reserve, item.batch_supply))
        for item in draft.all(Reserve)
    }
