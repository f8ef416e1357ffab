"""`marsa tx create`: an unsigned payment in a file, from an account, a wallet or a lock."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.base import Command, Number, examples
from cli.errors import usage_error
from cli.output import emit
from cli.tx_lock import CONDITION_HELP, LOCK_HELP, choose_lock, never_asked
from cli.units import parse_amount, quoted
from ledger.times import DAY_MS, rfc3339

if TYPE_CHECKING:
    from cli.nodes import Node
    from cli.payments import Owner
    from cli.wallet.build import Draft
    from cli.wallet.payment import Holding, Wish

DAYS = 3
DAYS_MAX = 6
"""The ledger takes what expires within 7 days of a block's time, which may be behind the clock."""

PTX = click.Path(path_type=Path, dir_okay=False)


@click.command(
    "create",
    cls=Command,
    short_help="Write an unsigned payment to a file.",
    help=f"""{
        examples(
            "marsa tx create rent.ptx bob 5 --from savings",
            "marsa tx create rent.ptx bob 5 --lock 2/alice,carol,dave --days 2",
        )
    }

Write a payment of AMOUNT coins to TO that is not signed yet. The file goes from signer to signer
with `tx sign`; copies that were signed apart go together with `tx combine`. Its coins are reserved
on this machine until it expires.
""",
)
@click.argument("file", type=PTX, metavar="FILE.ptx")
@click.argument("to")
@click.argument("amount")
@click.option("--from", "sender", metavar="NAME", help="Account or wallet that pays.")
@click.option("--lock", metavar="K/KEYS", help=f"Or a lock of several keys. {LOCK_HELP}")
@click.option("--condition", type=PTX, metavar="FILE", help=f"Or a lock. {CONDITION_HELP}")
@click.option("--asset", metavar="ID", help="The asset to send, 64 hex digits.")
@click.option("--issuer", metavar="ID", help="Send this issuer's coins.")
@click.option("--memo", metavar="TEXT", help="Public text, at most 256 bytes.")
@click.option("--coin", "coins", multiple=True, metavar="TXID:N", help="Spend exactly these coins.")
@click.option(
    "--days", type=Number(1, DAYS_MAX), default=DAYS, show_default=True, help="It expires then."
)
def create(
    file: Path,
    to: str,
    amount: str,
    sender: str | None,
    lock: str | None,
    condition: Path | None,
    asset: str | None,
    issuer: str | None,
    memo: str | None,
    coins: tuple[str, ...],
    days: int,
) -> None:
    """No password and no key is needed: coins and public keys are."""
    from cli import accounts, nodes
    from cli.tx import read_asset, read_outpoint
    from cli.wallet.payment import Wish

    units = parse_amount(amount)
    if [sender, lock, condition].count(None) != 2:
        raise usage_error("usage", "say who pays: one of --from, --lock and --condition")
    if asset is not None and issuer is not None:
        raise usage_error("usage", "--asset excludes --issuer")
    only = tuple(read_outpoint(text) for text in coins)
    with nodes.connected() as node:
        owner = _owner(node, sender, lock, condition)
        wish = Wish(
            amount=units,
            to=accounts.resolve_address(to, node.hrp, chain_id=node.chain_id),
            change_lock=owner.locks[0],
            asset=read_asset(node, asset, issuer),
            only=only,
        )
        _write(node, file, owner, wish, memo, days)


def _write(node: Node, file: Path, owner: Owner, wish: Wish, memo: str | None, days: int) -> None:
    from cli import payments, tx_file
    from cli.wallet import ptx
    from cli.wallet.payment import plan
    from cli.wallet.reservations import reservations

    expires_at_ms = payments.now_ms() + days * DAY_MS
    terms = replace(payments.make_terms(node, memo), expires_at_ms=expires_at_ms)
    coins = payments.fetch_coins(node, owner)
    with reservations(payments.now_ms()) as held:
        holding = payments.make_holding(owner, coins, held)
        draft = plan(terms, holding, wish)
        held.add([coin.outpoint for coin in draft.coins], terms.expires_at_ms)
        tx_file.create(file, ptx.create(draft.body, node.params.network, draft.conditions))
    value = {
        "file": str(file),
        "txid": draft.txid.hex(),
        "expires_at_ms": terms.expires_at_ms,
        "fee": str(draft.fee),
    }
    emit("marsa.tx.create/1", value, lambda: _created_text(file, draft, holding))


def _created_text(file: Path, draft: Draft, holding: Holding) -> str:
    from ledger.amounts import format_amount

    (part,) = draft.parts
    paid = f"{format_amount(part.amount)} {holding.asset_name(part.asset)}"
    fee = f"{format_amount(draft.fee)} {holding.asset_name(draft.body.fee.asset)}"
    return (
        f"txid    {draft.txid.hex()}\namount  {paid}\nfee     {fee}\n"
        f"coins   reserved on this machine until {rfc3339(draft.body.expires_at_ms)}\n"
        f"written to {file}, unsigned; next: marsa tx sign {quoted(file)} --from NAME"
    )


def _owner(node: Node, sender: str | None, lock: str | None, condition: Path | None) -> Owner:
    from cli import accounts

    if sender is None:
        return choose_lock(lock, condition, node)
    return accounts.find_holder(sender, never_asked, chain_id=node.chain_id)
