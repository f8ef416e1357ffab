"""How an order ends before its time, and what happens where both sides disagree."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli import redeem_orders
from cli.acting import act, done, find_key, key_option, sound_coin, spend, wait_of, waited
from cli.base import Command, examples
from cli.errors import CliError, ExitCode, usage_error
from cli.output import confirm
from cli.passwords import password_options, read_password
from cli.redeem_provide import issuer_key
from cli.redeem_text import PANEL_NEEDED, coins, short
from cli.ruling import Word, attestor_option, need_attestor, need_verdict, verdict_option
from cli.units import parse_amount
from ledger.amounts import format_amount

if TYPE_CHECKING:
    from cli.nodes import Node
    from ledger.crypto import SigningKey
    from node.api.redemption_schemas import Redemption

HOLDER, ISSUER = "holder", "issuer"

by_option = click.option(
    "--by",
    type=click.Choice((HOLDER, ISSUER)),
    help="As which side; the holder's where the order was sent from here.",
)


@click.command(
    "close",
    cls=Command,
    short_help="End a session, as either side.",
    help=f"""{examples("marsa redeem close 3f9c", "marsa redeem close 3f9c --by issuer --json")}

End a session: by the order's session key, or by the metering key of its issuer, which can end only
what has begun. For a while both may still post a higher receipt or dispute; then what was not
delivered comes back.
""",
)
@click.argument("order", metavar="ID")
@by_option
@key_option
@waited
def close(order: str, by: str | None, key: Path | None, no_wait: bool, wait: str) -> None:
    from cli import nodes
    from ledger.redemption_operations import CloseRedemption

    wait_ms = wait_of(no_wait, wait)
    with nodes.connected() as node:
        held, side, signer = _side(node, order, by, key)
        operation = CloseRedemption(held.issuer, bytes.fromhex(held.id), signer.public)
        outcome = act(node, operation, (signer,), wait_ms)
    value = {"order": held.id, "issuer": held.issuer, "by": side, "delivered": held.burned}
    what = f"order {short(held.id)} is closing: {coins(held.burned)} of {coins(held.amount)}"
    following = f"marsa redeem status {short(held.id)} -w"
    done("marsa.redeem.close/1", outcome, value, (f"{what} coins delivered", following))


@click.command(
    "dispute",
    cls=Command,
    short_help="Say that the highest receipt is not what happened.",
    help=f"""{
        examples(
            "marsa redeem dispute 3f9c --from alice",
            "marsa redeem dispute 3f9c --from treasury --by issuer --claimed 4.5 --yes",
        )
    }

