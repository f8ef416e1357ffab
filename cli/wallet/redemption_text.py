"""What operations of redemption do, in words that name all that is signed. Pure.

As in `cli.wallet.operation_text`, other words would be another format.
"""

from __future__ import annotations

from typing import TypeAlias

from ledger import redemption_operations as ops
from ledger.amounts import format_amount
from ledger.times import rfc3339

Operation: TypeAlias = ops.Redeem | ops.DisputeRedemption | ops.OnRedemption


def describe_redemption(operation: Operation) -> str:
    """One operation in words."""
    match operation:
        case ops.Redeem():
            return _redeem(operation)
        case ops.PostReceipt():
            return _receipt(operation)
        case ops.DisputeRedemption():
            claim = f"{format_amount(operation.claimed)} delivered"
            deposit = f"deposit {format_amount(operation.amount)} of asset {operation.asset.hex()}"
            back = f"back to lock {operation.refund_lock.hex()}"
            where = _order(operation.order, operation.issuer)
            return f"dispute {where}: {claim}, {deposit}, {back}, by key {operation.key.hex()}"
        case ops.RuleRedemption():
            verdict = "upheld" if operation.upheld else "dismissed"
            what = f"dispute about order {operation.order.hex()}"
            return f"rule as '{operation.attestor}': {verdict}, {what}, by {operation.key.hex()}"
        case ops.ReadyRedemption():
            at = f"at {operation.endpoint}, certificate {operation.session_hash.hex()}"
            where = _order(operation.order, operation.issuer)
            return f"serve {where} {at}, by key {operation.key.hex()}"
        case ops.CancelRedemption() | ops.AcceptRedemption() | ops.CloseRedemption():
            verb = operation.name.partition("-")[0]
            where = _order(operation.order, operation.issuer)
            return f"{verb} {where}, by key {operation.key.hex()}"


def _redeem(operation: ops.Redeem) -> str:
    what = f"{format_amount(operation.amount)} coins of '{operation.issuer}'"
    use = f"for {operation.workload} of '{operation.commitment}'"
    when = f"begun by {rfc3339(operation.start_by_ms)}, until {rfc3339(operation.end_ms)}"
    wait = "not waiting"
    if operation.queue_until_ms:
        wait = f"waiting until {rfc3339(operation.queue_until_ms)}"
    who = f"session key {operation.session_key.hex()}, back to lock {operation.refund_lock.hex()}"
    return f"redeem {what} {use}, {when}, {wait}, {who}"


def _receipt(operation: ops.PostReceipt) -> str:
    receipt = operation.receipt
    what = f"{format_amount(receipt.delivered)} delivered in {receipt.microhours} µh"
    where = _order(receipt.order, operation.issuer)
    meter = f"meter {receipt.meter_root.hex()}, session key {operation.session_key.hex()}"
    signed = f"signature {operation.signature.hex()}, by key {operation.key.hex()}"
    return f"post receipt {receipt.number} of {where}: {what}, {meter}, {signed}"


def _order(order: bytes, issuer: str) -> str:
    return f"order {order.hex()} of '{issuer}'"
