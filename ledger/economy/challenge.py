"""Challenges: whoever doubts a commitment puts up a deposit, a panel decides, the loser pays.

    CONTESTED -> upheld (commitment VOID, deposit back, a penalty from the bond to the challenger)
              -> dismissed (what had to be deposited to the issuer, the rest back)
              -> silent panel (deposit back, nothing changes)

The commitment counts until it is ruled on. Payments are made by the system in the next block.
"""

from __future__ import annotations

from typing import ClassVar

from ledger.amounts import UNITS_PER_COIN
from ledger.codec import Amount, Bytes32, Slug, UInt, Wire
from ledger.economy.panel import Seats, Verdict, Votes, verdict_of

DEPOSIT_LEAST = UNITS_PER_COIN
"""In µ, so that doubt is never free."""


class Challenge(Wire, frozen=True):
    """One commitment in doubt; at most one at a time. Identity: that of the commitment."""

    TYPE: ClassVar[int] = 47
    issuer: Slug
    commitment: Slug
    asset: Bytes32
    deposit: Amount
    penalty: Amount
    """What the loser pays: the deposit that was needed, however much was given."""
    refund_lock: Bytes32
    """Where the deposit goes back to, and what the bond pays."""
    since_ms: UInt
    panel: Seats
    votes: Votes
    decided_ms: UInt
    """When the panel decided; 0 while it has not."""

    @property
    def verdict(self) -> Verdict:
        return verdict_of(self.votes)


def deposit_needed(at_stake: int, deposit_ppm: int, *, bond: int, bond_needed: int) -> int:
    """What is deposited, and what the bond pays when it is upheld, in µ: a share of the contested
    value, but no more than there is in the bond, or must be: a lie may be worth more than all
    coins that exist, nobody could challenge it, and more than its bond it never pays."""
    share = -(-at_stake * deposit_ppm // 1_000_000)
    return max(DEPOSIT_LEAST, min(share, max(bond, bond_needed)))
