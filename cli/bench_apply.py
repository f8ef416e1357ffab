"""`marsa bench apply`: what a transfer costs the ledger of one node, part by part.

It is the work of the ceiling (`cli.bench_ceiling`), done by one process on a chain of its own in
LevelDB, with a clock between the parts. With many outputs the chain is filled first, by blocks of
transactions with 64 outputs that are executed like any others; the transfers then spend outputs
drawn evenly among all of them. No network is needed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.bench_commands import APPLY_BLOCK
from cli.bench_ledger import PARTS, OwnChain, PartClock
from cli.bench_report import load_average, show
from cli.bench_transactions import Coin, transfer
from cli.devnet.blueprint import SEEDED_TIME_MS, Blueprint
from cli.errors import ExitCode
from cli.node_errors import node_errors_mapped
from cli.progress import Progress
from ledger.crypto import SigningKey
from ledger.leveldb import LevelDB

SCHEMA = "marsa.bench.apply/1"
TRANSACTIONS = 10_000
WARMUP = 2_000
"""Transfers that are not counted, before: caches of a chain that was just opened are empty."""
ACCOUNTS = 500
LABELS = {
    "decode": "of its bytes",
    "rules": "without state",
    "signature": "one",
    "state": "lookups and the rules with state",
    "roots": "what the block changes, state roots",
    "append": "records, indexes, one synced batch a block",
}


@dataclass(frozen=True, slots=True)
class Figures:
    """Microseconds a transfer, by part."""

    outputs: int
    """Unspent when the clock started."""
    transactions: int
    parts_us: dict[str, float]

    @property
    def sum_us(self) -> float:
        return sum(self.parts_us.values())


def apply(outputs: int | None, directory: Path | None) -> int:
    """Figures on standard output."""
    before = load_average()
    with ExitStack() as stack, node_errors_mapped():
        if directory is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        figures = measure(directory, outputs)
    show(SCHEMA, _json(figures), _lines(figures), before)
    return ExitCode.OK


def measure(directory: Path, outputs: int | None) -> Figures:
    """On the chain in this directory, or a new one; raises CliError and StorageError."""
    place = directory / "chain"
    needed = WARMUP + TRANSACTIONS
    directory.mkdir(parents=True, exist_ok=True)
    with _chain_at(place) as chain:
        if outputs is None:
            return _measured(chain, chain.prepare(needed))
        with Progress("filling the chain", outputs, "outputs") as progress:
            chain.fill(outputs, progress.reach)
        coins = chain.drawn(needed)
    with _chain_at(place) as chain:  # again: what drawing read would be remembered
        return _measured(chain, coins)


@contextmanager
def _chain_at(place: Path) -> Iterator[OwnChain]:
    plan = Blueprint(bytes(32), SEEDED_TIME_MS)
    kv = LevelDB.open(place) if place.exists() else LevelDB.create(place)
    try:
        yield OwnChain(kv, plan.genesis, SigningKey(plan.holders[-1].seed), ACCOUNTS)
    finally:
        kv.close()


def _measured(chain: OwnChain, coins: Sequence[Coin]) -> Figures:
    outputs = chain.held()
    with Progress("signing transfers", len(coins), "transfers"):
        raws = [transfer(chain.terms, chain.owners, coin) for coin in coins]
    blocks = [raws[start : start + APPLY_BLOCK] for start in range(0, len(raws), APPLY_BLOCK)]
    warm = WARMUP // APPLY_BLOCK
    for block in blocks[:warm]:
        chain.run_block(block)
    clock = PartClock()
    with Progress("executing transfers", TRANSACTIONS, "transfers") as progress:
        for number, block in enumerate(blocks[warm:], 1):
            clock.lap("between")
            chain.run_block(block, clock.lap)
            progress.reach(number * APPLY_BLOCK)
    count = sum(map(len, blocks[warm:]))
    return Figures(outputs, count, {part: clock.spent_s[part] * 1e6 / count for part in PARTS})


def _json(figures: Figures) -> dict[str, object]:
    parts = {f"{part}_us": round(us, 2) for part, us in figures.parts_us.items()}
    return {
        "outputs": figures.outputs,
        "transactions": figures.transactions,
        **parts,
        "sum_us": round(figures.sum_us, 2),
        "tps_one_core": round(1e6 / figures.sum_us, 1),
    }


def _lines(figures: Figures) -> list[tuple[str, str]]:
    outputs = f"{figures.outputs:,} unspent outputs, {figures.transactions:,} transfers"
    parts = [(name, f"{us:7.1f} µs  {LABELS[name]}") for name, us in figures.parts_us.items()]
    told = f"{figures.sum_us:7.1f} µs a transfer, {1e6 / figures.sum_us:,.0f} a second of one core"
    return [("ledger", outputs), *parts, ("sum", told)]
