"""`marsa tx create` and `marsa tx lock`: payments that several hands sign, from one lock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.base import Command, Number, examples
from cli.errors import CliError, usage_error
from cli.output import emit
from cli.units import format_time, parse_amount
from ledger.amounts import parse_number

if TYPE_CHECKING:
    from cli.nodes import Node
    from cli.payments import Owner
    from cli.wallet.build import Draft
    from cli.wallet.payment import Holding, Wish
    from ledger.locks import Condition, Threshold

DAYS = 3
DAYS_MAX = 6
"""The ledger takes what expires within 7 days of a block's time, which may be behind the clock."""
DAY_MS = 24 * 3_600_000
KEY_CHARS = 64

PTX = click.Path(path_type=Path, dir_okay=False)
LOCK_HELP = "2/alice,bob,KEY: two of three. KEY is an account, a wallet, or 64 hex digits."


@dataclass(frozen=True, slots=True)
class SharedLock:
    """Coins that several keys spend together."""

    name: str
    condition: Threshold

    @property
    def conditions(self) -> dict[bytes, Condition]:
        from ledger.locks import lock_hash

        return {lock_hash(self.condition): self.condition}

    @property
    def locks(self) -> tuple[bytes, ...]:
        return tuple(self.conditions)


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
    if (sender is None) == (lock is None):
        raise usage_error("usage", "say who pays: either --from NAME or --lock K/KEYS")
    if asset is not None and issuer is not None:
        raise usage_error("usage", "--asset excludes --issuer")
    only = tuple(read_outpoint(text) for text in coins)
    with nodes.connected() as node:
        owner = _owner(node, sender, lock)
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
        draft = plan(terms, holding, wish, seed=terms.expires_at_ms)
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
        f"coins   reserved on this machine until {format_time(draft.body.expires_at_ms)}\n"
        f"written to {file}, unsigned; next: marsa tx sign {file} --from NAME"
    )


@click.command(
    "lock",
    cls=Command,
    short_help="The address of a lock of several keys.",
    help=f"""{examples("marsa tx lock 2/alice,bob,carol", "marsa tx lock 2/alice,bob,KEY --json")}

Show the address of coins that K of the named KEYS spend together. {LOCK_HELP} The order of the
keys does not count; whoever spends gives the same K and KEYS to `tx create --lock`.
""",
)
@click.argument("lock", metavar="K/KEYS")
def show_lock(lock: str) -> None:
    """Public keys alone make the address."""
    from cli import nodes
    from ledger.address import encode_address

    with nodes.connected() as node:
        shared = read_lock(lock, node.chain_id)
        address = encode_address(shared.locks[0], node.hrp)
    value = {
        "address": address,
        "lock": shared.locks[0].hex(),
        "needed": shared.condition.needed,
        "keys": [key.hex() for key in shared.condition.keys],
    }
    emit("marsa.tx.lock/1", value, address)


def read_lock(text: str, chain_id: str) -> SharedLock:
    """`K/KEY,KEY,…`; raises CliError."""
    from ledger.locks import Threshold, check_condition
    from ledger.reasons import Invalid

    number, _, names = text.partition("/")
    needed = parse_number(number)
    if not needed or not names:
        raise _bad_lock(text, "it is written K/KEY,KEY with K from 1 on, as in 2/alice,bob,carol")
    keys = [_public_key(name, chain_id) for name in names.split(",")]
    if len(set(keys)) != len(keys):
        raise _bad_lock(text, "a key is named twice")
    condition = Threshold(needed, tuple(sorted(keys)))
    try:
        check_condition(condition)
    except Invalid as error:
        raise _bad_lock(text, error.detail) from None
    return SharedLock(text, condition)


def _bad_lock(text: str, why: str) -> CliError:
    return usage_error("bad_lock", f"{text!r} is no lock of several keys: {why}")


def _owner(node: Node, sender: str | None, lock: str | None) -> Owner:
    from cli import accounts

    if lock is not None:
        return read_lock(lock, node.chain_id)
    return accounts.find_holder(str(sender), _never_asked, chain_id=node.chain_id)


def _never_asked(name: str) -> str:
    raise AssertionError(f"an unsigned payment asks for the password of '{name}'")


def _public_key(name: str, chain_id: str) -> bytes:
    from cli import accounts

    if len(name) == KEY_CHARS and all(char in "0123456789abcdef" for char in name):
        return bytes.fromhex(name)
    return accounts.find_holder(name, _never_asked, chain_id=chain_id).public_keys[0]
