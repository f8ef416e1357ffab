"""Operations of redemption: a holder asks for compute, the issuer serves it, both may end it.

The holder speaks by the session key of the order, a fresh one for each; the issuer by its
operations key, and by its metering key where it is about what was delivered. Each leads an order
on and never back, and an order's id never comes again: none of them holds twice.
"""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from ledger.codec import Amount, AmountOrZero, Bytes32, Signature, Slug, UInt, Wire
from ledger.economy.redemption import Endpoint, Receipt


class Redeem(Wire, frozen=True, tag=31):
    """The holder of `amount` of the issuer's coin asks for compute; bound to the spent inputs by
    conservation.

    Hours are taken of `commitment`, for `workload`, from now to `end_ms`, and are to begin by
    `start_by_ms`. Where none are free, or others wait for them, it waits until `queue_until_ms`;
    0: it is refused.
    """

    name: ClassVar[str] = "redeem"
    issuer: Slug
    commitment: Slug
    workload: Slug
    amount: Amount
    session_key: Bytes32
    refund_lock: Bytes32
    start_by_ms: UInt
    end_ms: UInt
    queue_until_ms: UInt


class CancelRedemption(Wire, frozen=True, tag=32):
    """The holder takes an order back that nobody accepted; signed by its session key."""

    name: ClassVar[str] = "cancel-redemption"
    issuer: Slug
    order: Bytes32
    key: Bytes32


class AcceptRedemption(Wire, frozen=True, tag=33):
    """The issuer will serve an order; signed by its operations key."""

    name: ClassVar[str] = "accept-redemption"
    issuer: Slug
    order: Bytes32
    key: Bytes32


class ReadyRedemption(Wire, frozen=True, tag=34):
    """The issuer serves it at `endpoint`, which shows the certificate with this SHA-256."""

    name: ClassVar[str] = "ready-redemption"
    issuer: Slug
    order: Bytes32
    key: Bytes32
    endpoint: Endpoint
    session_hash: Bytes32


class PostReceipt(Wire, frozen=True, tag=35):
    """The issuer posts what the holder signed; signed by its metering key as well."""

    name: ClassVar[str] = "post-receipt"
    issuer: Slug
    key: Bytes32
    receipt: Receipt
    session_key: Bytes32
    signature: Signature
    """Of the session key over the receipt."""


class CloseRedemption(Wire, frozen=True, tag=36):
    """Either side ends a session: by the session key, or by the issuer's metering key."""

    name: ClassVar[str] = "close-redemption"
    issuer: Slug
    order: Bytes32
    key: Bytes32


class DisputeRedemption(Wire, frozen=True, tag=37):
    """One side of a closing order asks the panel, with a deposit that the transaction spends.

    By the session key: it was not served, or no more than `claimed` µ in all. By the metering key:
    `claimed` µ in all were delivered.
    """

    name: ClassVar[str] = "dispute-redemption"
    issuer: Slug
    order: Bytes32
    key: Bytes32
    claimed: AmountOrZero
    asset: Bytes32
    amount: Amount
    refund_lock: Bytes32


class RuleRedemption(Wire, frozen=True, tag=38):
    """A panel member says whether a dispute is upheld."""

    name: ClassVar[str] = "rule-redemption"
    attestor: Slug
    key: Bytes32
    order: Bytes32
    upheld: bool


OnRedemption: TypeAlias = (
    CancelRedemption
    | AcceptRedemption
    | ReadyRedemption
    | PostReceipt
    | CloseRedemption
    | RuleRedemption
)
"""Those that an order lets happen once."""
