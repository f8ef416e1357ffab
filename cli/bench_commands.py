"""The benchmarks' command lines: what each takes. What it does is loaded when it runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from cli.base import Command, Number, examples

VERIFY_SECONDS = 5
VERIFY_SECONDS_MAX = 60
APPLY_OUTPUTS_MIN = 50_000
"""Far more than the transfers spend."""
APPLY_OUTPUTS_MAX = 6_000_000
"""What one coin of the faucet pays for."""
APPLY_BLOCK = 500
LATENCY_RATE_MAX = 1_000
LATENCY_SECONDS = 20
LATENCY_SECONDS_MAX = 600
LATENCY_RATE = 10
OVERLOAD_SECONDS = 20
OVERLOAD_SECONDS_MAX = 300
OVERLOAD_TIMES = 10
GROWTH_SECONDS = 30
GROWTH_SECONDS_MAX = 600
GROWTH_OUTPUTS_MIN = 1_000
GROWTH_OUTPUTS_MAX = 10_000_000
GROWTH_SUBSCRIBERS_MAX = 1_000
"""Of one node, which lets 1,024 listen."""
GROWTH_PAGES_MAX = 200
"""Of one node, which takes 1,280 connections: six a page."""


class Share(click.ParamType[float]):
    """A part of one, in decimals."""

    name = "SHARE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, float):
            return value
        if re.fullmatch(r"0\.[0-9]{1,3}|1\.0{1,3}|1", value) is None or not float(value):
            self.fail(f"{value!r} is no share: write one from 0.001 to 1, like 0.8", param, ctx)
        return float(value)


@click.command(
    "verify",
    cls=Command,
    help=f"""{examples("marsa bench verify", "marsa bench verify --seconds 10 --json")}

Verify the signatures of transfers with one signature each: on one core as a node does it, with all
its verification threads, and by libsodium alone on every core at once, which is the ceiling. No
network is needed.
""",
)
@click.option(
    "--seconds",
    type=Number(1, VERIFY_SECONDS_MAX),
    default=VERIFY_SECONDS,
    show_default=True,
    help="How long, each of the three.",
)
def verify(seconds: int) -> int:
    """Figures on standard output."""
    from cli import bench_verify

    return bench_verify.verify(seconds)


@click.command(
    "apply",
    cls=Command,
    help=f"""{
        examples(
            "marsa bench apply",
            "marsa bench apply --outputs 5000000 --directory /tmp/filled --json",
        )
    }

Execute blocks of {APPLY_BLOCK} transfers of 1 input and 2 outputs on a chain in LevelDB and say
what each part of the work costs one core, per transfer. This is the work whose cost sets the
ceiling of `marsa bench tps`. No network is needed.

With --outputs the chain is filled first, and the transfers spend outputs drawn among all. In a
--directory the chain stays: a fill that was stopped goes on there, and another run finds it full.
""",
)
@click.option(
    "--outputs",
    type=Number(APPLY_OUTPUTS_MIN, APPLY_OUTPUTS_MAX),
    help="Unspent outputs to fill the chain with before.",
)
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the chain here.  [default: a temporary one]",
)
def apply(outputs: int | None, directory: Path | None) -> int:
    """Figures on standard output."""
    from cli import bench_apply

    return bench_apply.apply(outputs, directory)


@click.command(
    "latency",
    cls=Command,
    help=f"""{
        examples(
            "marsa bench latency --rate 10 --seconds 20",
            "marsa bench latency --share 0.8 --seconds 30 --json",
        )
    }

Send transfers at fixed times and say how long they took until they were final: at light load one
by one, or with --share at that share of the highest throughput, which is measured first. Time
counts from the moment a transfer was due. Exit code 9 when some never became final.
""",
)
@click.option(
    "--rate",
    type=Number(1, LATENCY_RATE_MAX),
    help=f"Transfers a second.  [default: {LATENCY_RATE}]",
)
@click.option("--share", type=Share(), help="At this share of the peak, instead.")
@click.option(
    "--seconds",
    type=Number(1, LATENCY_SECONDS_MAX),
    default=LATENCY_SECONDS,
    show_default=True,
    help="How long to send.",
)
def latency(rate: int | None, share: float | None, seconds: int) -> int:
    """Figures on standard output."""
    from cli import bench_latency

    return bench_latency.latency(rate, share, seconds)


@click.command(
    "overload",
    cls=Command,
    help=f"""{examples("marsa bench overload", "marsa bench overload --seconds 60 --json")}

Measure the highest throughput, then offer {OVERLOAD_TIMES} times as much at fixed times, from
senders that wait for nobody, and say what became final of it, what was refused and why, and what
memory the nodes take afterwards. Exit code 9 when a view changed, when something was refused for
another reason than want of room (429), or when what was taken never became final.
""",
)
@click.option(
    "--seconds",
    type=Number(1, OVERLOAD_SECONDS_MAX),
    default=OVERLOAD_SECONDS,
    show_default=True,
    help="How long to measure, the peak and the overload each.",
)
def overload(seconds: int) -> int:
    """Figures on standard output."""
    from cli import bench_overload

    return bench_overload.overload(seconds)


@click.command(
    "growth",
    cls=Command,
    help=f"""{
        examples(
            "marsa bench growth --outputs 5000000",
            "marsa bench growth --subscribers 1000 --json",
            "marsa bench growth --pages 10 --seconds 6",
        )
    }

Compare the throughput of the devnet as it is with that of the same one when it holds so many more
unspent outputs, or when so many clients listen to the events of one of its nodes. With --pages the
load is fixed, a quarter of the peak, and the figure is the processor time that so many open pages
of the explorer cost the node that they read, as a part of one core.

Outputs are made through the network and stay. A fill that was stopped goes on where it was: run
the same command again. Begin with a new devnet: the first figure is of the ledger as it is.
""",
)
@click.option(
    "--outputs",
    type=Number(GROWTH_OUTPUTS_MIN, GROWTH_OUTPUTS_MAX),
    help="So many more unspent outputs.",
)
@click.option(
    "--subscribers",
    type=Number(1, GROWTH_SUBSCRIBERS_MAX),
    help="So many clients that listen, instead.",
)
@click.option(
    "--pages",
    type=Number(1, GROWTH_PAGES_MAX),
    help="So many open pages of the explorer, instead.",
)
@click.option(
    "--seconds",
    type=Number(1, GROWTH_SECONDS_MAX),
    default=GROWTH_SECONDS,
    show_default=True,
    help="How long to measure, each time.",
)
def growth(outputs: int | None, subscribers: int | None, pages: int | None, seconds: int) -> int:
    """Figures on standard output."""
    from cli import bench_growth

    return bench_growth.growth(outputs, subscribers, pages, seconds)
