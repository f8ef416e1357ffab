"""The one way of a transaction into the pool, whoever brings it.

Cheapest first: size and shape, remembered refusals, rules without state, signatures once, then
the same predicate that execution uses.
"""

from __future__ import annotations

from consensus.effects import Now
from ledger import transaction
from ledger.chain import Chain
from ledger.mempool import Mempool
from ledger.reasons import Invalid, Reason
from ledger.state import check_transaction
from ledger.transaction import FeeSchedule, SignedTransaction
from node.verify import Verifier


class Intake:
    """Decodes, checks and admits; raises Invalid with the reason, the same for everyone."""

    def __init__(
        self, chain: Chain, mempool: Mempool, verifier: Verifier, fees: FeeSchedule
    ) -> None:
        self._chain = chain
        self._mempool = mempool
        self._verifier = verifier
        self._fees = fees

    def submit(self, raw: bytes, now: Now) -> SignedTransaction:
        """Admit a transaction; ALREADY_KNOWN and ALREADY_FINAL are refusals like any other."""
        tx = transaction.decode(raw)
        refused = self._mempool.rejection_by_wtxid(tx.wtxid)
        if refused is not None and refused.reason is Reason.BAD_SIGNATURE:
            raise Invalid(refused.reason, refused.detail)
        try:
            self._check_alone(tx)
        except Invalid as error:
            self._mempool.reject(tx, error)
            raise
        self._mempool.add(
            tx,
            check=lambda item: check_transaction(self._chain, item, time_ms=self._time_ms(now)),
            now_ms=now.monotonic_ms,
        )
        return tx

    def check(self, raw: bytes, now: Now) -> SignedTransaction:
        """Everything that `submit` checks but the pool's room; admits nothing."""
        tx = transaction.decode(raw)
        self._check_alone(tx)
        check_transaction(self._chain, tx, time_ms=self._time_ms(now))
        return tx

    def _check_alone(self, tx: SignedTransaction) -> None:
        transaction.check_stateless(tx, self._chain.chain_id, self._fees)
        self._verifier.check_transaction(tx)

    def _time_ms(self, now: Now) -> int:
        """The least time that the next block can have."""
        return max(self._chain.head.header.time_ms + 1, now.wall_ms)
