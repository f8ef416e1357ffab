"""A member's eye on its primary: what waits too long is sent to it again, and it is judged.

Part of the engine's turn, so that the simulator runs it too. What was decided by catching up tells
nothing about what the primary heard, and begins everything anew; so do another view and a lost
link.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

from consensus.effects import Now
from consensus.replica_state import ReplicaState
from consensus.suspicion import BlockFill, PassedOver, Throughput, Waiting
from ledger.block import (
    BLOCK_BYTES_MAX,
    BLOCK_OPERATIONS_MAX,
    BLOCK_TRANSACTIONS_MAX,
    TRANSACTION_BYTES_MAX,
)
from ledger.chain import Chain
from ledger.execution import kind_of, troubled_assets
from ledger.mempool import RESENT_BYTES_MAX, RESENT_MAX, Mempool
from ledger.reasons import Invalid
from ledger.state import check_transaction
from ledger.transaction import SignedTransaction
from node.building import Load


class Oversight:
    """One an engine. `cause` says why the present primary is suspected, empty when it is not."""

    def __init__(
        self,
        chain: Chain,
        mempool: Mempool,
        in_flight: Callable[[], Load],
        patience_ms: int,
        now: Now,
    ) -> None:
        self.cause = ""
        self._in_flight = in_flight
        self._chain = chain
        self._mempool = mempool
        self._patience_ms = patience_ms
        self._passed_over = PassedOver()
        self._throughput = Throughput(now.monotonic_ms)
        self._view = 0
        self._resend_ms = now.monotonic_ms + patience_ms

    def watch(self, state: ReplicaState, now: Now) -> list[SignedTransaction]:
        """Look at the primary; what must go to it again now. STATUS makes a turn every second."""
        is_judged = (
            state.active
            and state.synced
            and state.primary != state.member
            and state.primary in state.connected
        )
        if state.view != self._view or not is_judged:
            self._view = state.view
            self.forget()
        self._look(now)
        if not is_judged or now.monotonic_ms < self._resend_ms:
            return []
        self._resend_ms = now.monotonic_ms + self._patience_ms
        late = self._late(now)
        troubled = troubled_assets(self._chain)
        round_ = [Waiting(tx.txid, kind_of(tx, troubled)) for tx in late]
        self._passed_over.on_resent(round_, now.monotonic_ms)
        self._judge(now)
        return late

    def decided(self, transactions: Sequence[SignedTransaction], now: Now) -> None:
        """The primary's block is final, and the pool has forgotten what it holds."""
        self._look(now)
        fill = BlockFill.of(transactions, troubled_assets(self._chain))
        self._passed_over.on_decided(fill)
        self._throughput.on_decided(fill)
        self._judge(now)

    def full_block_waits(self) -> bool:
        """A full block of payments beside those in flight, whatever the size of the others:
        operations fill no block, nor do fees in coins of issuers in deficit. Who those are is asked
        last, for it is dearest."""
        return self._is_full_block_without(()) and self._is_full_block_without(
            troubled_assets(self._chain)
        )

    def forget(self) -> None:
        """Nothing that was seen so far speaks against the primary."""
        self._passed_over.forget()
        self._throughput.forget()
        self.cause = ""

    def _look(self, now: Now) -> None:
        if self._throughput.is_open(now.monotonic_ms):
            waits = self.full_block_waits()
            self._throughput.look(now.monotonic_ms, full_block_waits=waits)

    def _judge(self, now: Now) -> None:
        self.cause = ""
        for txid in self._passed_over.accusing(now.monotonic_ms, self._patience_ms):
            tx = self._mempool.get(txid)
            if tx is not None and self._is_executable(tx):
                self.cause = f"it passes over {txid.hex()}"
                return
        if self._throughput.is_slow(now.monotonic_ms):
            self.cause = "it decides less than half of what it could"

    def _late(self, now: Now) -> list[SignedTransaction]:
        """What waits for T and can be executed, as much as the primary keeps room for: government
        and evidence first, which others with operations would hide."""
        since_ms_max = now.monotonic_ms - self._patience_ms
        late, room_bytes, operations = [], RESENT_BYTES_MAX, 0
        for tx in self._mempool.pending(RESENT_MAX, since_ms_max=since_ms_max):
            room_bytes -= len(tx.raw)
            operations += tx.operations_count
            if room_bytes < 0:
                break
            if operations > BLOCK_OPERATIONS_MAX and tx.body.operations:  # dear to ask about
                continue
            if self._is_executable(tx):
                late.append(tx)
        return late

    def _is_executable(self, tx: SignedTransaction) -> bool:
        """By the time of the chain, which is the primary's: our clock may be another."""
        try:
            check_transaction(self._chain, tx, time_ms=self._chain.head.header.time_ms + 1)
        except Invalid:
            return False
        return True

    def _is_full_block_without(self, troubled: Container[bytes]) -> bool:
        pool, in_flight = self._mempool, self._in_flight()
        payments = sum([n for asset, n in pool.payments.items() if asset not in troubled])
        payment_bytes = pool.size_bytes - (len(pool) - payments) * TRANSACTION_BYTES_MAX
        payments -= in_flight.payments
        payment_bytes -= in_flight.size_bytes
        return payments >= BLOCK_TRANSACTIONS_MAX or payment_bytes >= BLOCK_BYTES_MAX
