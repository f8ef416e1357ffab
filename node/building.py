"""Building a block: what a primary takes from the pool, executed on the state that it extends."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable
from dataclasses import dataclass
from functools import cached_property

from ledger.block import (
    BLOCK_BYTES_MAX,
    BLOCK_OPERATIONS_MAX,
    BLOCK_TRANSACTIONS_MAX,
    TRANSACTION_BYTES_MAX,
    Block,
)
from ledger.errors import InvariantBroken
from ledger.execution import Execution
from ledger.mempool import Mempool
from ledger.parameters import Parameters
from ledger.reasons import Invalid, Reason
from ledger.state import check_transaction
from ledger.transaction import OPERATIONS_MAX, SignedTransaction
from ledger.view import Changes, View

BUSY_INTERVAL_MS = 100
"""Between the last block that was built or became final and the next one, while more comes in."""
BUSY_TIMEOUT_SHARE = 8
"""Of the time-out of a view: a block and its votes need the rest."""

log = logging.getLogger("marsa.engine")


@dataclass(frozen=True, slots=True)
class Load:
    """How much blocks in flight hold of what the pool counts as waiting."""

    transactions: int = 0
    payments: int = 0
    """Those without operations."""
    size_bytes: int = 0

    def __add__(self, other: Load) -> Load:
        return Load(
            self.transactions + other.transactions,
            self.payments + other.payments,
            self.size_bytes + other.size_bytes,
        )


NO_LOAD = Load()


@dataclass(frozen=True)
class ExecutedBlock:
    """A block that was executed here and is not final yet."""

    block: Block
    transactions: list[SignedTransaction]
    changes: Changes

    @cached_property
    def load(self) -> Load:
        """Of this block alone."""
        operations = sum([bool(tx.body.operations) for tx in self.transactions])
        size_bytes = sum([len(tx.raw) for tx in self.transactions])
        count = len(self.transactions)
        return Load(count, count - operations, size_bytes)


def load_of(blocks: Iterable[ExecutedBlock]) -> Load:
    """Of all of them."""
    return sum([item.load for item in blocks], NO_LOAD)


def ripe_ms(
    mempool: Mempool,
    parameters: Parameters,
    *,
    in_flight: Load = NO_LOAD,
    built_ms: int = 0,
    busy_after_ms: int | None,
) -> int | None:
    """When what waits beside `in_flight` is due as a block (monotonic), soon after the first of it
    and after the last block was built.

    While more is being admitted, `busy_after_ms` says when the last block was built or became
    final, and blocks keep a distance: what one costs whatever it holds is shared by more. A full
    one does not wait, and where the time-out of a view is short all take a small part of it.
    """
    since_ms = mempool.oldest_since_ms
    if since_ms is None or len(mempool) <= in_flight.transactions:
        return None
    due_ms = max(since_ms, built_ms) + parameters.block_interval_ms
    if busy_after_ms is None or _fills_a_block(mempool, in_flight):
        return due_ms
    distance_ms = min(BUSY_INTERVAL_MS, parameters.view_timeout_ms // BUSY_TIMEOUT_SHARE)
    return max(due_ms, busy_after_ms + distance_ms)


def _fills_a_block(mempool: Mempool, in_flight: Load) -> bool:
    """By transactions, bytes or operations, as far as the pool counts them."""
    waiting = len(mempool) - in_flight.transactions
    others = waiting - (sum(mempool.payments.values()) - in_flight.payments)
    size_bytes = mempool.size_bytes - in_flight.size_bytes
    return (
        waiting >= BLOCK_TRANSACTIONS_MAX
        or size_bytes > BLOCK_BYTES_MAX - TRANSACTION_BYTES_MAX
        or others * OPERATIONS_MAX >= BLOCK_OPERATIONS_MAX
    )


def build_block(
    view: View,
    mempool: Mempool,
    *,
    time_ms: int,
    proposer: bytes,
    in_flight: Container[bytes],
    final: View | None = None,
) -> ExecutedBlock:
    """A block of what waits; what fails is left out, and refused unless it is right on `final`.

    `in_flight` are the txids of the blocks between `final` and `view`, None where `view` is final.
    A view change may take those back, and then nothing is wrong with what fails on them alone.
    """
    room = BLOCK_TRANSACTIONS_MAX
    while True:
        execution = Execution(view, time_ms=time_ms, proposer=proposer)
        taken = _fill(execution, mempool, in_flight, room, final)
        try:
            changes = execution.finish()
        except InvariantBroken as error:
            # Ours to mend, but no reason to stop everybody: halve until the culprit is alone.
            log.error("invariant broken while building txs=%d: %s", len(taken), error)
            if not taken:
                raise
            if len(taken) == 1:
                mempool.reject(taken[0], Invalid(Reason.BREAKS_INVARIANT, str(error)))
            room = max(1, len(taken) // 2)
        else:
            block = Block(changes.head.header, tuple([tx.raw for tx in taken]))
            return ExecutedBlock(block, taken, changes)


def _fill(
    execution: Execution,
    mempool: Mempool,
    in_flight: Container[bytes],
    room: int,
    final: View | None,
) -> list[SignedTransaction]:
    left = room

    def take(tx: SignedTransaction) -> bool:
        nonlocal left
        if not left:
            return False
        try:
            execution.add(tx)
        except Invalid as error:
            if execution.fits(tx) and not _is_right_on(final, tx, execution.time_ms):
                mempool.reject(tx, error)  # else it waits for another block
            return False
        left -= 1
        return True

    return mempool.select(skip=in_flight, troubled=execution.troubled, take=take)


def _is_right_on(final: View | None, tx: SignedTransaction, time_ms: int) -> bool:
    """Of what failed on blocks in flight, if there are any."""
    if final is None:
        return False
    try:
        check_transaction(final, tx, time_ms=time_ms)
    except Invalid:
        return False
    return True