Ask a panel of attestors about an order that is closing. The holder says that it was not served; the
issuer that it delivered --claimed coins in all, by the log of its meter. --from deposits a share of
what it is about, in sound coins of another issuer; the loser's deposit goes to the other side.
""",
)
@click.argument("order", metavar="ID")
@click.option(
    "--from", "sender", required=True, metavar="NAME", help="Account or wallet that deposits."
)
@click.option("--claimed", metavar="AMOUNT", help="As the issuer: coins delivered in all.")
@by_option
@key_option
@waited
@password_options
def dispute(
    order: str,
    sender: str,
    claimed: str | None,
    by: str | None,
    key: Path | None,
    no_wait: bool,
    wait: str,
    password_fd: int | None,
    password_file: Path | None,
) -> None:
    """The deposit follows from what is contested."""
    from cli import accounts, nodes
    from ledger.redemption_operations import DisputeRedemption

    said, wait_ms = None if claimed is None else parse_amount(claimed), wait_of(no_wait, wait)
    by = by or (ISSUER if claimed is not None else None)
    with nodes.connected() as node:
        held, side, signer = _side(node, order, by, key)
        if (side == ISSUER) != (said is not None):
            raise usage_error("usage", "--claimed is what an issuer says, and says it always")
        deposit = _deposit(node, held, said)
        holder = accounts.find_holder(
            sender,
            lambda name: read_password(name, password_fd, password_file),
            chain_id=node.chain_id,
        )
        asset = sound_coin(node, holder, held.issuer)
        if not holder.is_public:
            confirm(f"Deposit {format_amount(deposit)} of '{sender}'? Lost if it is dismissed.")
        outcome, draft = spend(
            node,
            holder,
            deposit,
            asset,
            lambda part: DisputeRedemption(
                issuer=held.issuer,
                order=bytes.fromhex(held.id),
                key=signer.public,
                claimed=int(held.burned) if said is None else said,
                asset=part.asset,
                amount=part.amount,
                refund_lock=holder.locks[0],
            ),
            wait_ms,
            more=(signer,),
        )
        panel: list[str] = []
        if outcome.height is not None:
            opened = redeem_orders.fetch(node, held.id).dispute
            panel = opened.panel if opened is not None else []
    value = {
        "order": held.id,
        "issuer": held.issuer,
        "by": side,
        "claimed": held.burned if said is None else str(said),
        "asset": asset.hex(),
        "deposit": str(deposit),
        "fee": str(draft.fee),
        "panel": panel,
    }
    what = f"order {short(held.id)} is disputed, {format_amount(deposit)} coins deposited"
    if panel:
        what = f"{what}\npanel: {', '.join(panel)}, {PANEL_NEEDED} of them decide"
    judge = panel[0] if panel else "NAME"
    following = f"marsa redeem rule {short(held.id)} --attestor {judge} --uphold, or --dismiss"
    done("marsa.redeem.dispute/1", outcome, value, (what, following))


@click.command(
    "rule",
    cls=Command,
    short_help="Decide a dispute, as a member of its panel.",
    help=f"""{
        examples(
            "marsa redeem rule 3f9c --attestor vantage --dismiss",
            "marsa redeem rule 3f9c --attestor vantage --uphold --key vantage.json",
        )
    }

Say whether a dispute is right, as an attestor who sits on its panel; `marsa redeem status` names
it. Three of five decide. Upheld, the holder is paid back with a penalty, or the issuer gets what it
claimed; dismissed, the highest receipt stands.
""",
)
@click.argument("order", metavar="ID")
@attestor_option
@verdict_option("Right, or not.")
@key_option
@waited
def rule(
    order: str, attestor: str, upheld: bool | None, key: Path | None, no_wait: bool, wait: str
) -> None:
    from cli import nodes
    from ledger.redemption_operations import RuleRedemption

    says, wait_ms = need_verdict(upheld), wait_of(no_wait, wait)
    with nodes.connected() as node:
        wanted = redeem_orders.resolve(node, order)
        opened = redeem_orders.fetch(node, wanted).dispute
        if opened is None:
            raise CliError(
                "unknown_dispute",
                f"nobody disputes order {wanted}",
                hint=f"marsa redeem status {short(wanted)}",
                exit_code=ExitCode.REJECTED,
            )
        signer = find_key(node, attestor, "attestor", need_attestor(node, attestor).key, key)
        operation = RuleRedemption(attestor, signer.public, bytes.fromhex(wanted), says)
        outcome = act(node, operation, (signer,), wait_ms)
    word = Word.after(opened.votes, attestor, says)
    value = {"order": wanted, **word.json}
    what = word.text(f"the dispute about {short(wanted)}")
    done("marsa.redeem.rule/1", outcome, value, (what, f"marsa redeem status {short(wanted)}"))


def _side(
    node: Node, order: str, by: str | None, file: Path | None
) -> tuple[Redemption, str, SigningKey]:
    """The order, the side that speaks, and its key."""
    wanted = redeem_orders.resolve(node, order)
    held = redeem_orders.fetch(node, wanted)
    is_own = redeem_orders.load(wanted) is not None
    side = by or (HOLDER if is_own and file is None else ISSUER)
    if side == HOLDER:
        return held, side, redeem_orders.session_key(wanted)
    return held, side, issuer_key(node, held.issuer, "metering", file)


def _deposit(node: Node, held: Redemption, claimed: int | None) -> int:
    """What this dispute must put up, by the very rule."""
    from ledger.economy.dispute import deposit_needed

    contested = int(held.amount) if claimed is None else claimed - int(held.burned)
    return deposit_needed(max(0, contested), node.params.economy.deposit_ppm)
