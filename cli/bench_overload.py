"""`marsa bench overload`: what a network does that is offered ten times what it can take.

The peak is measured first. Then ten times as much goes out at fixed times from many senders that
wait for nobody (`cli.bench_open`); what is refused comes again. Goodput is what becomes final
meanwhile. Everything refused has to be refused for want of room, with a code and 429, and load
alone must change no view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cli import bench_target, nodes
from cli.base import settings
from cli.bench_commands import OVERLOAD_TIMES
from cli.bench_open import BUSY, OpenRecord, offer
from cli.bench_report import load_average, memory_text, show
from cli.bench_run import KIB_PER_MIB, Plan, Run
from cli.bench_target import Target, Usage
from cli.errors import ExitCode
from cli.output import note
from cli.progress import Progress

SCHEMA = "marsa.bench.overload/1"
WARMUP_S = 5.0
"""Not counted, before: pools fill, and while they do nothing is refused."""
ACCOUNTS = 500
SENDERS = 8
"""A node, each with as many connections as one address may have."""
RESERVE = 100_000
"""Transfers beside those that become final: what pools and unanswered requests hold."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Rates are transactions a second."""

    peak_tps: float
    offered_tps: float
    goodput_tps: float
    seconds: float
    refused: dict[str, int]
    """By code."""
    undecided: int
    """Taken and not final at the end, when nothing was decided any more."""
    view_changes: int
    validators: int
    usage: Usage | None
    """Of the node that takes most memory at the end; None where the system does not tell."""

    @property
    def kept(self) -> float:
        return self.goodput_tps / self.peak_tps

    @property
    def strange(self) -> list[str]:
        """Codes of refusals that are not for want of room."""
        return sorted(self.refused.keys() - BUSY)


def overload(seconds: int) -> int:
    """Figures on standard output; what happens meanwhile on standard error."""
    before = load_average()
    with nodes.errors_mapped():
        figures = measure(bench_target.find(settings().node), float(seconds))
    show(SCHEMA, _json(figures), _lines(figures), before)
    if figures.view_changes:
        note(f"views changed {figures.view_changes} times: load alone must never cause that")
    if figures.strange:
        note(f"refused for other reasons than want of room: {', '.join(figures.strange)}")
    if figures.undecided:
        note(f"{figures.undecided:,} transfers were taken and are not final: nothing is decided")
    is_well = not (figures.view_changes or figures.strange or figures.undecided)
    return ExitCode.OK if is_well else ExitCode.CHECK_FAILED


def measure(target: Target, seconds: float) -> Figures:
    """Everything, in order; raises CliError and what the clients raise."""
    plan = Plan(seconds, WARMUP_S, ACCOUNTS)
    run = Run(target, plan)
    peak = run.peak().tps
    raws = run.prepare(run.needed(peak) + RESERVE)
    urls = [node.api for node in target.place.devnet.nodes]
    position = bench_target.position(urls)
    whole_s = plan.warmup + seconds
    with Progress(
        f"offering {OVERLOAD_TIMES * peak:,.0f} a second", round(whole_s), "seconds"
    ) as progress:
        record = offer(
            target.urls,
            raws,
            rate=OVERLOAD_TIMES * peak,
            seconds=whole_s,
            senders=SENDERS,
            offers_again=True,
            on_second=progress.reach,
        )
    return Figures(
        peak_tps=peak,
        offered_tps=record.offered_tps,
        goodput_tps=_goodput(record),
        seconds=seconds,
        refused=dict(sorted(record.refused.items())),
        undecided=record.undecided,
        view_changes=bench_target.views_since(urls, position),
        validators=target.validators,
        usage=_largest(target.pids()),
    )


def _goodput(record: OpenRecord) -> float:
    """Transactions a second that became final while ten times as many came, pools being full."""
    begin, end = record.started_s + WARMUP_S, record.sending_ended_s
    return sum(begin <= final < end for _, final in record.finals) / (end - begin)


def _largest(pids: Sequence[int]) -> Usage | None:
    found = [usage for pid in pids if (usage := bench_target.usage_of(pid))]
    return max(found, key=lambda usage: usage.resident_kib, default=None)


def _json(figures: Figures) -> dict[str, object]:
    usage = figures.usage
    return {
        "peak_tps": round(figures.peak_tps, 1),
        "offered_tps": round(figures.offered_tps, 1),
        "goodput_tps": round(figures.goodput_tps, 1),
        "kept": round(figures.kept, 3),
        "seconds": figures.seconds,
        "refused": figures.refused,
        "undecided": figures.undecided,
        "view_changes": figures.view_changes,
        "validators": figures.validators,
        "rss_mb": None if usage is None else round(usage.resident_kib / KIB_PER_MIB, 1),
        "anonymous_mb": None if usage is None else round(usage.anonymous_kib / KIB_PER_MIB, 1),
    }


def _lines(figures: Figures) -> list[tuple[str, str]]:
    times = figures.offered_tps / figures.peak_tps
    refused = ", ".join([f"{count:,} {code}" for code, count in figures.refused.items()])
    lines = [
        ("peak", f"{figures.peak_tps:,.0f} tx/s"),
        ("offered", f"{figures.offered_tps:,.0f} tx/s, {times:.1f} times the peak"),
        (
            "goodput",
            f"{figures.goodput_tps:,.0f} tx/s for {figures.seconds:g} s: {figures.kept:.0%}",
        ),
        ("refused", refused or "nothing"),
        ("network", f"{figures.validators} validators, {figures.view_changes} view changes"),
    ]
    if figures.usage is not None:
        resident, anonymous = figures.usage.resident_kib, figures.usage.anonymous_kib
        lines.append(("memory", memory_text(resident / KIB_PER_MIB, anonymous / KIB_PER_MIB)))
    return lines
