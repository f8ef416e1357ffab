"""What an issuer owes its orders on the chain now. Pure: orders as seen, receipts as held.

Accept, say where it is served, post receipts: the first at once so that the session counts as
begun, then once a period, and the last with the end of the session. Everything is decided from what
is seen, so that a service that starts again goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cli.delivery.rules import SignedReceipt, Terms
from ledger.redemption_operations import (
    AcceptRedemption,
    CloseRedemption,
    OnRedemption,
    PostReceipt,
    ReadyRedemption,
)

SERVED = ("ready", "active")
"""States in which a session may run."""
DELIVERING = ("ready", "active", "closing", "disputed")
"""States in which a receipt counts."""


@dataclass(frozen=True, slots=True)
class OrderSeen:
    """An order as the chain has it."""

    id: bytes
    issuer: str
    state: str
    session_key: bytes
    amount: int
    """What it may bring in all, in µ."""
    burned: int
    number: int
    """Of the highest receipt that is posted."""
    units_a_coin: int
    workload: str

    def terms(self, chain_id: bytes) -> Terms:
        return Terms(chain_id, self.id, self.session_key, self.amount, self.units_a_coin)


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who serves, and where."""

    name: str
    operations_key: bytes
    metering_key: bytes
    endpoint: str
    session_hash: bytes


def duties(
    issuer: Issuer,
    seen: OrderSeen,
    held: SignedReceipt | None,
    *,
    is_able: bool,
    posted_ms: int,
    now_ms: int,
    period_ms: int,
) -> list[OnRedemption]:
    """In their order. `held` is the highest receipt here, `posted_ms` when one was posted last;
    whoever is not able to do the work promises none."""
    where = (issuer.name, seen.id)
    if seen.state == "requested":
        return [] if not is_able else [AcceptRedemption(*where, issuer.operations_key)]
    if seen.state == "accepted":
        endpoint = (issuer.endpoint, issuer.session_hash)
        return [] if not is_able else [ReadyRedemption(*where, issuer.operations_key, *endpoint)]
    if seen.state not in DELIVERING:
        return []
    found: list[OnRedemption] = []
    is_done = held is not None and held.receipt.delivered >= seen.amount
    if held is not None and held.receipt.number > seen.number:
        is_first, is_last = seen.number == 0, is_done or seen.state not in SERVED
        if is_first or is_last or now_ms - posted_ms >= period_ms:
            found.append(posting(issuer, seen, held))
    if is_done and seen.state in SERVED:
        found.append(CloseRedemption(*where, issuer.metering_key))
    return found


def posting(issuer: Issuer, seen: OrderSeen, held: SignedReceipt) -> PostReceipt:
    return PostReceipt(
        issuer.name, issuer.metering_key, held.receipt, seen.session_key, held.signature
    )


def by_signer(
    issuer: Issuer, found: Mapping[bytes, list[OnRedemption]]
) -> dict[bytes, list[OnRedemption]]:
    """Operations of all orders, by the key that signs them."""
    signed: dict[bytes, list[OnRedemption]] = {issuer.operations_key: [], issuer.metering_key: []}
    for operations in found.values():
        for operation in operations:
            signed[operation.key].append(operation)
    return {key: operations for key, operations in signed.items() if operations}
