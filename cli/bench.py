"""`marsa bench`: figures of a running devnet, with the ceiling of the machine beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.base import Group, Number, examples, settings
from cli.bench_report import load_average, memory_text, show
from cli.errors import ExitCode, usage_error
from cli.output import note
from cli.units import parse_duration

if TYPE_CHECKING:
    from cli import bench_catchup, bench_far
    from cli.bench_run import Figures

TPS_SCHEMA = "marsa.bench.tps/1"
AWAY_S = 20
ACCOUNTS = 500
SECONDS = 60
SECONDS_MAX = 600
"""Transfers are signed before the clock starts and held in memory: about 600 KiB a second."""


_TABLE = {
    "verify": ("cli.bench_commands:verify", "Signatures a second, on one core and on all."),
    "apply": ("cli.bench_commands:apply", "What a transfer costs the ledger alone, part by part."),
    "latency": ("cli.bench_commands:latency", "Finality at light load, or at a share of the peak."),
    "growth": ("cli.bench_commands:growth", "What many outputs, listeners or open pages cost."),
    "overload": ("cli.bench_commands:overload", "What is left under ten times the peak."),
}


@click.command(
    "bench",
    cls=Group,
    table=_TABLE,
    help=f"""{examples("marsa bench tps", "marsa bench tps --seconds 20 --json")}

Measure a running devnet; `verify` and `apply` measure this machine and need none. Every command
says what the load average of the machine was before it and after it.
""",
)
def bench() -> None:
    """Group of commands."""


@bench.command(
    "tps",
    short_help="Sustained throughput, latency under load, and the ceiling.",
    help=f"""{examples("marsa bench tps", "marsa bench tps --seconds 20 --json")}

Send signed transfers of 1 input and 2 outputs to all validators in turn, as fast as they take them,
and time each until it is final. Coins are fanned out and transfers signed before the clock starts.
Right after, the ceiling: what the machine could do if nodes had nothing to do but the ledger's own
work. Exit code 9 when a view changed meanwhile.
""",
)
@click.option(
    "--seconds",
    type=Number(1, SECONDS_MAX),
    default=SECONDS,
    show_default=True,
    help="How long to measure, after the warm-up.",
)
@click.option(
    "--warmup", metavar="DURATION", default="5s", show_default=True, help="Not counted, before."
)
@click.option(
    "--accounts",
    type=Number(2, 10_000),
    default=ACCOUNTS,
    show_default=True,
    help="That send and receive.",
)
def tps(seconds: int, warmup: str, accounts: int) -> int:
    """Figures on standard output; what happens meanwhile on standard error."""
    from cli import bench_target, nodes
    from cli.bench_run import Plan, Run

    before = load_average()
    plan = Plan(float(seconds), parse_duration(warmup) / 1_000, accounts)
    with nodes.errors_mapped():
        figures = Run(bench_target.find(settings().node), plan).measure()
    show(TPS_SCHEMA, _json(figures), _lines(figures), before)
    if figures.seconds < plan.seconds - 1:
        note(f"the transfers lasted {figures.seconds:.0f} s: the network was faster than expected")
    if figures.view_changes:
        note(f"views changed {figures.view_changes} times: load alone must never cause that")
        return ExitCode.CHECK_FAILED
    return ExitCode.OK


@bench.command(
    "catchup",
    short_help="How fast a validator that was away comes back.",
    help=f"""{
        examples(
            "marsa bench catchup --seconds 60 --json",
            "marsa bench catchup --blocks 10000",
            "marsa bench catchup --snapshot 1000000",
        )
    }

Kill one validator while the others take a full load, end the load, start it again and time how it
catches up: blocks and transactions a second, against the rate of the load in the same run. Then
once more with a load that goes on: what the network keeps of its rate meanwhile.

With --blocks it fetches and executes so many small blocks instead, and nothing else happens. With
--snapshot it takes the state with so many unspent outputs over the network, which goes on with a
full load. Each ends by itself and says what the load average of the machine was.
""",
)
@click.option(
    "--seconds",
    type=Number(5, SECONDS_MAX // 3),
    default=AWAY_S,
    show_default=True,
    help="How long it is away, each time.",
)
@click.option("--blocks", type=Number(100, 20_000), help="So many small blocks behind, instead.")
@click.option(
    "--snapshot",
    "outputs",
    type=Number(1_000, 2_000_000),
    help="Take a state with so many more outputs, instead.",
)
@click.option(
    "--accounts",
    type=Number(2, 100_000),
    default=ACCOUNTS,
    show_default=True,
    help="That send and receive.",
)
def catchup(seconds: int, blocks: int | None, outputs: int | None, accounts: int) -> int:
    """Figures on standard output; what happens meanwhile on standard error."""
    from cli import bench_catchup, bench_catchup_text, bench_far, bench_target, nodes

    if blocks is not None and outputs is not None:
        message = "--blocks and --snapshot are two measurements: give one of them"
        raise usage_error("two_measurements", message)
    before = load_average()
    with nodes.errors_mapped():
        target = bench_target.find(settings().node)
        figures: bench_catchup.Figures | bench_far.BlocksFigures | bench_far.SnapshotFigures
        if blocks is not None:
            figures = bench_far.FarBench(target, accounts).blocks(blocks)
        elif outputs is not None:
            figures = bench_far.FarBench(target, accounts).snapshot(outputs)
        else:
            figures = bench_catchup.Bench(target, float(seconds), accounts).measure()
    bench_catchup_text.show_figures(figures, before)
    return ExitCode.OK


def _json(figures: Figures) -> dict[str, object]:
    usage = figures.usage
    return {
        "tps": round(figures.tps, 1),
        "p50_ms": round(figures.p50_ms, 1),
        "p99_ms": round(figures.p99_ms, 1),
        "seconds": round(figures.seconds, 1),
        "transactions": figures.transactions,
        "validators": figures.validators,
        "ceiling_tps": round(figures.ceiling_tps, 1),
        "ratio": round(figures.ratio, 3),
        "rss_mb_max": None if usage is None else round(usage.rss_mib, 1),
    }


def _lines(figures: Figures) -> list[tuple[str, str]]:
    lines = [
        (
            "throughput",
            f"{figures.tps:,.0f} tx/s: {figures.transactions:,} transfers of 1 input"
            f" and 2 outputs in {figures.seconds:.1f} s",
        ),
        ("latency", f"p50 {figures.p50_ms:,.0f} ms, p99 {figures.p99_ms:,.0f} ms"),
        (
            "network",
            f"{figures.validators} validators on {figures.cores} cores,"
            f" {figures.view_changes} view changes, blocks of {figures.block_transactions}",
        ),
        (
            "ceiling",
            f"{figures.ceiling_tps:,.0f} tx/s: {figures.cost_us:.0f} µs a transfer on one node",
        ),
        ("ratio", f"{figures.ratio:.2f}"),
    ]
    usage = figures.usage
    if usage is not None:
        each_us = usage.nodes_cores * 1e6 / (figures.tps * figures.validators)
        lines += [
            ("memory", memory_text(usage.rss_mib, usage.anonymous_mib)),
            (
                "nodes",
                f"{usage.nodes_cores:.2f} cores in all, {each_us:.0f} µs a transfer on each",
            ),
            (
                "generator",
                f"{usage.generator_cores:.2f} cores,"
                f" {figures.refused_for_room:,} sent again for want of room",
            ),
        ]
    return lines
