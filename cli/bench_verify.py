"""`marsa bench verify`: how many signatures of transfers a node verifies in a second.

Three rates over the same transfers with one signature each. *Bare*: libsodium alone, one process
on each core at once, which is the ceiling. *One core*: what a node does with a transaction, on its
own thread. *All cores*: the same with the helper threads that a node has (`node.verify`).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cli import bench_ceiling
from cli.bench_report import load_average, show
from cli.bench_transactions import Coin, Owners, transfer
from cli.errors import ExitCode
from cli.progress import Progress
from cli.wallet.build import Terms
from ledger import crypto, transaction
from ledger.codec import UINT_MAX
from ledger.crypto import ZERO_HASH
from ledger.transaction import FeeSchedule, SignedTransaction
from node.verify import Verifier, helpers_here

SCHEMA = "marsa.bench.verify/1"
TRANSFERS = 2_000
"""Verified again and again, each time by a verifier that remembers none: a full block."""
ACCOUNTS = 100


@dataclass(frozen=True, slots=True)
class Figures:
    """Signatures a second."""

    bare: float
    """Libsodium alone, on one core while all are busy."""
    cores: int
    one_core: float
    workers: int
    all_cores: float

    @property
    def ceiling(self) -> float:
        return self.bare * self.cores

    @property
    def ratio(self) -> float:
        return self.all_cores / self.ceiling


def verify(seconds: int) -> int:
    """Figures on standard output."""
    before = load_average()
    figures = measure(float(seconds))
    show(SCHEMA, _json(figures), _lines(figures), before)
    return ExitCode.OK


def measure(seconds: float) -> Figures:
    """One rate after the other."""
    txs = [transaction.decode(raw) for raw in signed(TRANSFERS)]
    cores, helpers = bench_ceiling.cores(), helpers_here()

    def by_node(helpers: int) -> float:
        return rate(lambda: Verifier(helpers=helpers).check_transactions(txs), len(txs), seconds)

    with Progress("verifying signatures", 3, "rates") as progress:
        one_core = by_node(0)
        progress.reach(1)
        all_cores = by_node(helpers)
        progress.reach(2)
        bare = bench_ceiling.on_all_cores(_bare_here, seconds, cores)
    return Figures(bare, cores, one_core, helpers + 1, all_cores)


def signed(count: int) -> list[bytes]:
    """Transfers of 1 input and 2 outputs; what they spend does not matter here."""
    fees = FeeSchedule(per_byte=1, per_signature=1, per_new_output=1)
    terms, owners = Terms(ZERO_HASH, fees, UINT_MAX), Owners(secrets.token_bytes(32), ACCOUNTS)
    coins = (Coin(ZERO_HASH, at, ZERO_HASH, 1_000_000, at % ACCOUNTS) for at in range(count))
    return [transfer(terms, owners, coin) for coin in coins]


def rate(work: Callable[[], object], signatures: int, seconds: float) -> float:
    """Signatures a second of work that is done again until the time is over."""
    rounds, started = 0, time.perf_counter()
    while True:
        work()
        rounds += 1
        spent_s = time.perf_counter() - started
        if spent_s >= seconds:
            return rounds * signatures / spent_s


def _bare_here(seconds: float) -> float:
    triples = list(_triples([transaction.decode(raw) for raw in signed(TRANSFERS)]))
    bench_ceiling.together()
    return rate(lambda: _check(triples), len(triples), seconds)


def _triples(txs: Sequence[SignedTransaction]) -> Iterator[tuple[bytes, bytes, bytes]]:
    for tx in txs:
        message = transaction.sighash(tx.body)
        for item in tx.witness.signatures:
            yield item.key, message, item.signature


def _check(triples: Sequence[tuple[bytes, bytes, bytes]]) -> None:
    if not all(crypto.verify(*triple) for triple in triples):
        raise AssertionError("a signature that was just made is not valid")


def _json(figures: Figures) -> dict[str, object]:
    return {
        "one_core_per_s": round(figures.one_core, 1),
        "workers": figures.workers,
        "all_cores_per_s": round(figures.all_cores, 1),
        "cores": figures.cores,
        "ceiling_per_s": round(figures.ceiling, 1),
        "ratio": round(figures.ratio, 3),
    }


def _lines(figures: Figures) -> list[tuple[str, str]]:
    each_us = 1e6 / figures.one_core
    return [
        ("one core", f"{figures.one_core:,.0f} signatures/s, {each_us:.1f} µs each"),
        ("all cores", f"{figures.all_cores:,.0f} signatures/s by {figures.workers} threads"),
        (
            "ceiling",
            f"{figures.ceiling:,.0f} signatures/s: libsodium alone, {figures.cores} cores at once",
        ),
        ("ratio", f"{figures.ratio:.2f}"),
    ]
