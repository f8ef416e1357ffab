"""The memory of refused transactions: a bounded answer to "what became of it?".

Keyed by wtxid, because a body with a bad witness must not stand in the way of the same body with
a good one.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from ledger.reasons import Invalid, Reason
from ledger.transaction import SignedTransaction

REJECTED_MAX = 10_000
"""Refusals remembered, the oldest go first; five full blocks."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a transaction is not in the pool."""

    txid: bytes
    wtxid: bytes
    reason: Reason
    detail: str


class Refusals:
    """The last refusals, by wtxid and by txid.

    Invariant: what stands under a txid is one of those remembered by wtxid.
    """

    __slots__ = ("_by_wtxid", "_wtxid_by_txid")

    def __init__(self) -> None:
        self._by_wtxid: OrderedDict[bytes, Rejection] = OrderedDict()
        self._wtxid_by_txid: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self._by_wtxid)

    def remember(self, tx: SignedTransaction, error: Invalid) -> Rejection:
        rejection = Rejection(tx.txid, tx.wtxid, error.reason, error.detail)
        self._by_wtxid[tx.wtxid] = rejection
        self._by_wtxid.move_to_end(tx.wtxid)
        self._wtxid_by_txid[tx.txid] = tx.wtxid
        if len(self._by_wtxid) > REJECTED_MAX:
            wtxid, oldest = self._by_wtxid.popitem(last=False)
            if self._wtxid_by_txid.get(oldest.txid) == wtxid:
                del self._wtxid_by_txid[oldest.txid]
        return rejection

    def forget(self, txid: bytes) -> None:
        """The body got in after all."""
        wtxid = self._wtxid_by_txid.pop(txid, None)
        if wtxid is not None:
            del self._by_wtxid[wtxid]

    def by_txid(self, txid: bytes) -> Rejection | None:
        """The last refusal of any witness of a body."""
        wtxid = self._wtxid_by_txid.get(txid)
        return None if wtxid is None else self._by_wtxid[wtxid]

    def by_wtxid(self, wtxid: bytes) -> Rejection | None:
        return self._by_wtxid.get(wtxid)
