"""Building a block: what a primary takes from the pool, executed on the state that it extends."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from ledger.block import Block
from ledger.execution import Execution
from ledger.mempool import Mempool
from ledger.reasons import Invalid
from ledger.transaction import SignedTransaction
from ledger.view import Changes, View


@dataclass(frozen=True, slots=True)
class ExecutedBlock:
    """A block that was executed here and is not final yet."""

    block: Block
    transactions: list[SignedTransaction]
    changes: Changes


def build_block(
    view: View, mempool: Mempool, *, time_ms: int, proposer: bytes, in_flight: Container[bytes]
) -> ExecutedBlock:
    """A block of what waits; what fails on the state is refused and left out.

    `in_flight` are the txids of the blocks between the chain and `view`.
    """
    execution = Execution(view, time_ms=time_ms, proposer=proposer)
    taken = []
    for tx in mempool.select(skip=in_flight):
        if not execution.fits(tx):
            continue
        try:
            execution.add(tx)
        except Invalid as error:
            mempool.reject(tx, error)
        else:
            taken.append(tx)
    changes = execution.finish()
    block = Block(changes.head.header, tuple([tx.raw for tx in taken]))
    return ExecutedBlock(block, taken, changes)
