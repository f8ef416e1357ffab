"""The one way of a transaction into the pool, whoever brings it.

Cheapest first: size and shape, remembered refusals, the pool's room, rules without state,
signatures once, then the same predicate that execution uses. A node that is offered ten times what
it can take spends its time on what gets in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from consensus.effects import Now
from ledger import transaction
from ledger.chain import Chain
from ledger.locks import Key
from ledger.mempool import Mempool
from ledger.reasons import Invalid, Reason
from ledger.state import check_transaction
from ledger.transaction import FeeSchedule, SignedTransaction
from node.verify import Verifier

SMALL_BYTES_MAX = 768
SMALL_SIGNATURES_MAX = 2
"""What a group may hold, with plain keys for locks, so that it is looked at within a slice of the
loop's time: payments of one coin or two."""
_MAY_BE_FINAL = frozenset((Reason.SPENT_INPUT, Reason.REPLAYED_OPERATION, Reason.EXPIRED))
"""What a copy of a final transaction looks like once the pool has forgotten it."""


@dataclass(slots=True)
class Looked:
    """What was said of a transaction before its turn."""

    tx: SignedTransaction | None = None
    """None where the bytes are none."""
    refusal: Invalid | None = None
    is_sound: bool = False
    """Rules without state and signatures are right."""


def _is_small(tx: SignedTransaction) -> bool:
    return (
        len(tx.raw) <= SMALL_BYTES_MAX
        and not tx.body.operations
        and len(tx.witness.signatures) <= SMALL_SIGNATURES_MAX
        and {*map(type, tx.witness.conditions)} <= {Key}
    )


class Intake:
    """Checks and admits; raises Invalid with the reason, the same for everyone."""

    def __init__(
        self, chain: Chain, mempool: Mempool, verifier: Verifier, fees: FeeSchedule
    ) -> None:
        self._chain = chain
        self._mempool = mempool
        self._verifier = verifier
        self._fees = fees

    def admit(self, tx: SignedTransaction, now: Now, *, resent_by: bytes | None = None) -> None:
        """Let a transaction wait; ALREADY_KNOWN and ALREADY_FINAL are refusals like any other.

        `resent_by` is the key of the member that sends it again, into that member's room.
        """
        self.check_first(tx, resent_by=resent_by)
        self.check_alone(tx)
        self.add(tx, now, resent_by=resent_by)

    def add(self, tx: SignedTransaction, now: Now, *, resent_by: bytes | None = None) -> None:
        """The last step of `admit`, for what passed the others: room and state as they are now."""
        try:
            self._mempool.add(
                tx,
                check=lambda item: check_transaction(self._chain, item, time_ms=self._time_ms(now)),
                now_ms=now.monotonic_ms,
                resent_by=resent_by,
            )
        except Invalid as error:
            if error.reason in _MAY_BE_FINAL and self._is_final(tx.txid):
                raise Invalid(Reason.ALREADY_FINAL, f"{tx.txid.hex()} is final") from None
            raise

    def check_first(self, tx: SignedTransaction, *, resent_by: bytes | None = None) -> None:
        """What a look into memory says, before anybody's time goes into rules or signatures."""
        refused = self._mempool.rejection_by_wtxid(tx.wtxid)
        if refused is not None and refused.reason is Reason.BAD_SIGNATURE:
            raise Invalid(refused.reason, refused.detail)
        self._mempool.check_new(tx)
        self._mempool.check_space(tx, resent_by=resent_by)

    def check_alone(self, tx: SignedTransaction) -> None:
        """Rules without state and signatures; what breaks them is remembered."""
        try:
            self._check_alone(tx)
        except Invalid as error:
            self._mempool.reject(tx, error)
            raise

    def look(self, raw: bytes, *, resent_by: bytes | None = None) -> Looked:
        """Decode it, and `check_first`; what is wrong is said in the answer."""
        looked = Looked()
        try:
            looked.tx = transaction.decode(raw)
            self.check_first(looked.tx, resent_by=resent_by)
        except Invalid as error:
            looked.refusal = error
        return looked

    def check_small(self, group: Iterable[Looked]) -> None:
        """`check_alone` for those that cost little, of each transaction once, kind of work after
        kind of work; all others are left to their turn."""
        txids = set[bytes]()
        for item in group:
            tx = item.tx
            if tx is None or item.refusal or item.is_sound or tx.txid in txids or not _is_small(tx):
                continue
            txids.add(tx.txid)
            try:
                self._mempool.check_new(tx)
                self.check_alone(tx)
                item.is_sound = True
            except Invalid as error:
                item.refusal = error

    def admit_looked(self, looked: Looked, now: Now, *, resent_by: bytes | None = None) -> None:
        """As `admit`, of what was looked at before."""
        if looked.refusal is not None or looked.tx is None:
            raise looked.refusal or AssertionError("nothing was looked at")
        if looked.is_sound:
            self.add(looked.tx, now, resent_by=resent_by)
        else:  # once more from the cheapest on: another witness of it may wait by now
            self.admit(looked.tx, now, resent_by=resent_by)

    def check(self, tx: SignedTransaction, now: Now) -> None:
        """Everything that `admit` checks but the pool's room; admits nothing."""
        self._check_alone(tx)
        self._mempool.check_rivals(tx)
        check_transaction(self._chain, tx, time_ms=self._time_ms(now))

    def _is_final(self, txid: bytes) -> bool:
        """Known by its place, for its body may be pruned."""
        return self._chain.indexes.place(txid) is not None

    def _check_alone(self, tx: SignedTransaction) -> None:
        transaction.check_stateless(tx, self._chain.chain_id, self._fees)
        self._verifier.check_transaction(tx)

    def _time_ms(self, now: Now) -> int:
        """The least time that the next block can have."""
        return max(self._chain.head.header.time_ms + 1, now.wall_ms)
