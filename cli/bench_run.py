"""A throughput run from beginning to end, and the figures that come out of it.

Fund, sign, find out roughly how fast the network is, fund and sign as much as it could take, then
drive it: a warm-up, and the window that counts. The ceiling is measured right after.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from statistics import median

import uvloop

from cli import bench_ceiling, bench_target, payments
from cli.bench_load import Record, drive
from cli.bench_target import Target, Usage
from cli.bench_transactions import (
    Coin,
    Owners,
    SigningJob,
    amount_needed,
    fan_out,
    fund,
    sign_transfers,
)
from cli.errors import CliError, ExitCode
from cli.progress import Progress
from cli.wallet.build import Terms

PROBE_TRANSACTIONS = 4_000
"""Of the first, short run that finds the rate: two full blocks."""
SPARE = 1.5
"""So much more than the first run's rate suggests is signed: a warm network is faster."""
UNDER_WAY_MAX = 1_000
"""Transfers sent and not final. More only wait longer: throughput stays the same."""
FUNDING_UNDER_WAY_MAX = 100
"""Of transactions of 64 outputs: a block of them is the work of one of 2,000 transfers."""
CEILING_TRANSACTIONS = 6_000
"""On each core: about a second."""
SEED_BYTES = 32
LIFETIME_MS = 3_600_000
SIGN_CHUNK = 1_000
SAMPLE_EVERY_S = 0.5
KIB_PER_MIB = 1_024


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for."""

    seconds: float
    warmup: float
    accounts: int


@dataclass(frozen=True, slots=True)
class Sample:
    """A look at the machine."""

    at_s: float
    own_cpu_s: float
    nodes: tuple[Usage, ...]


@dataclass(frozen=True, slots=True)
class UsageFigures:
    """The largest memory of any node, and how many cores were kept busy."""

    rss_mib: float
    anonymous_mib: float
    nodes_cores: float
    generator_cores: float


@dataclass(frozen=True, slots=True)
class Figures:
    """The result of a run. Times in milliseconds unless they say otherwise."""

    tps: float
    p50_ms: float
    p99_ms: float
    seconds: float
    transactions: int
    validators: int
    cores: int
    cost_us: float
    block_transactions: int
    view_changes: int
    refused_for_room: int
    usage: UsageFigures | None
    """None where the system does not tell."""

    @property
    def ceiling_tps(self) -> float:
        return self.cores * 1e6 / (self.validators * self.cost_us)

    @property
    def ratio(self) -> float:
        return self.tps / self.ceiling_tps


@dataclass(frozen=True, slots=True)
class Funds:
    """Coins of accounts that are made from a seed."""

    terms: Terms
    seed: bytes
    coins: list[Coin]


@dataclass(slots=True)
class Run:
    """One run against one devnet."""

    target: Target
    plan: Plan
    samples: list[Sample] = field(default_factory=list)

    def measure(self) -> Figures:
        """Everything, in order; raises CliError and what the clients raise."""
        urls = [node.api for node in self.target.place.devnet.nodes]
        before = bench_target.position(urls)
        window, record = self.throughput(self.prepare(self.needed(self.probe())))
        changed = bench_target.views_since(urls, before)
        size = int(median([count for _, count in window.blocks]))
        cores = bench_ceiling.cores()
        with Progress("measuring the ceiling", 1, "runs"):
            cost_s = bench_ceiling.measure(self._ceiling_setting(size), cores)
        return self._figures(window, record, cost_s, size, cores, changed)

    def probe(self) -> float:
        """Roughly how many transactions a second the network takes."""
        raws = self.prepare(PROBE_TRANSACTIONS)
        with Progress("finding the rate", len(raws), "transfers") as progress:
            record = uvloop.run(
                drive(
                    self.target.urls,
                    [raws],
                    under_way_max=UNDER_WAY_MAX,
                    on_final=progress.reach,
                )
            )
        return len(raws) / (record.blocks[-1][0] - record.started_s)

    def needed(self, rate: float) -> int:
        """How many transfers the network could take in a run if it took so many a second."""
        return int(rate * SPARE * (self.plan.warmup + self.plan.seconds)) + UNDER_WAY_MAX

    def throughput(self, raws: Sequence[bytes]) -> tuple[Window, Record]:
        """Send these as fast as the network takes them; the part that counts, and all of it."""
        record = self._drive(raws)
        return cut_window(record, self.plan), record

    def peak(self) -> Window:
        """Throughput, with all that is done before."""
        return self.throughput(self.prepare(self.needed(self.probe())))[0]

    def prepare(self, count: int) -> list[bytes]:
        """`count` signed transfers whose coins are there."""
        return self.sign(self.fund(count))

    @property
    def terms(self) -> Terms:
        """Of what is signed now."""
        chain_id = bytes.fromhex(self.target.params.chain_id)
        return Terms(chain_id, self.target.fees, payments.now_ms() + LIFETIME_MS)

    def fund(
        self,
        count: int,
        seed: bytes | None = None,
        on_final: Callable[[int], object] | None = None,
    ) -> Funds:
        """`count` coins, each for one transfer, final on every node; of new accounts, or of those
        of an earlier seed. It tells how many of its transactions are final, or shows it."""
        terms = self.terms
        seed = seed or secrets.token_bytes(SEED_BYTES)
        owners = Owners(seed, self.plan.accounts)
        needed = amount_needed(terms, count)
        coin = bench_target.largest_coin(self.target, 2 * needed)
        first, root = fund(terms, self.target.faucet, coin, owners, needed)
        spread = fan_out(terms, owners, root, count)
        levels = [[first], *spread.levels]
        total = sum(map(len, levels))
        with contextlib.ExitStack() as stack:
            if on_final is None:
                progress = Progress(f"funding {count:,} transfers", total, "transactions")
                on_final = stack.enter_context(progress).reach
            uvloop.run(
                drive(
                    self.target.urls,
                    levels,
                    under_way_max=FUNDING_UNDER_WAY_MAX,
                    on_final=on_final,
                )
            )
        return Funds(terms, seed, spread.coins)

    def sign(self, funds: Funds) -> list[bytes]:
        """A transfer of each coin."""
        return _sign(funds.terms, funds.seed, self.plan.accounts, funds.coins)

    def _drive(self, raws: Sequence[bytes]) -> Record:
        seconds = self.plan.warmup + self.plan.seconds
        with Progress("measuring", round(seconds), "seconds") as progress:
            return uvloop.run(self._drive_watched(raws, seconds, progress.reach))

    async def _drive_watched(
        self, raws: Sequence[bytes], seconds: float, on_second: Callable[[int], object]
    ) -> Record:
        is_over = asyncio.Event()

        async def run() -> Record:
            try:
                return await drive(
                    self.target.urls, [raws], under_way_max=UNDER_WAY_MAX, seconds=seconds
                )
            finally:
                is_over.set()

        record, _ = await asyncio.gather(run(), self._sample(is_over, on_second))
        return record

    async def _sample(self, is_over: asyncio.Event, on_second: Callable[[int], object]) -> None:
        pids = self.target.pids()
        started = time.monotonic()
        while not is_over.is_set():
            found = [usage for pid in pids if (usage := bench_target.usage_of(pid))]
            now = time.monotonic()
            self.samples.append(Sample(now, time.process_time(), tuple(found)))
            on_second(int(now - started))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SAMPLE_EVERY_S):
                    await is_over.wait()

    def _ceiling_setting(self, block_transactions: int) -> bench_ceiling.Setting:
        return bench_ceiling.Setting(
            genesis=self.target.genesis_file.read_bytes(),
            faucet_seed=self.target.faucet_seed,
            transactions=CEILING_TRANSACTIONS,
            block_transactions=block_transactions,
            accounts=self.plan.accounts,
            directory=str(self.target.place.directory),
        )

    def _figures(
        self,
        window: Window,
        record: Record,
        cost_s: float,
        size: int,
        cores: int,
        view_changes: int,
    ) -> Figures:
        usage = usage_within(self.samples, window)
        return Figures(
            tps=window.tps,
            p50_ms=percentile(window.latencies_s, 50) * 1_000,
            p99_ms=percentile(window.latencies_s, 99) * 1_000,
            seconds=window.seconds,
            transactions=len(window.latencies_s),
            validators=self.target.validators,
            cores=cores,
            cost_us=cost_s * 1e6,
            block_transactions=size,
            view_changes=view_changes,
            refused_for_room=record.refused_for_room,
            usage=usage,
        )


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a run that counts."""

    begin_s: float
    end_s: float
    latencies_s: list[float]
    blocks: list[tuple[float, int]]

    @property
    def seconds(self) -> float:
        return self.end_s - self.begin_s

    @property
    def tps(self) -> float:
        return len(self.latencies_s) / self.seconds


