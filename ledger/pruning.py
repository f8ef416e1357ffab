"""Old bodies are deleted, a few blocks with each block that is written.

What stays of a block without its body: header, certificate, the leaves of its `tx_root`, and all
indexes. So it still proves itself, and a transaction that somebody kept is still proved to be in it
and found by its id.
"""

from __future__ import annotations

from ledger import schema
from ledger.crypto import HASH_BYTES
from ledger.indexes import Batch
from ledger.kv import Reader
from ledger.schema import DamagedChain

BODIES_KEPT = 1_000
"""The last ones. A node that is further behind asks one that archives, or takes a snapshot."""
BLOCKS_A_BATCH = 4
"""Deleted with one block, so that a store which begins to prune catches up, and no block takes
long: 8,000 deletes at most, 10 ms."""


def add_pruning(batch: Batch, kv: Reader, height: int, bodies_from: int) -> int:
    """Put what falls away with the block at `height` into its batch; `bodies_from` is the lowest
    height with a body before it, the result that after it."""
    end = max(bodies_from, min(height - BODIES_KEPT + 1, bodies_from + BLOCKS_A_BATCH))
    for pruned in range(bodies_from, end):
        leaves = kv.get(schema.leaves_key(pruned))
        if leaves is None:
            raise DamagedChain(f"the list of transactions at height {pruned} is missing")
        count = len(leaves) // HASH_BYTES
        batch.deletes += [schema.body_key(pruned, position) for position in range(count)]
    if end > bodies_from:
        batch.puts[schema.BODIES_KEY] = end.to_bytes(8, "big")
    return end
