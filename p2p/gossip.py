"""Which transactions go to all validators. Pure: the node feeds it and sends what it hands out.

What a client brings is pushed once to every validator, in batches (TXS). In a full mesh it is
enough that each validator pushes what reached it from outside the mesh; a node that hears a
transaction from a validator marks it as seen and stops there.

The seen cache is bounded. Forgetting costs a second look at a transaction, never correctness. What
waits to be pushed is bounded by bytes; above that `push` refuses, and the transaction stays in the
pool, whence the protocol re-sends it to the primary.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta

from ledger import codec
from ledger.block import TRANSACTION_BYTES_MAX
from ledger.codec import Wire, encode_payload
from ledger.reasons import Invalid, Reason
from ledger.recent import RecentSet
from p2p.wire import KIB, MESSAGES, MIB, TXS

SEEN_MAX = 100_000
"""Keys remembered at most, at least half of it: five full pools of 20,000 transactions."""
BATCH_TRANSACTIONS_MAX = 2_000
"""In one TXS: what one block can hold; more would hold the loop of the receiver."""
BATCH_BYTES = 128 * KIB
"""A batch is closed when it reaches this, so that a vote never waits behind a megabyte."""
PENDING_BYTES_MAX = 8 * MIB
"""Waiting for the next `take`: what one peer's queue can hold."""

_BATCH_BYTES_MAX = MESSAGES[TXS].size_max


class Batch(Wire, frozen=True):
    """The payload of TXS: encoded transactions, opaque here."""

    transactions: Annotated[
        tuple[Annotated[bytes, Meta(min_length=1, max_length=TRANSACTION_BYTES_MAX)], ...],
        Meta(min_length=1, max_length=BATCH_TRANSACTIONS_MAX),
    ]


def read_batch(payload: bytes) -> tuple[bytes, ...]:
    """The transactions of a TXS; Invalid when it is not one."""
    return codec.decode_payload(payload, Batch, size_max=_BATCH_BYTES_MAX).transactions


class Gossip:
    """The seen cache and what waits to be pushed."""

    def __init__(self, seen_max: int = SEEN_MAX) -> None:
        self._seen: RecentSet[bytes] = RecentSet(seen_max)
        self._pending: list[bytes] = []
        self._pending_bytes = 0

    @property
    def pending_bytes(self) -> int:
        return self._pending_bytes

    def is_new(self, key: bytes) -> bool:
        """True the first time; remembers `key` (the hash of the transaction with its witnesses)."""
        if key in self._seen:
            return False
        self._seen.add(key)
        return True

    def knows(self, key: bytes) -> bool:
        """Whether it was seen of late."""
        return key in self._seen

    def forget(self, key: bytes) -> None:
        """The refusal was of the moment (a full pool): a later copy deserves another look."""
        self._seen.discard(key)

    def push(self, transaction: bytes) -> bool:
        """Queue an admitted transaction of a client for every validator.

        False when too much is waiting already. Invalid when it is above the size of one.
        """
        size = len(transaction)
        if not 0 < size <= TRANSACTION_BYTES_MAX:
            raise Invalid(
                Reason.TOO_LARGE, f"transaction of {size} bytes, 1 to {TRANSACTION_BYTES_MAX}"
            )
        if self._pending_bytes + size > PENDING_BYTES_MAX:
            return False
        self._pending_bytes += size
        self._pending.append(transaction)
        return True

    def take(self) -> list[bytes]:
        """Everything that waits, as the payloads of TXS for all that are connected now."""
        pending, self._pending = self._pending, []
        self._pending_bytes = 0
        return batches(pending)


def batches(transactions: Iterable[bytes]) -> list[bytes]:
    """The payloads of as many TXS as the transactions need, in their order."""
    payloads: list[bytes] = []
    batch: list[bytes] = []
    size = 0
    for transaction in transactions:
        full = size + len(transaction) > BATCH_BYTES or len(batch) >= BATCH_TRANSACTIONS_MAX
        if batch and full:
            payloads.append(encode_payload(Batch(tuple(batch))))
            batch, size = [], 0
        batch.append(transaction)
        size += len(transaction)
    if batch:
        payloads.append(encode_payload(Batch(tuple(batch))))
    return payloads