def cut_window(record: Record, plan: Plan) -> Window:
    """What became final from the end of the warm-up on, while transfers were still being sent."""
    begin = record.started_s + plan.warmup
    end = min(begin + plan.seconds, record.sending_ended_s)
    latencies = sorted([final - sent for sent, final in record.finals if begin <= final < end])
    blocks = [item for item in record.blocks if begin <= item[0] < end]
    if not latencies:
        raise CliError(
            "nothing_measured",
            f"no transfer became final within {plan.seconds:g} s after the warm-up",
            hint="measure for longer: --seconds 60",
            exit_code=ExitCode.CHECK_FAILED,
        )
    return Window(begin, end, latencies, blocks)


def usage_within(samples: Sequence[Sample], window: Window) -> UsageFigures | None:
    """From the looks at the machine inside the window; None where there are not two."""
    inside = [item for item in samples if window.begin_s <= item.at_s <= window.end_s]
    looks = [usage for item in inside for usage in item.nodes]
    if len(inside) < 2 or not looks:
        return None
    first, last = inside[0], inside[-1]
    span_s = last.at_s - first.at_s
    return UsageFigures(
        rss_mib=max([item.resident_kib for item in looks]) / KIB_PER_MIB,
        anonymous_mib=max([item.anonymous_kib for item in looks]) / KIB_PER_MIB,
        nodes_cores=(_cpu_s(last) - _cpu_s(first)) / span_s,
        generator_cores=(last.own_cpu_s - first.own_cpu_s) / span_s,
    )


def _cpu_s(sample: Sample) -> float:
    return sum([usage.cpu_s for usage in sample.nodes])


def percentile(ordered: Sequence[float], percent: int) -> float:
    """The least value that at least so many percent do not exceed."""
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(rank, 1) - 1]


def _sign(terms: Terms, seed: bytes, accounts: int, coins: Sequence[Coin]) -> list[bytes]:
    jobs = [
        SigningJob(terms, seed, accounts, coins[start : start + SIGN_CHUNK])
        for start in range(0, len(coins), SIGN_CHUNK)
    ]
    raws: list[bytes] = []
    context = multiprocessing.get_context("spawn")
    with (
        Progress(f"signing {len(coins):,} transfers", len(coins), "transfers") as progress,
        ProcessPoolExecutor(bench_ceiling.cores(), mp_context=context) as pool,
    ):
        for signed in pool.map(sign_transfers, jobs):
            raws += signed
            progress.reach(len(raws))
    return raws
