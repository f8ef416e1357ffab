"""A batch that fails is written once more, and the node lives on with a database that forgets.

Had by: users of LevelDB after a full disk: it acknowledges every later batch and has none of them
at the next start (google/leveldb, pull request 578).
"""

from __future__ import annotations

from collections.abc import Sequence

from ledger import codec, schema, transaction
from ledger.block import Block, Certificate
from ledger.chain import Chain, _block_batch
from ledger.kv import StorageError
from ledger.transaction import SignedTransaction
from ledger.view import Changes
from tests.sim.plan import Weak
from tests.sim.planted_focus import bad_disk
from tests.sim.planting import Planted


def append(
    self: Chain,
    block: Block,
    certificate: Certificate,
    changes: Changes,
    transactions: Sequence[SignedTransaction] | None = None,
) -> None:
    self._check_next(block, certificate, changes)
    if transactions is None:
        transactions = [transaction.decode(raw) for raw in block.transactions]
    since = self._head.commitments
    batch = _block_batch(self._kv, block, changes, transactions, since.spent, since.outputs)
    batch.puts[schema.certificate_key(block.header.height)] = codec.encode(certificate)
    try:
        self._kv.write(batch.puts, batch.deletes)
    except StorageError:
        self._kv.write(batch.puts, batch.deletes)
    self._head = changes.head


PLANTED = Planted(
    target="ledger.chain:Chain.append",
    wrong=append,
    checkers=("durability",),
    focus=bad_disk(Weak.FAILING),
)
