"""`marsa coin`: issuers mint against their reserve, holders burn, everybody reads the supply."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.acting import LANE_MAX, find_key, key_option
from cli.base import Group, Number, examples, settings
from cli.errors import CliError, ExitCode
from cli.output import confirm, emit, note, table
from cli.passwords import password_options, read_password
from cli.send_options import dry_run_option, wait_of, waited
from cli.tx import outcome_text, pay
from cli.units import parse_amount
from ledger.amounts import format_amount

if TYPE_CHECKING:
    from ledger.crypto import SigningKey
    from node.api import schemas
    from node.api.economy_schemas import Issuer

_TABLE = {
    "quote": ("cli.coin_quote:quote", "Would this much be minted now, and why not?"),
    "bond": ("cli.coin_bond:bond", "What an issuer stands by with, in the coins of others."),
}


@click.command(
    "coin",
    cls=Group,
    table=_TABLE,
    help=f"""{examples("marsa coin supply", "marsa coin mint 100 --issuer acme --to alice")}

Mint, burn, supply; ask before you mint; bonds.
""",
)
def coin() -> None:
    """Group of commands."""


@coin.command(
    "mint",
    short_help="Issue new coins against an issuer's reserve.",
    help=f"""{
        examples(
            "marsa coin mint 100 --issuer acme --to alice",
            "marsa coin mint 0.5 --issuer acme --to mrst1… --key roles/acme/roles.json",
        )
    }

Mint AMOUNT coins of an issuer to an address, signed by the issuer's treasury key: that of a devnet
on this machine, or that of the role keys in --key. Refused with figures when the issuer's reserve
does not back them. Minting is free.
""",
)
@click.argument("amount")
@click.option("--issuer", required=True, metavar="ID", help="Whose coins.")
@click.option("--to", required=True, metavar="ADDRESS", help="Who receives them.")
@click.option(
    "--lane",
    type=Number(0, LANE_MAX),
    default=0,
    show_default=True,
    help="Machines that mint at the same time use different lanes.",
)
@click.option("--memo", metavar="TEXT", help="Public text, at most 256 bytes.")
@key_option
@waited
def mint(
    amount: str,
    issuer: str,
    to: str,
    key: Path | None,
    lane: int,
    memo: str | None,
    no_wait: bool,
    wait: str,
) -> None:
    """The number in the lane comes from the node; the key from this machine."""
    from cli import accounts, nodes, payments
    from cli.wallet.build import draft_mint

    units = parse_amount(amount)
    wait_ms = wait_of(no_wait, wait)
    with nodes.connected() as node:
        found = node.client.issuer(issuer)
        treasury = (
            _treasury_key(found, node.chain_id)
            if key is None
            else find_key(node, issuer, "treasury", found.treasury_key, key)
        )
        number = next((item.next_number for item in found.lanes if item.lane == lane), 0)
        terms = payments.make_terms(node, memo)
        draft = draft_mint(
            terms,
            issuer=issuer,
            key=treasury.public,
            lane=lane,
            number=number,
            amount=units,
            to=accounts.resolve_address(to, node.hrp, chain_id=node.chain_id),
        )
        if settings().json:
            note(f"txid {draft.txid.hex()}", verbosity=-1)
        else:
            click.echo(
                f"txid    {draft.txid.hex()}\nmint    {format_amount(units)} {issuer} to {to}"
            )
        outcome = payments.submit(node, terms, draft, lambda: (treasury,), wait_ms)
    value = {
        "txid": outcome.txid,
        "status": outcome.status,
        "height": outcome.height,
        "issuer": issuer,
        "asset": draft.parts[0].asset.hex(),
        "amount": str(units),
        "lane": lane,
        "number": number,
        "elapsed_ms": outcome.elapsed_ms,
    }
    emit("marsa.coin.mint/1", value, outcome_text(outcome))


@coin.command(
    "burn",
    short_help="Destroy coins of your own.",
    help=f"""{
        examples(
            "marsa coin burn 5 --from alice --issuer acme", "marsa coin burn 1 --from savings --yes"
        )
    }

