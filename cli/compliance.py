"""`marsa compliance`: orders that freeze the coins under some addresses until a day.

An order is public, names the document behind it by its hash, and ends by itself. Validators and
regulator sign; on a devnet one command does it, elsewhere --ptx FILE goes from hand to hand.
"""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.acting import wait_of
from cli.base import Group, examples
from cli.errors import not_found, usage_error
from cli.output import emit, table
from cli.spans import ends_text, parse_span, parse_time
from cli.units import short_hex
from cli.validator import carried, carry

if TYPE_CHECKING:
    from cli.nodes import Node
    from ledger.operations import OnOrder
    from node.api import economy_schemas as schemas

HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)

until_option = click.option("--until", metavar="TIME", help="Until then, UTC; or --for.")
for_option = click.option("--for", "span", metavar="DURATION", help="For so long, as 30d.")


@click.command(
    "compliance",
    cls=Group,
    help=f"""{
        examples(
            "marsa compliance list",
            "marsa compliance order case-7 --target mrst1… --reference order.pdf --for 30d",
        )
    }

Orders freeze coins, each until a day. All is public; nothing is seized, and every order ends.
""",
)
def compliance() -> None:
    """Group of commands."""


@compliance.command(
    "list",
    short_help="Orders in force, whom they name, when they end.",
    help=f"""{examples("marsa compliance list", "marsa compliance list --json")}

List the orders in force: the document's hash, how many addresses each names, when it ends.
""",
)
def show_all() -> None:
    """Orders end by header time, that of the calendar."""
    from cli import nodes

    with nodes.connected() as node:
        found = node.client.economy.orders()
        now_ms = node.client.status().sync.header_time_ms
    value = {"header_time_ms": now_ms, "orders": found}
    emit("marsa.compliance.list/1", value, lambda: _list_text(found, now_ms))


@compliance.command(
    "order",
    short_help="Freeze the coins under some addresses until a day.",
    help=f"""{
        examples(
            "marsa compliance order case-7 --target alice --reference order.pdf --for 30d",
            "marsa compliance order case-7 --target mrst1… --target mrst1… --reference HASH "
            "--until 2027-03-31 --ptx order.ptx",
        )
    }

Freeze the coins under addresses until a day: nothing under them is spent meanwhile, payments to
them arrive. --reference is the legal document, a file whose SHA-256 is taken, or that hash. A
wallet stands for all of its addresses.
""",
)
@click.argument("order", metavar="ID")
@click.option(
    "--target", "targets", multiple=True, required=True, metavar="ADDRESS", help="Whose coins."
)
@click.option("--reference", required=True, metavar="FILE|HASH", help="The document behind it.")
@until_option
@for_option
@carried
def freeze(
    order: str,
    targets: tuple[str, ...],
    reference: str,
    until: str | None,
    span: str | None,
    ptx: Path | None,
    days: int,
    no_wait: bool,
    wait: str,
) -> None:
    from cli import accounts, nodes
    from ledger.operations import FreezeOrder

    document = _reference(reference)
    with nodes.connected() as node:
        locks = {
            lock
            for text in targets
            for lock in accounts.resolve_locks(text, node.hrp, chain_id=node.chain_id)
        }
        until_ms = _until(node, until, span)
        operation = FreezeOrder(order, document, tuple(sorted(locks)), until_ms)
        _carry(node, operation, ptx, days, wait_of(no_wait, wait), "order")


@compliance.command(
    "renew",
    short_help="Let an order end at another time.",
    help=f"""{
        examples(
            "marsa compliance renew case-7 --for 30d",
            "marsa compliance renew case-7 --until 2027-06-30 --ptx renew.ptx",
        )
    }

Let an order end later, or earlier, for the same addresses.
""",
)
@click.argument("order", metavar="ID")
@until_option
@for_option
@carried
def renew(
    order: str,
    until: str | None,
    span: str | None,
    ptx: Path | None,
    days: int,
    no_wait: bool,
    wait: str,
) -> None:
    from cli import nodes
    from ledger.operations import RenewOrder

    with nodes.connected() as node:
        held = _held(node, order)
        operation = RenewOrder(order, held.version, _until(node, until, span))
        _carry(node, operation, ptx, days, wait_of(no_wait, wait), "renew")


@compliance.command(
    "lift",
    short_help="End an order now; the coins move again.",
    help=f"""{
        examples("marsa compliance lift case-7", "marsa compliance lift case-7 --ptx lift.ptx")
    }

End an order now. The coins under its addresses move again, unless another order names them.
""",
)
@click.argument("order", metavar="ID")
@carried
def lift(order: str, ptx: Path | None, days: int, no_wait: bool, wait: str) -> None:
    from cli import nodes
    from ledger.operations import LiftOrder

    with nodes.connected() as node:
        operation = LiftOrder(order, _held(node, order).version)
        _carry(node, operation, ptx, days, wait_of(no_wait, wait), "lift")


def _carry(
    node: Node, operation: OnOrder, ptx: Path | None, days: int, wait_ms: int | None, what: str
) -> None:
    schema = f"marsa.compliance.{what}/1"
    carry(node, node.client.epoch(), operation, ptx, days, wait_ms, schema=schema)


def _held(node: Node, order: str) -> schemas.Order:
    found = {item.id: item for item in node.client.economy.orders()}
    if order not in found:
        known = ", ".join(found) or "none"
        detail = f"no order '{order}' is in force (orders: {known})"
        raise not_found("unknown_order", detail, "marsa compliance list")
    return found[order]


def _until(node: Node, until: str | None, span: str | None) -> int:
    """On the calendar; a span counts from the last block, so that the longest is taken."""
    if (until is None) == (span is None):
        raise usage_error("usage", "say when it ends: --until TIME or --for DURATION, one of them")
    if until is not None:
        return parse_time(until)
    return node.client.status().sync.header_time_ms + parse_span(span or "")


def _reference(text: str) -> bytes:
    if HASH.fullmatch(text):
        return bytes.fromhex(text)
    file = Path(text)
    if not file.is_file():
        detail = f"{text!r} is neither a file nor a hash of 64 hex digits"
        raise usage_error("bad_reference", detail, "name the legal document with --reference FILE")
    with file.open("rb") as opened:
        digest = sha256()
        while chunk := opened.read(1 << 20):
            digest.update(chunk)
    return digest.digest()


def _list_text(found: list[schemas.Order], now_ms: int) -> str:
    if not found:
        return "no order is in force"
    rows = [
        [
            item.id,
            str(item.version),
            item.addresses[0] if len(item.addresses) == 1 else f"{len(item.addresses)} addresses",
            short_hex(item.reference),
            ends_text(item.deadline_ms, now_ms),
        ]
        for item in found
    ]
    return table(("order", "version", "freezes", "reference", "ends in"), rows)
