"""`marsa redeem status` and `list`: orders from request to refund, as they move."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING

import click

from cli import redeem_orders
from cli.base import Command, examples, settings
from cli.client import all_items
from cli.output import emit, note, table
from cli.redeem_text import change_line, coins, short, tracker_text
from cli.spans import ends_text

if TYPE_CHECKING:
    from cli.nodes import Node
    from node.api.redemption_schemas import Redemption

SCHEMA = "marsa.redeem.status/1"
WATCH_S = 1.0
LISTED_MAX = 1_000
"""Of the orders of all; more than that are for programs, page after page."""
OWN_MAX = 100
"""Of this machine's orders, the newest first: each is asked for."""


@click.command(
    "status",
    cls=Command,
    short_help="Where an order stands, until when, and who must act.",
    help=f"""{examples("marsa redeem status 3f9c", "marsa redeem status 3f9c -w")}

Show an order: the states that it passes, how much is delivered, where its coins are, who is to act,
and what happens at the deadline if nobody does. With -w stay until it has ended and is paid.
""",
)
@click.argument("order", metavar="ID")
@click.option("-w", "watch", is_flag=True, help="Stay until it has ended; a line when it changes.")
def status(order: str, watch: bool) -> None:
    """A screen that moves on a terminal, lines elsewhere."""
    from cli import nodes

    with nodes.connected() as node:
        wanted = redeem_orders.resolve(node, order)
        held, now_ms = redeem_orders.fetch(node, wanted), _now_ms(node)
        if watch and not settings().json and sys.stdout.isatty():
            _live(node, held, now_ms)
            return
        columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        _emit(held, now_ms, lambda held, now_ms: tracker_text(held, now_ms, columns))
        if watch:
            _lines(node, held)


def _lines(node: Node, held: Redemption) -> None:
    """A line, or with --json an object, for each change."""
    while not held.is_paid:
        time.sleep(WATCH_S)
        found = redeem_orders.find(node, held.id)
        if found is None:
            note(f"order {short(held.id)} ended and is forgotten")
            return
        if _moved(found) != _moved(held):
            _emit(found, _now_ms(node), change_line)
        held = found


def _live(node: Node, held: Redemption, now_ms: int) -> None:
    """One screen; the last one stays."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(no_color=not settings().color, highlight=False)

    def shown(held: Redemption, now_ms: int) -> Text:
        text = Text(tracker_text(held, now_ms, console.width))
        text.highlight_words([f"[{held.state}]"], "bold reverse")
        text.highlight_regex("(?<=\\[)#+", "green")
        return text

    with Live(shown(held, now_ms), console=console, auto_refresh=False) as live:
        while not held.is_paid:
            time.sleep(WATCH_S)
            found = redeem_orders.find(node, held.id)
            if found is None:
                return
            held = found
            live.update(shown(held, _now_ms(node)), refresh=True)


def _emit(held: Redemption, now_ms: int, text: Callable[[Redemption, int], str]) -> None:
    value = {"ledger_time_ms": now_ms, "order": held}
    emit(SCHEMA, value, lambda: text(held, now_ms))


def _moved(held: Redemption) -> tuple[object, ...]:
    """What is worth a line."""
    votes = len(held.dispute.votes) if held.dispute is not None else 0
    return held.state, held.receipt, held.burned, held.is_paid, votes


def _now_ms(node: Node) -> int:
    return node.client.status().sync.ledger_time_ms


@click.command(
    "list",
    cls=Command,
    short_help="Your orders, or those of an issuer.",
    help=f"""{
        examples("marsa redeem list", "marsa redeem list --issuer acme --state requested --json")
    }

List the orders that were sent from this machine, the newest first. With --issuer or --state: those
of everybody, open ones and those that ended within the last hour.
""",
)
@click.option("--issuer", metavar="ID", help="Those of this issuer.")
@click.option("--state", metavar="STATE", help="Those in this state, as requested or active.")
def show_all(issuer: str | None, state: str | None) -> None:
    """Own orders that the node does not know are on their way, or ended long ago."""
    from cli import nodes

    unknown: list[str] = []
    removed: list[str] = []
    with nodes.connected() as node:
        if issuer is None and state is None:
            removed = redeem_orders.forget_ended(node)
            found, unknown = _own(node)
        else:
            if issuer is not None:
                node.client.issuer(issuer)  # a name that nobody has is an error, not an empty list
            economy = node.client.economy
            pages = all_items(
                lambda cursor: economy.redemptions(issuer=issuer, state=state, cursor=cursor)
            )
            found = list(islice(pages, LISTED_MAX))
        now_ms = _now_ms(node)
    value = {"ledger_time_ms": now_ms, "orders": found, "unknown": unknown}
    value["removed"] = removed
    emit("marsa.redeem.list/1", value, lambda: _list_text(found, unknown, removed, now_ms))


def _own(node: Node) -> tuple[list[Redemption], list[str]]:
    found, unknown = [], []
    for file in redeem_orders.known(node.chain_id)[:OWN_MAX]:
        held = redeem_orders.find(node, file.order)
        if held is None:
            unknown.append(file.order)
        else:
            found.append(held)
    return found, unknown


def _list_text(found: list[Redemption], unknown: list[str], removed: list[str], now_ms: int) -> str:
    if not found and not unknown and not removed:
        return "no orders; next: marsa redeem submit --help"
    rows = [
        [
            short(item.id),
            item.issuer,
            item.workload,
            coins(item.amount),
            coins(item.burned),
            item.state,
            item.then,
            ends_text(item.deadline_ms, now_ms),
        ]
        for item in found
    ]
    headings = ("order", "issuer", "workload", "coins", "delivered", "state", "then", "in")
    lines = [table(headings, rows)] if rows else []
    for what, orders in (
        ("not known to the node: on its way, or ended a while ago", unknown),
        ("over and forgotten, their keys and receipts are removed", removed),
    ):
        if orders:
            lines.append(f"{what}: {', '.join(short(item) for item in orders)}")
    return "\n".join(lines)
