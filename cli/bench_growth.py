"""`marsa bench growth`: what is left of the throughput when there is much of something.

Outputs: the throughput of a devnet as it is, then that of the same one filled with so many unspent
outputs (`cli.bench_fill`), of which the load spends some of every age. Subscribers: the throughput
without, then with so many clients that listen to the events of one node (`cli.bench_crowd`). Pages:
what so many open pages of the explorer cost the node that they read (`cli.bench_pages`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from cli import bench_pages, bench_target, nodes
from cli.base import settings
from cli.bench_crowd import crowd
from cli.bench_fill import Fill
from cli.bench_report import load_average, show
from cli.bench_run import Plan, Run
from cli.bench_target import Target
from cli.errors import ExitCode, usage_error
from cli.output import note

OUTPUTS_SCHEMA = "marsa.bench.growth.outputs/1"
SUBSCRIBERS_SCHEMA = "marsa.bench.growth.subscribers/1"
PAGES_SCHEMA = "marsa.bench.growth.pages/1"
WARMUP_S = 5.0
ACCOUNTS = 500
SETTLE_S = 180.0
SETTLED_S = 2.0
SETTLED_SHARE = 0.05
"""Of a core, for so long: the node of a devnet that does nothing takes a quarter of it."""


@dataclass(frozen=True, slots=True)
class Growth:
    """Transactions a second, without much and with it."""

    amount: int
    """How many outputs or subscribers."""
    seconds: float
    validators: int
    before_tps: float
    after_tps: float

    @property
    def kept(self) -> float:
        return self.after_tps / self.before_tps


@dataclass(frozen=True, slots=True)
class Listened(Growth):
    """Also what the subscribers heard."""

    blocks_heard: int
    """All of them together, of their node."""
    lost: int
    """Streams that ended before the load did."""


def growth(outputs: int | None, subscribers: int | None, pages: int | None, seconds: int) -> int:
    """Figures on standard output; what happens meanwhile on standard error."""
    if sum([amount is not None for amount in (outputs, subscribers, pages)]) != 1:
        message = "--outputs, --subscribers and --pages are three measurements: give one of them"
        raise usage_error("two_measurements", message, "marsa bench growth --outputs 5000000")
    before = load_average()
    with nodes.errors_mapped():
        target = bench_target.find(settings().node)
        if outputs is not None:
            filled = with_outputs(target, outputs, float(seconds))
            show(OUTPUTS_SCHEMA, _json(filled, "outputs"), _lines(filled, "outputs"), before)
        elif subscribers is not None:
            heard = with_subscribers(target, subscribers, float(seconds))
            _show_listened(heard, before)
        elif pages is not None:
            read = bench_pages.with_pages(target, pages, float(seconds))
            show(PAGES_SCHEMA, bench_pages.figures(read), bench_pages.lines(read), before)
    return ExitCode.OK


def with_outputs(target: Target, outputs: int, seconds: float) -> Growth:
    """Raises CliError and what the clients raise."""
    run = Run(target, Plan(seconds, WARMUP_S, ACCOUNTS))
    fill = Fill(run)
    state = fill.state or fill.begin(run.peak().tps)
    if state.outputs:
        note(f"{state.outputs:,} outputs are there, {state.few_tps:,.0f} tx/s were before them")
    needed = run.needed(state.few_tps)
    fill.reach(state, outputs, needed)
    raws = run.sign(fill.take(state, needed))
    settle(target)
    many = run.throughput(raws)[0]
    return Growth(state.outputs, seconds, target.validators, state.few_tps, many.tps)


def settle(target: Target) -> None:
    """Until the nodes have merged what was written: who grew over months is not behind."""
    note("waiting until the nodes have merged what was written")
    deadline_s = time.monotonic() + SETTLE_S
    spent_s = _spent_s(target)
    while time.monotonic() < deadline_s:
        time.sleep(SETTLED_S)
        before_s, spent_s = spent_s, _spent_s(target)
        if spent_s - before_s < SETTLED_SHARE * SETTLED_S * target.validators:
            return


def _spent_s(target: Target) -> float:
    """Of the processor, by all nodes."""
    found = [bench_target.usage_of(pid) for pid in target.pids()]
    return sum([usage.cpu_s for usage in found if usage is not None])


def with_subscribers(target: Target, subscribers: int, seconds: float) -> Listened:
    """Raises CliError and what the clients raise."""
    run = Run(target, Plan(seconds, WARMUP_S, ACCOUNTS))
    without = run.peak()
    raws = run.prepare(run.needed(without.tps))
    with crowd(target.urls[0], subscribers) as heard:
        note(f"{subscribers:,} clients listen to {target.urls[0]}")
        crowded = run.throughput(raws)[0]
    return Listened(
        amount=subscribers,
        seconds=seconds,
        validators=target.validators,
        before_tps=without.tps,
        after_tps=crowded.tps,
        blocks_heard=heard.blocks,
        lost=heard.lost,
    )


def _show_listened(found: Listened, before: float) -> None:
    value = {**_json(found, "subscribers"), "blocks_heard": found.blocks_heard, "lost": found.lost}
    heard = f"{found.blocks_heard:,} blocks by all together, {found.lost:,} streams ended early"
    lines = [*_lines(found, "subscribers"), ("heard", heard)]
    show(SUBSCRIBERS_SCHEMA, value, lines, before)


def _json(found: Growth, what: str) -> dict[str, object]:
    return {
        what: found.amount,
        "before_tps": round(found.before_tps, 1),
        "after_tps": round(found.after_tps, 1),
        "kept": round(found.kept, 3),
        "seconds": found.seconds,
        "validators": found.validators,
    }


def _lines(found: Growth, what: str) -> list[tuple[str, str]]:
    return [
        ("before", f"{found.before_tps:,.0f} tx/s"),
        ("after", f"{found.after_tps:,.0f} tx/s with {found.amount:,} {what}: {found.kept:.0%}"),
        ("network", f"{found.validators} validators, {found.seconds:g} s each time"),
    ]
