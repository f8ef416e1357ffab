"""`marsa wallet balance|coins|history`: what a node knows about a holder's addresses."""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import click

from cli.base import Command, Number, examples
from cli.output import emit, table
from cli.units import counted, short_hex
from ledger.amounts import format_amount

if TYPE_CHECKING:
    from cli.nodes import Node
    from node.api import schemas

ITEMS_DEFAULT = 50
ITEMS_MAX = 10_000

limit_option = click.option(
    "--limit",
    type=Number(1, ITEMS_MAX),
    default=ITEMS_DEFAULT,
    show_default=True,
    help="At most so many.",
)


@click.command(
    "balance",
    cls=Command,
    short_help="Coins held, issuer by issuer.",
    help=f"""{examples("marsa wallet balance alice", "marsa wallet balance savings --json")}

Show the balance of a wallet (all of its addresses), an account, an address or an alias. Coins are
coloured by issuer.
""",
)
@click.argument("name")
def balance(name: str) -> None:
    """Summed over the addresses, each at the node's latest height."""
    from cli import nodes
    from cli.query import balances_text

    with nodes.connected() as node:
        addresses = _addresses(node, name)
        found = [node.client.address(address) for address in addresses]
    total: Counter[tuple[str, str]] = Counter()
    for answer in found:
        for item in answer.balances:
            total[item.issuer, item.asset] += int(item.amount)
    held = [(issuer, amount, asset) for (issuer, asset), amount in sorted(total.items())]
    value = {
        "address": addresses[0],
        "balances": [
            {"asset": asset, "issuer": issuer, "amount": str(amount)}
            for issuer, amount, asset in held
        ],
    }
    emit("marsa.wallet.balance/1", value, lambda: balances_text(_label(addresses), held))


@click.command(
    "coins",
    cls=Command,
    short_help="Unspent coins, one by one.",
    help=f"""{examples("marsa wallet coins alice", "marsa wallet coins alice --limit 200 --json")}

List unspent coins as TXID:N, which `marsa tx send --coin` takes.
""",
)
@click.argument("name")
@limit_option
def coins(name: str, limit: int) -> None:
    """Address by address, in the node's order."""
    from cli import nodes
    from cli.client import all_items

    with nodes.connected() as node:
        addresses = _addresses(node, name)
        found: list[schemas.Coin] = []
        for address in addresses:
            fetch = partial(_coins_page, node, address)
            found += islice(all_items(fetch), limit - len(found))
    rows = [
        [
            f"{coin.txid}:{coin.index}",
            format_amount(int(coin.amount)),
            coin.issuer,
            str(coin.height),
        ]
        for coin in found
    ]
    emit(
        "marsa.wallet.coins/1",
        {"address": addresses[0], "coins": found},
        lambda: table(["coin", "amount", "issuer", "block"], rows) if rows else "no coins",
    )


@click.command(
    "history",
    cls=Command,
    short_help="Transactions that moved its coins.",
    help=f"""{examples("marsa wallet history alice", "marsa wallet history alice --limit 5 --json")}

List final transactions of a wallet, an account or an address, the newest first.
""",
)
@click.argument("name")
@limit_option
def history(name: str, limit: int) -> None:
    """Of several addresses merged by height; one transaction may stand for each of them."""
    from cli import nodes
    from cli.client import all_items

    with nodes.connected() as node:
        addresses = _addresses(node, name)
        found: list[schemas.HistoryItem] = []
        for address in addresses:
            found += islice(all_items(partial(_history_page, node, address)), limit)
    found.sort(key=lambda item: (item.height, item.position), reverse=True)
    found = found[:limit]
    rows = [
        [
            str(item.height),
            item.time,
            format_amount(int(move.received) - int(move.sent)),
            move.issuer,
            short_hex(item.txid),
        ]
        for item in found
        for move in item.movements
    ]
    emit(
        "marsa.wallet.history/1",
        {"address": addresses[0], "transactions": found},
        lambda: (
            table(["block", "time", "amount", "issuer", "txid"], rows)
            if rows
            else "no transactions"
        ),
    )


def _addresses(node: Node, name: str) -> list[str]:
    from cli import accounts
    from ledger.address import encode_address

    locks = accounts.resolve_locks(name, node.hrp, chain_id=node.chain_id)
    return [encode_address(lock, node.hrp) for lock in locks]


def _coins_page(node: Node, address: str, cursor: str | None) -> schemas.Page[schemas.Coin]:
    from node.api.schemas import PAGE_ITEMS_MAX

    return node.client.coins(address, limit=PAGE_ITEMS_MAX, cursor=cursor)


def _history_page(
    node: Node, address: str, cursor: str | None
) -> schemas.Page[schemas.HistoryItem]:
    return node.client.history(address, cursor=cursor)


def _label(addresses: list[str]) -> str:
    rest = len(addresses) - 1
    more = counted(rest, "more address", "more addresses")
    return addresses[0] + (f" and {more}" if rest else "")
