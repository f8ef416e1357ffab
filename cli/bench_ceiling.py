"""What a machine could do if nodes had nothing to do but the ledger's own work.

The cost of one transfer on one node, without network, consensus, mempool and API: decode, rules
without state, signature, execution, state roots, and one synced batch a block with all indexes.
It is measured with one process on each core at once, as validators that share cores would run.
Every validator does this work for every transaction, hence

    ceiling = cores / (validators x cost)

The cost is processor time of all threads and waiting for the disk. Waiting for a core is left out
where the system tells it: whatever else runs on the machine must not flatter the ratio.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path

from cli.bench_transactions import Coin, Owners, amount_needed, fan_out, fund, transfer
from cli.wallet.build import Terms
from ledger import genesis as genesis_rules
from ledger import transaction
from ledger.block import (
    BLOCK_BYTES_MAX,
    COMMIT,
    Block,
    Certificate,
    VotePayload,
    make_certificate,
)
from ledger.chain import Chain
from ledger.crypto import SIGNATURE_BYTES, SigningKey
from ledger.execution import Execution
from ledger.genesis import Genesis
from ledger.genesis_state import genesis_state
from ledger.kv import LevelDB
from ledger.locks import Key, lock_hash
from ledger.transaction import SignedTransaction

LIFETIME_MS = 3_600_000
SEED = bytes(32)
"""Of the accounts of the measurement's own chains."""
SCHEDULE_FILE = Path("/proc/thread-self/schedstat")
"""Linux: nanoseconds on a core, nanoseconds in the queue for one, times it got one."""
START_S = 120.0
"""How long a process waits for the others to have their chain ready."""

_barrier: Barrier | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """What each process needs. The genesis is that of the network whose ceiling it is."""

    genesis: bytes
    faucet_seed: bytes
    transactions: int
    """At least; whole blocks are measured."""
    block_transactions: int
    accounts: int
    directory: str


def cores() -> int:
    """That this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def measure(setting: Setting, processes: int) -> float:
    """Seconds that a transfer costs on one core while all are busy: the mean over processes."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(processes)
    with context.Pool(processes, initializer=_set_barrier, initargs=(barrier,)) as pool:
        costs = pool.map(_measure_here, [setting] * processes, chunksize=1)
    return sum(costs) / len(costs)


def _set_barrier(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier


def _measure_here(setting: Setting) -> float:
    with tempfile.TemporaryDirectory(dir=setting.directory) as directory:
        kv = LevelDB.create(Path(directory) / "chain")
        try:
            chain = _Chain(kv, genesis_rules.load(setting.genesis))
            blocks = chain.prepare(setting)
            if _barrier is not None:
                _barrier.wait(START_S)
            before = Clocks.read()
            for raws in blocks:
                chain.run_block(raws)
            spent_s = Clocks.read().cost_since(before)
        finally:
            kv.close()
    return spent_s / sum([len(raws) for raws in blocks])


@dataclass(frozen=True, slots=True)
class Clocks:
    """In seconds: wall, all threads at work, this one at work, this one queued for a core."""

    wall_s: float
    process_s: float
    thread_s: float
    queued_s: float

    @classmethod
    def read(cls) -> Clocks:
        queued_s = 0.0
        if SCHEDULE_FILE.is_file():
            queued_s = int(SCHEDULE_FILE.read_text("ascii").split()[1]) / 1e9
        return cls(time.perf_counter(), time.process_time(), time.thread_time(), queued_s)

    def cost_since(self, before: Clocks) -> float:
        """What all threads worked, and what this one neither worked nor queued for a core."""
        worked = self.thread_s - before.thread_s
        idle = self.wall_s - before.wall_s - worked - (self.queued_s - before.queued_s)
        return self.process_s - before.process_s + max(0.0, idle)


class _Chain:
    """A chain of one: blocks become final because nobody else is asked."""

    def __init__(self, kv: LevelDB, genesis: Genesis) -> None:
        self._chain = Chain.create(kv, genesis_state(genesis))
        self._fees = genesis.parameters.fees
        self._proposer = genesis.validators.members[0].key
        self._signatures = {
            index: bytes(SIGNATURE_BYTES) for index in range(genesis.validators.quorum)
        }

    def prepare(self, setting: Setting) -> list[list[bytes]]:
        """Fund accounts on this chain; the transfers to measure, block by block."""
        size = setting.block_transactions
        count = -(-setting.transactions // size) * size
        faucet = SigningKey(setting.faucet_seed)
        expires_at_ms = self._chain.head.header.time_ms + LIFETIME_MS
        terms = Terms(self._chain.chain_id, self._fees, expires_at_ms)
        owners = Owners(SEED, setting.accounts)
        root = self._fund(terms, owners, faucet, count)
        spread = fan_out(terms, owners, root, count)
        for level in spread.levels:
            for raws in _blocks_of(level):
                self.run_block(raws)
        raws = [transfer(terms, owners, coin) for coin in spread.coins]
        return [raws[start : start + size] for start in range(0, count, size)]

    def run_block(self, raws: Sequence[bytes]) -> None:
        """All that a node does with a block of these transactions for itself."""
        txs: list[SignedTransaction] = []
        for raw in raws:
            tx = transaction.decode(raw)
            transaction.check_stateless(tx, self._chain.chain_id, self._fees)
            transaction.check_signatures(tx)
            txs.append(tx)
        time_ms = self._chain.head.header.time_ms + 1
        execution = Execution(self._chain, time_ms=time_ms, proposer=self._proposer)
        for tx in txs:
            execution.add(tx)
        changes = execution.finish()
        block = Block(changes.head.header, tuple(raws))
        certificate = self._certificate(changes.head.header.height, changes.head.hash)
        self._chain.append(block, certificate, changes, txs)

    def _fund(self, terms: Terms, owners: Owners, faucet: SigningKey, count: int) -> Coin:
        """Give the first account what `count` transfers need."""
        lock = lock_hash(Key(faucet.public))
        (txid, index), entry = max(
            (item for item in self._chain.outputs() if item[1].lock == lock),
            key=lambda item: item[1].amount,
        )
        coin = Coin(txid, index, entry.asset, entry.amount, 0)
        raw, funded = fund(terms, faucet, coin, owners, amount_needed(terms, count))
        self.run_block([raw])
        return funded

    def _certificate(self, height: int, block_hash: bytes) -> Certificate:
        return make_certificate(VotePayload(0, COMMIT, 0, height, block_hash), self._signatures)


def _blocks_of(raws: Sequence[bytes]) -> list[list[bytes]]:
    per_block = max(1, BLOCK_BYTES_MAX // max(map(len, raws)))
    return [list(raws[start : start + per_block]) for start in range(0, len(raws), per_block)]
