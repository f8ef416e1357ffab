"""`marsa coin quote`: would this much be minted now? The node asks what minting itself asks."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import click

from cli.base import Command, examples
from cli.output import emit
from cli.units import parse_amount, percent
from ledger.amounts import format_amount

if TYPE_CHECKING:
    from node.api import economy_schemas as schemas

WIDTH = 100
LABEL = " " * 13
"""As wide as the words before the figures."""


@click.command(
    "quote",
    cls=Command,
    short_help="Would this much be minted now, and why not?",
    help=f"""{
        examples(
            "marsa coin quote 100 --issuer acme", "marsa coin quote 50000 --issuer acme --json"
        )
    }

Ask whether AMOUNT coins of an issuer would be minted now. The answer comes from the very rule that
mints: yes, or no with the reason, and how much room there is under each limit. Nothing is sent.
""",
)
@click.argument("amount")
@click.option("--issuer", required=True, metavar="ID", help="Whose coins.")
def quote(amount: str, issuer: str) -> None:
    """A no is an answer, not an error."""
    from cli import nodes

    units = parse_amount(amount)
    with nodes.connected() as node:
        found = node.client.economy.quote_mint(issuer, units)
    emit("marsa.coin.quote/1", found, lambda: _text(found))


def _text(found: schemas.MintQuote) -> str:
    backing = found.backing
    held, coins = backing.reserve, _coins
    cap_left = max(0, int(backing.mint_cap) - int(backing.minted))
    asked = f"{coins(found.amount)} {found.issuer}"
    verdict = "yes: would be minted now" if found.allowed else f"no: {found.code}"
    why = textwrap.wrap(found.message, WIDTH, initial_indent=LABEL, subsequent_indent=LABEL)
    lines = [
        f"{asked}  {verdict}",
        *why,
        f"outstanding  {coins(held.outstanding)} of {coins(backing.margin_limit)} "
        f"that the reserve of {coins(held.reserve)} allows",
        f"headroom     {coins(held.headroom)}",
        f"this period  {coins(cap_left)} left of {coins(backing.mint_cap)}",
        f"bond         counts for {coins(backing.bond_worth)}, {coins(backing.bond_required)} "
        "required for what is out",
        f"band         {backing.state}{', minting frozen' if backing.is_frozen else ''}, "
        f"coverage {percent(held.coverage_ppm)}, due in 7 d {percent(held.deliverability_ppm)}",
    ]
    if found.allowed:
        lines.append(
            f"next: marsa coin mint {coins(found.amount)} --issuer {found.issuer} --to NAME"
        )
    else:
        lines.append(
            f"next: {_NEXT.get(found.code, 'marsa licence show {0}').format(found.issuer)}"
        )
    return "\n".join(lines)


def _coins(amount: str | int) -> str:
    return format_amount(int(amount))


_NEXT = {
    "above_headroom": "marsa capacity list --issuer {0}",
    "above_mint_cap": "mint less, or wait for the next period",
    "low_deliverability": "marsa capacity list --issuer {0}",
    "mint_frozen": "marsa capacity list --issuer {0}",
    "not_healthy": "marsa capacity list --issuer {0}",
    "short_bond": "marsa coin bond show {0}",
}
"""What to look at, by the reason of a no."""