Destroy AMOUNT coins of the sender, for ever; the issuer's outstanding supply falls with them.
""",
)
@click.argument("amount")
@click.option("--from", "sender", required=True, metavar="NAME", help="Account or wallet.")
@click.option("--issuer", metavar="ID", help="Burn this issuer's coins.")
@click.option("--memo", metavar="TEXT", help="Public text, at most 256 bytes.")
@dry_run_option
@waited
@password_options
def burn(
    amount: str,
    sender: str,
    issuer: str | None,
    memo: str | None,
    dry_run: bool,
    no_wait: bool,
    wait: str,
    password_fd: int | None,
    password_file: Path | None,
) -> None:
    """As a payment to nobody. Play money of a devnet is burned without a question."""
    from cli import accounts, nodes
    from cli.wallet.payment import Wish, plan

    units = parse_amount(amount)
    wait_ms = wait_of(no_wait, wait)
    with nodes.connected() as node:
        holder = accounts.find_holder(
            sender,
            lambda name: read_password(name, password_fd, password_file),
            chain_id=node.chain_id,
        )
        if not holder.is_public and not dry_run:
            confirm(f"Burn {format_amount(units)} of '{sender}' for ever?")
        asset = None if issuer is None else bytes.fromhex(node.client.issuer(issuer).asset)
        wish = Wish(amount=units, to=None, change_lock=holder.locks[0], asset=asset)
        pay(
            node,
            holder,
            partial(plan, wish=wish),
            memo=memo,
            to="nobody (burned)",
            dry_run=dry_run,
            wait_ms=wait_ms,
            schema="marsa.coin.burn/1",
        )


@coin.command(
    "supply",
    short_help="Coins outstanding, their reserve, and what may still be minted.",
    help=f"""{examples("marsa coin supply", "marsa coin supply --issuer acme --json")}

Show for each issuer the coins outstanding, the reserve behind them and the headroom for minting.
""",
)
@click.option("--issuer", metavar="ID", help="Only this issuer.")
def supply(issuer: str | None) -> None:
    """From one answer, so that all figures are of one height."""
    from cli import nodes
    from cli.errors import not_found

    with nodes.connected() as node:
        reserve = node.client.reserve()
    rows = [item for item in reserve.issuers if issuer in (None, item.issuer)]
    if not rows:
        known = ", ".join(item.issuer for item in reserve.issuers)
        detail = f"there is no issuer '{issuer}' (issuers: {known})"
        raise not_found("unknown_issuer", detail, "marsa coin supply")
    value = {
        "height": reserve.height,
        "assets": [
            {
                "asset": item.asset,
                "issuer": item.issuer,
                "supply": item.outstanding,
                "reserve": item.reserve,
                "headroom": item.headroom,
            }
            for item in rows
        ],
        "total": str(sum(int(item.outstanding) for item in rows)),
    }
    emit("marsa.coin.supply/1", value, lambda: _supply_text(reserve.height, rows))


def _supply_text(height: int, rows: list[schemas.IssuerReserve]) -> str:
    lines = [
        [
            item.issuer,
            format_amount(int(item.outstanding)),
            format_amount(int(item.reserve)),
            format_amount(int(item.headroom)),
        ]
        for item in rows
    ]
    total = format_amount(sum(int(item.outstanding) for item in rows))
    shown = table(["issuer", "supply", "reserve", "headroom"], lines)
    return f"{shown}\ntotal supply {total} at height {height}"


def _treasury_key(issuer: Issuer, chain_id: str) -> SigningKey:
    """Of a devnet here; raises CliError for one that is not in force."""
    from cli import accounts

    key = accounts.find_issuer_key(issuer.id, chain_id)
    if issuer.treasury_key != key.public.hex():
        raise CliError(
            "wrong_role_key",
            f"the treasury key on this machine is {key.public.hex()}, "
            f"that of issuer '{issuer.id}' is {issuer.treasury_key}",
            hint="give the key in force with --key FILE, or the node of its devnet with --node URL",
            exit_code=ExitCode.REJECTED,
        )
    return key
