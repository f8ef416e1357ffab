"""What commands of the economy share: an operation that a role key signs, and one that takes a
holder's coins. Both are shown with their txid before they are sent, and waited for.

On a devnet the key follows from the genesis; elsewhere it is in a file (`--key`). Either way the
chain says which key is in force, and another one is refused before anything is signed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from cli.base import settings
from cli.errors import CliError, ExitCode, not_found
from cli.output import emit, note
from cli.send_options import wait_of as wait_of
from cli.send_options import waited as waited
from cli.tx import outcome_text

if TYPE_CHECKING:
    from cli.accounts import Holder
    from cli.nodes import Node
    from cli.payments import Outcome
    from cli.wallet.build import Draft, Taken
    from ledger.crypto import SigningKey
    from ledger.operations import Operation
    from ledger.transaction import Output
    from node.api import schemas

F = TypeVar("F", bound=Callable[..., object])

LANE_MAX = 255
SOUND_BANDS = ("healthy", "warn")
SOUND_LICENCES = ("active", "accused")
KEY_FILE = click.Path(path_type=Path)

key_option = click.option(
    "--key", type=KEY_FILE, metavar="FILE", help="Key file; a devnet's keys are known."
)


def find_key(node: Node, name: str, role: str, wanted: str, file: Path | None) -> SigningKey:
    """The key whose public half is `wanted` (hex); raises CliError where it is not here."""
    from cli import key_files, validator_keys

    if file is not None:
        _, keys = key_files.load_keys(file)
    else:
        genesis = validator_keys.devnet_genesis(node.chain_id)
        made = None if genesis is None else validator_keys.devnet_role_key(genesis, name, role)
        keys = () if made is None else (made,)
    for key in keys:
        if key.public.hex() == wanted:
            return key
    what = "the key of attestor" if role == "attestor" else f"the {role} key of"
    if not keys:
        detail = f"{what} '{name}' is not on this machine"
        raise not_found("unknown_key", detail, "give the key itself with --key FILE")
    held = ", ".join(key.public.hex() for key in keys)
    where = "here" if file is None else f"in {file}"
    raise CliError(
        "wrong_role_key",
        f"{what} '{name}' is {wanted}; {where} is {held}",
        hint="give the key in force with --key FILE",
        exit_code=ExitCode.REJECTED,
    )


def next_number(lanes: Sequence[schemas.Lane], lane: int) -> int:
    """What an operation in this lane carries; a lane that nobody used begins with 0."""
    return next((item.next_number for item in lanes if item.lane == lane), 0)


def act(
    node: Node,
    operation: Operation,
    keys: Sequence[SigningKey],
    wait_ms: int | None,
    outputs: tuple[Output, ...] = (),
) -> Outcome:
    """Sign with role keys and send; free, because licensed keys sign."""
    from cli import payments
    from cli.wallet.build import Draft
    from ledger.transaction import NO_FEE, Transaction

    terms = payments.make_terms(node, None)
    body = Transaction(
        version=1,
        chain_id=terms.chain_id,
        inputs=(),
        outputs=outputs,
        fee=NO_FEE,
        operations=(operation,),
        expires_at_ms=terms.expires_at_ms,
        memo=b"",
    )
    signers = tuple(sorted({key.public for key in keys}))
    draft = Draft(body, (), (), signers, (), {})
    announce(draft, operation)
    return payments.submit(node, terms, draft, lambda: tuple(keys), wait_ms)


def spend(
    node: Node,
    holder: Holder,
    amount: int,
    asset: bytes | None,
    taken: Taken,
    wait_ms: int | None,
    *,
    more: tuple[SigningKey, ...] = (),
) -> tuple[Outcome, Draft]:
    """An operation takes `amount` of the holder's coins, who pays the fee too."""
    from cli import payments
    from cli.wallet.payment import Wish, plan
    from cli.wallet.reservations import reservations

    terms = payments.make_terms(node, None)
    coins = payments.fetch_coins(node, holder)
    wish = Wish(amount=amount, to=None, change_lock=holder.locks[0], asset=asset, taken=taken)
    with reservations(payments.now_ms()) as held:
        holding = payments.make_holding(holder, coins, held)
        draft = plan(terms, holding, wish)
        held.add([coin.outpoint for coin in draft.coins], terms.expires_at_ms)
    announce(draft, draft.body.operations[0])
    unlock = holder.unlock
    outcome = payments.submit(node, terms, draft, lambda: (*unlock(), *more), wait_ms)
    return outcome, draft


def sound_coin(node: Node, holder: Holder, target: str) -> bytes:
    """The asset of which the holder has most, among those that count as bond or deposit against
    `target`: coins of others, licensed and not in deficit."""
    from cli import payments

    licences = {x.licence.id for x in node.client.economy.licences() if x.state in SOUND_LICENCES}
    sound = {
        item.asset
        for item in node.client.reserve().issuers
        if item.status in SOUND_BANDS and item.issuer in licences - {target}
    }
    held = Counter[str]()
    for coin in payments.fetch_coins(node, holder):
        if coin.asset in sound:
            held[coin.asset] += int(coin.amount)
    if not held:
        raise CliError(
            "insufficient_funds",
            f"{holder.name} has no coins of another sound issuer than '{target}'",
            hint=f"marsa wallet balance {holder.name}",
            exit_code=ExitCode.REJECTED,
        )
    return bytes.fromhex(max(sorted(held), key=lambda item: held[item]))


def announce(draft: Draft, operation: Operation) -> None:
    """Before sending: whatever happens then, the txid is known."""
    from cli.wallet.operation_text import describe_operation

    if settings().json:
        note(f"txid {draft.txid.hex()}", verbosity=-1)
    else:
        click.echo(f"txid    {draft.txid.hex()}")
        note(describe_operation(operation), verbosity=1)


def done(schema: str, outcome: Outcome, value: Mapping[str, object], says: Sequence[str]) -> None:
    """The result: what was done, whether it is final, and what to do next."""
    shown = {
        "txid": outcome.txid,
        "status": outcome.status,
        "height": outcome.height,
        **value,
        "elapsed_ms": outcome.elapsed_ms,
    }
    what, *following = says
    text = "\n".join((what, outcome_text(outcome), *(f"next: {item}" for item in following)))
    emit(schema, shown, text)
