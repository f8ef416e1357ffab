"""Signatures are verified once and remembered.

Votes by (key, message, signature): a certificate is made of votes that were verified when they
came. Transactions by witness hash: what gossip brought is not verified again when a block holds
it. Both memories are bounded; forgetting costs time, never correctness. Only good results are
kept: a bad signature must not push a good one out.

Blocks of a catch-up bring hundreds that nobody saw before, and a quarter of the time of executing
them is verification. libsodium works without the interpreter's lock, so helper threads take their
part of that; they see bytes only, and the caller waits for them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from ledger import crypto, transaction
from ledger.block import IsValid
from ledger.recent import RecentSet
from ledger.transaction import SignedTransaction

VOTES_REMEMBERED = 20_000  # 32 members x 2 phases x some hundred heights and views
TRANSACTIONS_REMEMBERED = 100_000  # five full pools
TOGETHER_MIN = 16
"""Fewer are verified sooner than a thread is woken."""
HELPERS_MAX = 3
"""More would wait for the lock, which a tenth of the work needs."""


def further_cores() -> int:
    """How many besides the first this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) - 1
    return (os.cpu_count() or 1) - 1


def helpers_here() -> int:
    """One for each further core."""
    return min(HELPERS_MAX, further_cores())


class Verifier:
    """Remembers what `is_valid` (libsodium's verification by default) found good.

    With `helpers` it is called from so many threads besides the caller's.
    """

    def __init__(self, is_valid: IsValid = crypto.verify, *, helpers: int = 0) -> None:
        self._is_valid = is_valid
        self._helpers = helpers
        self._pool = ThreadPoolExecutor(helpers, "verify") if helpers else None
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
        if not self.knows(tx):
            transaction.check_signatures(tx, self._is_valid)
            self.remember(tx)

    def knows(self, tx: SignedTransaction) -> bool:
        """Whether its signatures were found good of late."""
        return tx.wtxid in self._wtxids

    def remember(self, tx: SignedTransaction) -> None:
        """Its signatures are good."""
        self._wtxids.add(tx.wtxid)

    def check_transactions(self, txs: Sequence[SignedTransaction]) -> None:
        """The same for many; raises Invalid(BAD_SIGNATURE)."""
        unknown = [tx for tx in txs if not self.knows(tx)]
        if self._pool is None or len(unknown) < TOGETHER_MIN:
            self._check(unknown)
        else:
            own, *others = [unknown[at :: self._helpers + 1] for at in range(self._helpers + 1)]
            checks = [self._pool.submit(self._check, part) for part in others]
            try:
                self._check(own)
            finally:
                errors = [check.exception() for check in checks]  # waits for all of them
            for error in errors:
                if error is not None:
                    raise error
        for tx in unknown:
            self.remember(tx)

    def _check(self, txs: Sequence[SignedTransaction]) -> None:
        for tx in txs:
            transaction.check_signatures(tx, self._is_valid)
