"""Disputes: one side of a closing order says that its highest receipt is not what happened.

The holder says that it was not served; the issuer, that it delivered more than was signed for, by
the attested log of its meter. Whoever disputes puts up a deposit, and the loser pays it to the
other. A panel that stays silent leaves the highest receipt.
"""

from __future__ import annotations

from typing import ClassVar

from ledger.codec import Amount, AmountOrZero, Bytes32, UInt, Wire
from ledger.economy.panel import Seats, Verdict, Votes, verdict_of
from ledger.economy.redemption import ORDER_LEAST

DEPOSIT_LEAST = ORDER_LEAST
"""In µ."""


class Dispute(Wire, frozen=True):
    """About one order. Identity: the order's id."""

    TYPE: ClassVar[int] = 55
    order: Bytes32
    by_issuer: bool
    claimed: AmountOrZero
    """What was delivered in the words of who disputes, in µ: the issuer's more than the highest
    receipt, the holder's no more, which moves nothing and is for the panel to read."""
    asset: Bytes32
    deposit: Amount
    refund_lock: Bytes32
    """Where the deposit goes back to."""
    since_ms: UInt
    panel: Seats
    votes: Votes
    decided_ms: UInt
    """When the panel decided; 0 while it has not."""

    @property
    def verdict(self) -> Verdict:
        return verdict_of(self.votes)


def deposit_needed(contested: int, deposit_ppm: int) -> int:
    """A share of the coins that it is about, in µ, and never nothing."""
    return max(DEPOSIT_LEAST, -(-contested * deposit_ppm // 1_000_000))
