"""`marsa coin bond`: what an issuer stands by with, in the coins of others.

Anybody may add to a bond; only the issuer's treasury takes out what is not required.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.acting import (
    act,
    done,
    find_key,
    key_option,
    next_number,
    sound_coin,
    spend,
    wait_of,
    waited,
)
from cli.base import Group, examples
from cli.capacity_promise import lane_option
from cli.errors import usage_error
from cli.output import confirm, emit, table
from cli.passwords import password_options, read_password
from cli.spans import span_text
from cli.tx import read_asset
from cli.units import parse_amount
from ledger.amounts import format_amount

if TYPE_CHECKING:
    from node.api import economy_schemas as schemas


@click.command(
    "bond",
    cls=Group,
    help=f"""{
        examples("marsa coin bond show acme", "marsa coin bond deposit acme 100 --from alice")
    }

A bond is a share of what an issuer has out, in coins of other issuers: one in its own coin would be
worth nothing on the day it is needed. Who is short mints nothing, and is suspended in the end.
""",
)
def bond() -> None:
    """Group of commands."""


@bond.command(
    "show",
    short_help="What a bond holds, what of it counts, what is required.",
    help=f"""{examples("marsa coin bond show acme", "marsa coin bond show acme --json")}

Show an issuer's bond: its coins, which of them count now, and what is required for the coins that
are out. Coins of one issuer fill at most half of what is required.
""",
)
@click.argument("issuer")
def show(issuer: str) -> None:
    from cli import nodes

    with nodes.connected() as node:
        found = node.client.economy.backing(issuer)
        now_ms = node.client.economy.audits().ledger_time_ms
    value = {
        "issuer": issuer,
        "required": found.bond_required,
        "worth": found.bond_worth,
        "short_since_ms": found.short_since_ms,
        "bond": found.bond,
    }
    emit("marsa.coin.bond.show/1", value, lambda: _show_text(issuer, found, now_ms))


@bond.command(
    "deposit",
    short_help="Add coins to an issuer's bond.",
    help=f"""{
        examples(
            "marsa coin bond deposit acme 100 --from alice --issuer bolt",
            "marsa coin bond deposit acme 100 --from savings --yes --json",
        )
    }

Add AMOUNT coins to the bond of ISSUER; anybody may. They are coins of another issuer (--issuer or
--asset; those of which the sender holds most unless given), and only the issuer's treasury can take
them out again.
""",
)
@click.argument("target", metavar="ISSUER")
@click.argument("amount")
@click.option(
    "--from", "sender", required=True, metavar="NAME", help="Account or wallet that pays."
)
@click.option("--issuer", metavar="ID", help="Coins of this issuer.")
@click.option("--asset", metavar="ID", help="Or of this asset, 64 hex digits.")
@waited
@password_options
def deposit(
    target: str,
    amount: str,
    sender: str,
    issuer: str | None,
    asset: str | None,
    no_wait: bool,
    wait: str,
    password_fd: int | None,
    password_file: Path | None,
) -> None:
    from cli import accounts, nodes
    from ledger.operations import DepositBond

    if issuer is not None and asset is not None:
        raise usage_error("usage", "--asset excludes --issuer")
    units, wait_ms = parse_amount(amount), wait_of(no_wait, wait)
    with nodes.connected() as node:
        node.client.issuer(target)
        holder = accounts.find_holder(
            sender,
            lambda name: read_password(name, password_fd, password_file),
            chain_id=node.chain_id,
        )
        coins = read_asset(node, asset, issuer) or sound_coin(node, holder, target)
        if not holder.is_public:
            confirm(f"Put {format_amount(units)} of '{sender}' into the bond of '{target}'?")
        outcome, draft = spend(
            node,
            holder,
            units,
            coins,
            lambda part: DepositBond(target, part.asset, part.amount),
            wait_ms,
        )
    value = {
        "issuer": target,
        "asset": draft.parts[0].asset.hex(),
        "amount": str(units),
        "fee": str(draft.fee),
    }
    what = f"{format_amount(units)} coins join the bond of '{target}'"
    done("marsa.coin.bond.deposit/1", outcome, value, (what, f"marsa coin bond show {target}"))


@bond.command(
    "withdraw",
    short_help="Take back what is not required.",
    help=f"""{
        examples(
            "marsa coin bond withdraw acme 100 --issuer bolt --to alice",
            "marsa coin bond withdraw acme 100 --issuer bolt --to mrst1… --key roles.json",
        )
    }

Take AMOUNT coins of --issuer out of the bond of ISSUER; its treasury key signs. Refused while what
is left would not be enough, while the issuer is suspended, and while it has coins outstanding and
is in deficit, revoked, or issues no more.
""",
)
@click.argument("target", metavar="ISSUER")
@click.argument("amount")
@click.option("--issuer", required=True, metavar="ID", help="Coins of this issuer.")
@click.option("--to", required=True, metavar="ADDRESS", help="Who receives them.")
@lane_option
@key_option
@waited
def withdraw(
    target: str,
    amount: str,
    issuer: str,
    to: str,
    lane: int,
    key: Path | None,
    no_wait: bool,
    wait: str,
) -> None:
    from cli import accounts, nodes
    from ledger.operations import WithdrawBond
    from ledger.transaction import Output

    units, wait_ms = parse_amount(amount), wait_of(no_wait, wait)
    with nodes.connected() as node:
        held = node.client.issuer(target)
        signer = find_key(node, target, "treasury", held.treasury_key, key)
        asset = bytes.fromhex(node.client.issuer(issuer).asset)
        lock = accounts.resolve_address(to, node.hrp, chain_id=node.chain_id)
        number = next_number(held.lanes, lane)
        operation = WithdrawBond(target, signer.public, lane, number, asset, units)
        outcome = act(node, operation, (signer,), wait_ms, (Output(asset, units, lock),))
    value = {
        "issuer": target,
        "asset": asset.hex(),
        "amount": str(units),
        "lane": lane,
        "number": number,
    }
    what = f"{format_amount(units)} {issuer} of the bond of '{target}' go to {to}"
    done("marsa.coin.bond.withdraw/1", outcome, value, (what, f"marsa coin bond show {target}"))


def _show_text(issuer: str, found: schemas.Backing, now_ms: int) -> str:
    required, worth = int(found.bond_required), int(found.bond_worth)
    rows = [
        [item.issuer, format_amount(int(item.amount)), "yes" if item.counts else "no"]
        for item in found.bond
    ]
    lines = [table(("coins of", "amount", "counts"), rows)] if rows else ["nothing is deposited"]
    figures = f"counts for {format_amount(worth)}, {format_amount(required)} are required"
    lines.append(f"the bond of '{issuer}' {figures}")
    if worth < required:
        lacking = format_amount(required - worth)
        since = found.short_since_ms
        short = f" for {span_text(now_ms - since)}" if since else ""
        lines.append(f"it is short{short}: nothing is minted until {lacking} more count")
        lines.append(f"next: marsa coin bond deposit {issuer} {lacking} --from NAME --issuer ID")
    return "\n".join(lines)
