"""Residual claims: the uncovered part of coins redeemed while their issuer was in deficit.

They are outside of what is outstanding, and nothing is delivered for them. They turn into coins
again, all that there are, once the reserve covers them beside the coins.
"""

from __future__ import annotations

from typing import ClassVar

from ledger.codec import Amount, Bytes32, Slug, Wire


class ResidualClaim(Wire, frozen=True):
    """What one lock is owed in coins of one issuer. Identity: issuer, zero byte, lock."""

    TYPE: ClassVar[int] = 58
    issuer: Slug
    lock: Bytes32
    amount: Amount

    @staticmethod
    def identity(issuer: str, lock: bytes) -> bytes:
        return issuer.encode("ascii") + b"\0" + lock
