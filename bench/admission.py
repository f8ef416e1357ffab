"""How fast one validator takes in transactions, with one core and with more.

    PYTHONPATH=. taskset -c 0 .venv/bin/python bench/admission.py --processes 0
    PYTHONPATH=. .venv/bin/python bench/admission.py --processes 1

The way in of a node, as clients' batches of 100 transfers come through it, 16 of them at once:
decode, rules, signatures, state on LevelDB, pool; verifying processes beside it; no sockets and no
blocks.
Prints transactions a second and the processor time of this process for each.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from cli.bench_ledger import OwnChain
from cli.bench_transactions import transfer
from cli.devnet.blueprint import Blueprint
from consensus.view_change import Rules
from ledger import crypto
from ledger.crypto import SigningKey
from ledger.kv import MemoryKV
from ledger.leveldb import LevelDB
from ledger.mempool import Mempool
from ledger.reserve_history import ReserveHistory
from ledger.witnesses import Witnesses
from node.directory import Directory
from node.driver import Driver, read_clocks
from node.engine import Engine
from node.intake import Intake
from node.outbox import NetworkOutbox
from node.signing import LocalKey
from node.verify import Verifier
from node.verify_workers import running
from node.vote_guard import VoteGuard

TRANSACTIONS = 12_000
ACCOUNTS = 500
BATCH = 100
AT_ONCE = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=-1, help="that verify; -1: as cores are")
    uvloop.run(_measure(parser.parse_args().processes))


async def _measure(processes: int) -> None:
    plan = Blueprint(bytes(32), read_clocks().wall_ms)
    verifier = Verifier()
    with tempfile.TemporaryDirectory() as directory:
        kv = LevelDB.create(Path(directory) / "chain")
        try:
            driver, raws = _prepare(kv, plan, verifier)
            async with running(verifier, processes) as workers:
                driver.workers = workers
                wall_s, own_s = await _drive(driver, raws)
        finally:
            kv.close()
    print(f"{len(raws) / wall_s:,.0f} tx/s, {own_s / len(raws) * 1e6:.0f} us of this process each")


def _prepare(kv: LevelDB, plan: Blueprint, verifier: Verifier) -> tuple[Driver, list[bytes]]:
    """A node that follows, and transfers of coins that its chain has."""
    own = OwnChain(kv, plan.genesis, SigningKey(plan.holders[-1].seed), ACCOUNTS)
    raws = [transfer(own.terms, own.owners, coin) for coin in own.prepare(TRANSACTIONS)]
    chain, parameters = own.chain, plan.genesis.parameters
    rules = Rules.of(chain.head.header, plan.genesis.validators, parameters, crypto.verify)
    mempool, members = Mempool(), Directory(chain)
    key = LocalKey(SigningKey(bytes(32)), rules.chain_id)
    engine = Engine(
        rules=rules,
        chain=chain,
        mempool=mempool,
        verifier=verifier,
        guard=VoteGuard(key, rules, None, new_log=_no_log, why="it only takes in"),
        outbox=NetworkOutbox(members),
        witnesses=Witnesses(kv),
        now=read_clocks(),
    )
    intake = Intake(chain, mempool, verifier, parameters.fees)
    return Driver(engine, intake, mempool, members, ReserveHistory(MemoryKV())), raws


def _no_log() -> None:
    raise AssertionError("nothing is voted for here")


async def _drive(driver: Driver, raws: Sequence[bytes]) -> tuple[float, float]:
    """Seconds, and of them those that this process worked."""
    batches = iter([raws[at : at + BATCH] for at in range(0, len(raws), BATCH)])

    async def client() -> None:
        for batch in batches:
            results = await driver.submit(batch)
            refusals = [item.refusal for item in results if item.refusal is not None]
            assert not refusals, refusals[0]

    wall_s, own_s = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(client())
    return time.perf_counter() - wall_s, time.process_time() - own_s


if __name__ == "__main__":
    main()
