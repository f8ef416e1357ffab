"""Signatures are verified once and remembered.

Votes by (key, message, signature): a certificate is made of votes that were verified when they
came. Transactions by witness hash: what gossip brought is not verified again when a block holds
it. Both memories are bounded; forgetting costs time, never correctness. Only good results are
kept: a bad signature must not push a good one out.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from ledger import crypto, transaction
from ledger.block import IsValid
from ledger.transaction import SignedTransaction

VOTES_REMEMBERED = 20_000  # 32 members x 2 phases x some hundred heights and views
TRANSACTIONS_REMEMBERED = 100_000  # five full pools

ItemT = TypeVar("ItemT", bound=Hashable)


class _Generations(Generic[ItemT]):
    """A bounded set: two generations, the older is forgotten when the younger is full."""

    __slots__ = ("_limit", "_old", "_young")

    def __init__(self, items_max: int) -> None:
        self._limit = items_max // 2
        self._young: set[ItemT] = set()
        self._old: set[ItemT] = set()

    def __contains__(self, item: ItemT) -> bool:
        return item in self._young or item in self._old

    def add(self, item: ItemT) -> None:
        if len(self._young) >= self._limit:
            self._old, self._young = self._young, set()
        self._young.add(item)


class Verifier:
    """Remembers what `is_valid` (libsodium's verification by default) found good."""

    def __init__(self, is_valid: IsValid = crypto.verify) -> None:
        self._is_valid = is_valid
        self._votes: _Generations[tuple[bytes, bytes, bytes]] = _Generations(VOTES_REMEMBERED)
        self._wtxids: _Generations[bytes] = _Generations(TRANSACTIONS_REMEMBERED)

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
