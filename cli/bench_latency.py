"""`marsa bench latency`: how long a transfer takes until it is final.

At light load each transfer is sent alone, at a fixed time, to the validators in turn, and timed by
the answer that the node which took it holds back until it is final: nothing is polled. At a share
of the peak, which is measured first, transfers go out at fixed times too (`cli.bench_open`) and
finality is what one node's blocks say. Either way a transfer's time counts from the moment it was
due, whether the generator or the network was late: no omission of what waited to be sent.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import uvloop

from cli import bench_target, nodes
from cli.async_client import AsyncClient
from cli.base import settings
from cli.bench_commands import LATENCY_RATE
from cli.bench_open import OpenRecord, offer
from cli.bench_report import load_average, show
from cli.bench_run import Plan, Run, percentile
from cli.bench_target import Target
from cli.errors import CliError, ExitCode, usage_error
from cli.output import note
from cli.progress import Progress
from ledger import transaction

SCHEMA = "marsa.bench.latency/1"
ACCOUNTS = 500
WAIT_S = 5.0
"""The longest that a node holds an answer back."""
WARMUP_S = 5.0
"""At a share of the peak: not counted, before."""
SENDERS = 1
"""A node, at a share of the peak: a network that keeps up needs no more."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Latencies in milliseconds, in ascending order."""

    rate: float
    share: float | None
    peak_tps: float | None
    seconds: float
    latencies_ms: list[float]
    validators: int
    left: int = 0
    """Refused, or never decided: they have no latency."""


def latency(rate: int | None, share: float | None, seconds: int) -> int:
    """Figures on standard output; what happens meanwhile on standard error."""
    if rate is not None and share is not None:
        message = "--rate and --share are two measurements: give one of them"
        raise usage_error("two_measurements", message)
    before = load_average()
    with nodes.errors_mapped():
        target = bench_target.find(settings().node)
        if share is None:
            figures = light(target, float(rate or LATENCY_RATE), float(seconds))
        else:
            figures = at_share(target, share, float(seconds))
    show(SCHEMA, _json(figures), _lines(figures), before)
    if figures.left:
        note(f"{figures.left:,} transfers never became final: they are in no percentile")
        return ExitCode.CHECK_FAILED
    return ExitCode.OK


def light(target: Target, rate: float, seconds: float) -> Figures:
    """One transfer at a time; raises CliError and what the clients raise."""
    raws = Run(target, Plan(seconds, 0.0, ACCOUNTS)).prepare(int(rate * seconds))
    with Progress("sending one by one", len(raws), "transfers") as progress:
        found = uvloop.run(_one_by_one(target.urls, raws, rate, progress))
    return Figures(rate, None, None, seconds, found, target.validators)


def at_share(target: Target, share: float, seconds: float) -> Figures:
    """The peak, then a share of it; raises CliError and what the clients raise."""
    run = Run(target, Plan(seconds, WARMUP_S, ACCOUNTS))
    peak = run.peak().tps
    rate = share * peak
    whole_s = WARMUP_S + seconds
    raws = run.prepare(int(rate * whole_s) + 1)
    with Progress(f"sending {rate:,.0f} a second", round(whole_s), "seconds") as progress:
        record = offer(
            target.urls,
            raws,
            rate=rate,
            seconds=whole_s,
            senders=SENDERS,
            offers_again=False,
            on_second=progress.reach,
        )
    found = due_within(record, record.started_s + WARMUP_S, record.started_s + whole_s)
    left = record.refused.total() + record.undecided
    return Figures(rate, share, peak, seconds, found, target.validators, left)


def due_within(record: OpenRecord, begin_s: float, end_s: float) -> list[float]:
    """Milliseconds of what was due in this time, whenever it became final, in ascending order;
    raises CliError where there is nothing."""
    found = [(final - due) * 1_000 for due, final in record.finals if begin_s <= due < end_s]
    if not found:
        raise CliError(
            "nothing_measured",
            "no transfer that was due became final",
            hint="measure for longer: --seconds 60",
            exit_code=ExitCode.CHECK_FAILED,
        )
    return sorted(found)


async def _one_by_one(
    urls: Sequence[str], raws: Sequence[bytes], rate: float, progress: Progress
) -> list[float]:
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(AsyncClient(url)) for url in urls]
        await asyncio.gather(*[client.status() for client in clients])  # connections are open
        started = asyncio.get_running_loop().time()
        done = 0

        async def send(number: int, raw: bytes) -> float:
            nonlocal done
            due_s = started + number / rate
            elapsed_ms = await _send(clients[number % len(clients)], raw, due_s)
            done += 1
            progress.reach(done)
            return elapsed_ms

        return sorted(await asyncio.gather(*[send(*item) for item in enumerate(raws)]))


async def _send(client: AsyncClient, raw: bytes, due_s: float) -> float:
    """Milliseconds from the moment it was due to the answer that it is final."""
    loop = asyncio.get_running_loop()
    txid = transaction.decode(raw).txid.hex()
    await asyncio.sleep(due_s - loop.time())
    await client.submit_batch([raw])
    status = await client.transaction(txid, wait_s=WAIT_S, proof=False)
    if status.status != "final":
        raise CliError(
            "stalled",
            f"transaction {txid} is {status.status} after {WAIT_S:g} s",
            hint="see who is missing with: marsa devnet status",
            exit_code=ExitCode.TIMEOUT,
        )
    return (loop.time() - due_s) * 1_000


def _json(figures: Figures) -> dict[str, object]:
    found, peak = figures.latencies_ms, figures.peak_tps
    return {
        "rate": round(figures.rate, 1),
        "share": figures.share,
        "peak_tps": None if peak is None else round(peak, 1),
        "seconds": figures.seconds,
        "transactions": len(found),
        "validators": figures.validators,
        "p50_ms": round(percentile(found, 50), 1),
        "p99_ms": round(percentile(found, 99), 1),
        "max_ms": round(found[-1], 1),
        "left": figures.left,
    }


def _lines(figures: Figures) -> list[tuple[str, str]]:
    found = figures.latencies_ms
    at = f"{figures.rate:,.0f} tx/s"
    if figures.peak_tps is not None:
        at += f", {figures.share:.0%} of a peak of {figures.peak_tps:,.0f}"
    return [
        (
            "latency",
            f"p50 {percentile(found, 50):,.1f} ms, p99 {percentile(found, 99):,.1f} ms,"
            f" max {found[-1]:,.1f} ms",
        ),
        ("at", f"{at}: {len(found):,} transfers in {figures.seconds:g} s"),
        ("network", f"{figures.validators} validators"),
    ]
