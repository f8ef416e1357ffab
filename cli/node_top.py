"""`marsa node top`: one screen that says at a glance how a node and its network fare."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
import msgspec

from cli.base import Command, examples, settings
from cli.output import emit, table
from cli.spans import span_text
from cli.units import percent, short_hex
from ledger.amounts import format_amount
from node.api import consensus_schemas, schemas

if TYPE_CHECKING:
    from cli.nodes import Node

WATCH_S = 1.0
BLOCKS_ASKED = 100
BLOCKS_SHOWN = 8
RATE_MS = 10_000
"""Transactions a second are those of the last blocks within this time of the newest."""
BAR_CELLS = 20


class Sample(msgspec.Struct, frozen=True):
    """What one look at a node found; `blocks` from the newest down."""

    status: schemas.Status
    mempool: schemas.Mempool
    replica: consensus_schemas.Replica
    issuers: list[schemas.IssuerReserve]
    blocks: list[schemas.BlockSummary]
    tx_per_second: float


@click.command(
    "top",
    cls=Command,
    short_help="A live screen: view, votes, blocks, mempool, links.",
    help=f"""{examples("marsa node top", "marsa node top --node http://127.0.0.1:8641")}

Show how a node fares, again each second until Ctrl-C: where it stands, who votes, what waits, what
was decided last, and how the coins are covered. Without a terminal, or with --json, one look.
""",
)
def top() -> None:
    """The screen is drawn in place, and gone with Ctrl-C."""
    from cli import nodes

    with nodes.connected() as node:
        sample = look(node)
        if settings().json or not sys.stdout.isatty():
            emit("marsa.node.top/1", sample, lambda: screen(sample))
            return
        _live(node, sample)


def look(node: Node) -> Sample:
    """Five questions to one node."""
    client = node.client
    status, blocks = client.status(), client.blocks(limit=BLOCKS_ASKED).items
    return Sample(
        status=status,
        mempool=client.mempool(),
        replica=client.consensus().replica,
        issuers=client.reserve().issuers,
        blocks=blocks[:BLOCKS_SHOWN],
        tx_per_second=rate(blocks, int(time.time() * 1_000)),
    )


def rate(blocks: Sequence[schemas.BlockSummary], now_ms: int) -> float:
    """Transactions a second of the blocks in the last `RATE_MS`; 0 where nothing was decided."""
    recent = [item for item in blocks if item.height and item.time_ms > now_ms - RATE_MS]
    if not recent:
        return 0.0
    # So many blocks may be asked for only: under load they are younger than the whole time.
    whole = RATE_MS if len(recent) < len(blocks) else max(1, now_ms - recent[-1].time_ms)
    return sum(item.transactions for item in recent) * 1_000 / whole


def _live(node: Node, sample: Sample) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    def shown(sample: Sample) -> Text:
        text = Text(screen(sample))
        text.highlight_regex(r"(?<=\[)#+", "green")
        text.highlight_words(["stalled:", "warning:", "no link"], "bold red")
        return text

    console = Console(no_color=not settings().color, highlight=False)
    with Live(shown(sample), console=console, auto_refresh=False, screen=True) as live:
        while True:
            time.sleep(WATCH_S)
            live.update(shown(look(node)), refresh=True)


def screen(sample: Sample) -> str:
    """All of it as text, without colours."""
    status, now = sample.status, sample.replica
    where, sync = status.consensus, status.sync
    age_ms = where.last_commit_age_ms
    final = "nothing decided since its start" if age_ms is None else f"{span_text(age_ms)} ago"
    behind = f", {sync.target_height - sync.height} behind" if sync.catching_up else ""
    votes = "votes" if where.is_voting else "follows"
    lines = [
        f"{status.node.name}  {status.node.role}, {votes}  marsa {status.node.version}",
        f"height {sync.height}{behind}  last block {final}  {sample.tx_per_second:.1f} tx/s",
        f"epoch {where.epoch}  view {where.view}  primary {where.primary}  T {now.timeout_ms} ms",
        f"links {where.connected} of {where.validators}, {where.quorum} decide",
        *([f"stalled: {where.reason}"] if where.reason else []),
        *[f"warning: {text}" for text in status.warnings],
        "",
        _pool(sample.mempool),
        "",
        table(("member", "link", "height", "prepared", "committed"), _members(now)),
        "",
        table(("block", "age", "txs", "proposer", "hash"), _blocks(sample)),
    ]
    if sample.issuers:
        lines += ["", table(("issuer", "coins", "hours", "coverage", "band"), _issuers(sample))]
    return "\n".join(lines)


def _pool(pool: schemas.Mempool) -> str:
    filled = pool.transactions * BAR_CELLS // max(1, pool.transactions_max)
    bar = "#" * filled + "." * (BAR_CELLS - filled)
    oldest = f", the oldest {pool.oldest_pending_ms} ms" if pool.transactions or pool.free else ""
    return (
        f"waiting [{bar}] {pool.transactions} of {pool.transactions_max}, "
        f"{pool.size_bytes} bytes, {pool.free} free{oldest}"
    )


def _members(now: consensus_schemas.Replica) -> list[list[str]]:
    return [
        [
            item.licence + ("*" if item.licence == now.primary else ""),
            "yes" if item.linked else "no link",
            "?" if item.height is None else str(item.height),
            " ".join(map(str, item.prepared)),
            " ".join(map(str, item.committed)),
        ]
        for item in now.members
    ]


def _blocks(sample: Sample) -> list[list[str]]:
    now_ms = int(time.time() * 1_000)
    return [
        [
            str(item.height),
            span_text(now_ms - item.time_ms),
            str(item.transactions),
            item.proposer or "genesis",
            short_hex(item.hash),
        ]
        for item in sample.blocks
    ]


def _issuers(sample: Sample) -> list[list[str]]:
    return [
        [
            item.issuer,
            format_amount(int(item.outstanding)),
            format_amount(int(item.reserve)),
            percent(item.coverage_ppm),
            item.status,
        ]
        for item in sample.issuers
    ]
