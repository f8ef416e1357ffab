"""Blocks between their bodies and the chain: executed on their parent's state, held, appended.

A block in flight is executed on the chain's state and on whatever lies between. What was executed
is kept until the chain passes its height or the replica lets it go. A block that fails is its
proposer's fault, but one that a quorum made final must not fail here.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable, Iterator

from consensus.effects import Now
from consensus.replica_state import ReplicaBroken
from ledger import transaction
from ledger.block import Block, Certificate
from ledger.chain import Chain
from ledger.errors import InvariantBroken
from ledger.execution import execute_block
from ledger.mempool import Mempool
from ledger.parameters import Parameters
from ledger.reasons import Invalid, Reason
from ledger.state import check_transaction
from ledger.transaction import SignedTransaction
from ledger.view import Overlay, View
from node.bodies import Assembly
from node.building import ExecutedBlock, Load, build_block, load_of, ripe_ms
from node.snapshot_held import HeldSnapshot
from node.sync import ProvedBlock
from node.verify import Verifier

log = logging.getLogger("marsa.engine")


class BlockExecutor:
    """One an engine. `executed` holds blocks above the chain, by hash."""

    def __init__(
        self,
        chain: Chain,
        mempool: Mempool,
        verifier: Verifier,
        parameters: Parameters,
    ) -> None:
        self.executed: dict[bytes, ExecutedBlock] = {}
        self.snapshot = HeldSnapshot(chain)
        self._chain = chain
        self._mempool = mempool
        self._verifier = verifier
        self._parameters = parameters
        self._built_ms = 0
        self._barren = (b"", 0)
        """The block that nothing could follow, and how many waited then."""

    def view_of(self, block_hash: bytes) -> View | None:
        """The state after a block: the chain's, or that of a block in flight."""
        if block_hash == self._chain.head.hash:
            return self._chain
        executed = self.executed.get(block_hash)
        if executed is None:
            return None
        base = self.view_of(executed.block.header.parent_hash)
        return None if base is None else Overlay(base, executed.changes)

    def execute(self, assembly: Assembly, view: View) -> Reason | None:
        """Execute a proposed block on its parent's state; why it is refused, None if it is not."""
        transactions = assembly.transactions()
        block = Block(assembly.header, tuple([tx.raw for tx in transactions]))
        try:
            self.executed[assembly.block_hash] = self._execute(view, block, transactions)
        except Invalid as error:
            log.warning("block refused height=%d %s", block.header.height, error)
            return error.reason
        except InvariantBroken as error:
            log.error("invariant broken by height=%d: %s", block.header.height, error)
            return Reason.BREAKS_INVARIANT
        return None

    def execute_final(self, item: ProvedBlock) -> ExecutedBlock:
        """A block that continues the chain; raises ReplicaBroken: a quorum stands behind it."""
        held = self.executed.get(item.certificate.block_hash)
        if held is not None:
            return held
        try:
            return self._execute(self._chain, item.block, item.transactions)
        except Invalid as error:
            height = item.block.header.height
            raise ReplicaBroken(f"final block {height} fails execution here: {error}") from None

    def ripe_ms(self, parent: bytes, *, final_ms: int, is_busy: bool) -> int | None:
        """When what waits is due as a block after `parent`; `final_ms` is when the last one became
        final. On one in flight nothing is tried again until more waits: each event asks."""
        is_in_flight = parent != self._chain.head.hash
        if is_in_flight and self._barren == (parent, len(self._mempool)):
            return None
        return ripe_ms(
            self._mempool,
            self._parameters,
            in_flight=load_of(self._down_from(parent)),
            built_ms=self._built_ms,
            busy_after_ms=max(final_ms, self._built_ms) if is_busy else None,
        )

    def in_flight_count(self) -> int:
        """Transactions in `load`."""
        return sum([len(item.transactions) for item in self.executed.values()])

    def load(self) -> Load:
        """What all blocks hold that were executed here and are not final."""
        return load_of(self.executed.values())

    def build(self, view: View, proposer: bytes, now: Now) -> ExecutedBlock:
        """The block that this node would propose after `view`. It is not held yet."""
        built = build_block(
            view,
            self._mempool,
            time_ms=max(view.head.header.time_ms + 1, now.wall_ms),
            proposer=proposer,
            in_flight=_txids(self._down_from(view.head.hash)),
            final=None if view is self._chain else self._chain,
        )
        if built.transactions:
            self._built_ms = now.monotonic_ms
        else:
            self._barren = (view.head.hash, len(self._mempool))
        return built

    def append(self, executed: ExecutedBlock, certificate: Certificate) -> None:
        """Make a block part of the chain; the pool lets go what it holds or made impossible."""
        header = executed.block.header
        height = header.height
        chain, mempool = self._chain, self._mempool
        chain.append(executed.block, certificate, executed.changes, executed.transactions)
        if header.ends_epoch:
            self.snapshot.renew()
        mempool.drop_committed(height, executed.transactions)
        mempool.drop_expired(header.time_ms)
        self.executed = {
            key: item for key, item in self.executed.items() if item.block.header.height > height
        }
        mempool.drop_refused(
            lambda tx: check_transaction(chain, tx, time_ms=header.time_ms + 1),
            skip=_txids(self.executed.values()),
        )

    def keep(self, wanted: Container[bytes]) -> None:
        """What the replica let go (a view that failed) need not be held here."""
        self.executed = {key: item for key, item in self.executed.items() if key in wanted}

    def _execute(
        self, view: View, block: Block, transactions: list[SignedTransaction]
    ) -> ExecutedBlock:
        unknown = [tx for tx in transactions if self._mempool.get_by_wtxid(tx.wtxid) is None]
        for tx in unknown:
            transaction.check_stateless(tx, self._chain.chain_id, self._parameters.fees)
        self._verifier.check_transactions(unknown)
        changes = execute_block(view, block, transactions)
        return ExecutedBlock(block, transactions, changes)

    def _down_from(self, block_hash: bytes) -> Iterator[ExecutedBlock]:
        """The blocks between the chain and this one, itself included."""
        while (executed := self.executed.get(block_hash)) is not None:
            yield executed
            block_hash = executed.block.header.parent_hash


def _txids(blocks: Iterable[ExecutedBlock]) -> set[bytes]:
    return {tx.txid for item in blocks for tx in item.transactions}
