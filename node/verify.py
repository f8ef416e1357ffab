"""Signatures are verified once and remembered.

Votes by (key, message, signature): a certificate is made of votes that were verified when they
came. Transactions by witness hash: what gossip brought is not verified again when a block holds
it. Both memories are bounded; forgetting costs time, never correctness. Only good results are
kept: a bad signature must not push a good one out.
"""

from __future__ import annotations

from ledger import crypto, transaction
from ledger.block import IsValid
from ledger.recent import RecentSet
from ledger.transaction import SignedTransaction

VOTES_REMEMBERED = 20_000  # 32 members x 2 phases x some hundred heights and views
TRANSACTIONS_REMEMBERED = 100_000  # five full pools


class Verifier:
    """Remembers what `is_valid` (libsodium's verification by default) found good."""

    def __init__(self, is_valid: IsValid = crypto.verify) -> None:
        self._is_valid = is_valid
        self._votes: RecentSet[tuple[bytes, bytes, bytes]] = RecentSet(VOTES_REMEMBERED)
        self._wtxids: RecentSet[bytes] = RecentSet(TRANSACTIONS_REMEMBERED)

    def is_valid(self, key: bytes, message: bytes, signature: bytes) -> bool:
        """For votes and certificates."""
        triple = (key, message, signature)
        if triple in self._votes:
            return True
        good = self._is_valid(key, message, signature)
        if good:
            self._votes.add(triple)
        return good

    def check_transaction(self, tx: SignedTransaction) -> None:
        """Every signature of a transaction; raises Invalid(BAD_SIGNATURE)."""
        if tx.wtxid not in self._wtxids:
            transaction.check_signatures(tx, self._is_valid)
            self._wtxids.add(tx.wtxid)
