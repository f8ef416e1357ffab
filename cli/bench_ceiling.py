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
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import TypeVar

from cli.bench_ledger import Clocks, OwnChain
from cli.bench_transactions import transfer
from ledger import genesis as genesis_rules
from ledger.crypto import SigningKey
from ledger.leveldb import LevelDB

START_S = 120.0
"""How long a process waits for the others to have their chain ready."""

T = TypeVar("T")

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
    return on_all_cores(_measure_here, setting, processes)


def on_all_cores(work: Callable[[T], float], given: T, processes: int) -> float:
    """The mean of what `work` finds in so many processes at once; each calls `together` when its
    clock can start."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(processes)
    with context.Pool(processes, initializer=_set_barrier, initargs=(barrier,)) as pool:
        found = pool.map(work, [given] * processes, chunksize=1)
    return sum(found) / len(found)


def together() -> None:
    """Wait for the other processes."""
    if _barrier is not None:
        _barrier.wait(START_S)


def _set_barrier(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier


def _measure_here(setting: Setting) -> float:
    with tempfile.TemporaryDirectory(dir=setting.directory) as directory:
        kv = LevelDB.create(Path(directory) / "chain")
        try:
            genesis, faucet = genesis_rules.load(setting.genesis), SigningKey(setting.faucet_seed)
            chain = OwnChain(kv, genesis, faucet, setting.accounts)
            size = setting.block_transactions
            coins = chain.prepare(-(-setting.transactions // size) * size)
            raws = [transfer(chain.terms, chain.owners, coin) for coin in coins]
            blocks = [raws[start : start + size] for start in range(0, len(raws), size)]
            together()
            before = Clocks.read()
            for block in blocks:
                chain.run_block(block)
            spent_s = Clocks.read().cost_since(before)
        finally:
            kv.close()
    return spent_s / len(raws)
