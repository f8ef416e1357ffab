"""`marsa tx`: send coins, follow a transaction, fetch and check its proof.

What several sign together is in `cli.tx_create`, `cli.tx_lock` and `cli.tx_ptx`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.base import Group, examples, settings
from cli.errors import usage_error
from cli.home import read_limited
from cli.output import emit, note
from cli.passwords import password_options, read_password
from cli.send_options import dry_run_option, wait_of, waited
from cli.units import parse_amount, parse_duration, short_hex
from ledger.amounts import format_amount, parse_number

if TYPE_CHECKING:
    from cli.accounts import Holder
    from cli.nodes import Node
    from cli.payments import Outcome
    from cli.wallet.build import Draft, Terms
    from cli.wallet.payment import Holding
    from node.api import schemas
    from node.api.transaction_forms import TransactionForm

TXID_CHARS = 64

_TABLE = {
    "create": ("cli.tx_create:create", "Write an unsigned payment to a file."),
    "inspect": ("cli.tx_ptx:inspect", "What a file would do, who has signed it, who is missing."),
    "sign": ("cli.tx_sign:sign", "Add a signature to a file."),
    "combine": ("cli.tx_ptx:combine", "Gather the signatures of several copies in one."),
    "finalize": ("cli.tx_ptx:finalize", "The finished transaction of a file, as hex."),
    "submit": ("cli.tx_ptx:submit", "Send what a file holds, once enough have signed."),
    "lock": (
        "cli.tx_lock:show_lock",
        "The address of a lock of keys, times, secrets.",
    ),
    "secret": ("cli.tx_lock:secret", "Make a secret for a hash lock, or show the hash of one."),
}


@click.command(
    "tx",
    cls=Group,
    table=_TABLE,
    help=f"""{examples("marsa tx send bob 5 --from alice", "marsa tx show TXID")}

Send coins; follow and prove transactions; sign together what one hand must not do alone.
""",
)
def tx() -> None:
    """Group of commands."""


@tx.command(
    "send",
    short_help="Send coins to an address, an account or an alias.",
    help=f"""{
        examples(
            "marsa tx send bob 5 --from alice",
            "marsa tx send mrst1… 12.5 --from savings --issuer acme --memo 'invoice 7' --wait 30s",
        )
    }

Send AMOUNT coins to TO. Without --asset or --issuer the asset of which the sender holds most pays,
amount and fee. The txid is printed before anything is sent; when the wait ends without an answer
the outcome is unknown (exit code 4), not failed.
""",
)
@click.argument("to")
@click.argument("amount")
@click.option("--from", "sender", required=True, metavar="NAME", help="Account or wallet.")
@click.option("--asset", metavar="ID", help="The asset to send, 64 hex digits.")
@click.option("--issuer", metavar="ID", help="Send this issuer's coins.")
@click.option("--mix", is_flag=True, help="Send coins of several issuers if one does not suffice.")
@click.option("--memo", metavar="TEXT", help="Public text, at most 256 bytes.")
@click.option("--coin", "coins", multiple=True, metavar="TXID:N", help="Spend exactly these coins.")
@dry_run_option
@waited
@password_options
def send(
    to: str,
    amount: str,
    sender: str,
    asset: str | None,
    issuer: str | None,
    mix: bool,
    memo: str | None,
    coins: tuple[str, ...],
    dry_run: bool,
    no_wait: bool,
    wait: str,
    password_fd: int | None,
    password_file: Path | None,
) -> None:
    """Plan, show the txid, sign, send, wait."""
    from cli import accounts, nodes
    from cli.wallet.payment import Wish, plan

    units = parse_amount(amount)
    wait_ms = wait_of(no_wait, wait)
    if [asset is not None, issuer is not None, mix].count(True) > 1 or (mix and coins):
        raise usage_error(
            "usage", "--mix excludes --asset, --issuer and --coin; --asset excludes --issuer"
        )
    only = tuple(read_outpoint(text) for text in coins)
    with nodes.connected() as node:
        holder = accounts.find_holder(
            sender,
            lambda name: read_password(name, password_fd, password_file),
            chain_id=node.chain_id,
        )
        wish = Wish(
            amount=units,
            to=accounts.resolve_address(to, node.hrp, chain_id=node.chain_id),
            change_lock=holder.locks[0],
            asset=read_asset(node, asset, issuer),
            mix=mix,
            only=only,
        )
        planned = partial(plan, wish=wish)
        pay(node, holder, planned, memo=memo, to=to, dry_run=dry_run, wait_ms=wait_ms)


def pay(
    node: Node,
    holder: Holder,
    planned: Callable[[Terms, Holding], Draft],
    *,
    memo: str | None,
    to: str,
    dry_run: bool,
    wait_ms: int | None,
    schema: str = "marsa.tx.send/1",
) -> None:
    """The common course of `tx send`, `coin burn` and `wallet merge`; `to` names the receiver for
    people."""
    from cli import payments
    from cli.wallet.reservations import reservations

    terms = payments.make_terms(node, memo)
    coins = payments.fetch_coins(node, holder)
    with reservations(payments.now_ms()) as held:
        holding = payments.make_holding(holder, coins, held)
        draft = planned(terms, holding)
        if not dry_run:
            held.add([coin.outpoint for coin in draft.coins], terms.expires_at_ms)
    if dry_run:
        outcome = payments.Outcome(draft.txid.hex(), "draft", None, 0)
        emit(schema, _send_json(outcome, draft), f"{_plan_text(draft, holding, to)}\nnot sent")
        return
    _announce(_plan_text(draft, holding, to), draft.txid.hex())
    outcome = payments.submit(node, terms, draft, holder.unlock, wait_ms)
    emit(schema, _send_json(outcome, draft), outcome_text(outcome))


@tx.command(
    "show",
    short_help="What became of a transaction, and what it does.",
    help=f"""{examples("marsa tx show TXID", "marsa tx show TXID --json")}

Show a transaction: unknown, pending, final or rejected, and its inputs and outputs.
""",
)
@click.argument("txid")
def show(txid: str) -> None:
    """One answer of the node, without waiting."""
    from cli import nodes
    from cli.errors import not_found

    with nodes.connected() as node:
        found = node.client.transaction(checked_txid(txid))
        if found.status == "unknown":
            raise not_found(
                "unknown_transaction",
                f"{node.client.url} does not know transaction {txid}",
                f"if it was just sent: marsa tx wait {txid}",
            )
        emit("marsa.tx.show/1", found, lambda: _status_text(found, node))


@tx.command(
    "wait",
    short_help="Wait until a transaction is final.",
    help=f"""{examples("marsa tx wait TXID", "marsa tx wait TXID --wait 60s --json")}

Wait until a transaction is final. Exit code 5 when it was refused, 4 when the time is over.
""",
)
@click.argument("txid")
@click.option("--wait", default="30s", show_default=True, help="The longest wait.")
def wait_for(txid: str, wait: str) -> None:
    """Ask again and again, with the reason for the delay."""
    from cli import nodes, payments

    wait_ms = parse_duration(wait)
    with nodes.connected() as node:
        final = payments.wait_final(node.client, checked_txid(txid), wait_ms)
        value = {"txid": txid, "status": final.status, "height": final.height}
        emit("marsa.tx.wait/1", value, f"final in block {final.height}")


@tx.command(
    "proof",
    short_help="Fetch the proof that a transaction is final.",
    help=f"""{examples("marsa tx proof TXID --out proof.json", "marsa tx proof TXID > proof.json")}

Fetch all that shows a transaction final to whoever holds the genesis file: its bytes, the path to
its block's header, the certificate, and each change of the validators since genesis. Check it with
`marsa tx verify-proof`.
""",
)
@click.argument("txid")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write it here.")
def proof(txid: str, out: Path | None) -> None:
    """The file is the JSON object, with or without --json."""
    from cli import nodes, proofs
    from cli.output import json_text

    with nodes.connected() as node:
        text = json_text("marsa.tx.proof/1", proofs.fetch_proof(node.client, checked_txid(txid)))
    if out is None:
        click.echo(text)
        return
    if out.exists():
        hint = "choose another name, or move that file away"
        raise usage_error("file_exists", f"{out} exists and is not overwritten", hint)
    out.write_text(text + "\n")
    emit("marsa.tx.proof-file/1", {"txid": txid, "file": str(out)}, f"proof written to {out}")


@tx.command(
    "verify-proof",
    short_help="Check a proof offline, with the genesis file alone.",
    help=f"""{
        examples(
            "marsa tx verify-proof proof.json --genesis genesis.json",
            "marsa tx verify-proof proof.json --genesis genesis.json --json",
        )
    }

Check a proof without any node: chain, signatures, path, and the certificate of a quorum of the
validators, which follow from those of the genesis file. Exit code 9 when it does not hold.
""",
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--genesis",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The genesis file that you trust.",
)
def verify_proof(file: Path, genesis: Path) -> None:
    """Offline; says what it checked."""
    from cli import proofs

    found = proofs.read_proof(read_limited(file), str(file))
    verified = proofs.verify(found, genesis.read_bytes())
    value = {
        "ok": True,
        "txid": verified.tx.txid.hex(),
        "height": verified.header.height,
        "signers": list(verified.signers),
        "checks": list(verified.checks),
    }
    lines = [f"ok  {check}" for check in verified.checks]
    lines.append(f"transaction {verified.tx.txid.hex()} is final in block {verified.header.height}")
    emit("marsa.tx.verify-proof/1", value, "\n".join(lines))


def checked_txid(text: str) -> str:
    """64 lower-case hex digits."""
    if len(text) != TXID_CHARS or any(char not in "0123456789abcdef" for char in text):
        detail = f"{text!r} is not a txid: 64 lower-case hex digits"
        raise usage_error(
            "bad_txid", detail, "copy all of it, as in: marsa wallet history NAME --json"
        )
    return text


def outcome_text(outcome: Outcome) -> str:
    """One line for people."""
    if outcome.status != "final":
        return f"sent, not final yet: marsa tx wait {outcome.txid}"
    signed = f", signed by {outcome.signers} validators" if outcome.signers else ""
    return f"final in block {outcome.height} ({outcome.elapsed_ms / 1_000:.2f} s){signed}"


def _announce(plan_text: str, txid: str) -> None:
    """Before sending: whatever happens then, the txid is known."""
    if settings().json:
        note(f"txid {txid}", verbosity=-1)
    else:
        click.echo(plan_text)


def _plan_text(draft: Draft, holding: Holding, to: str) -> str:
    lines = [f"txid    {draft.txid.hex()}"]
    for part in draft.parts:
        asset = holding.asset_name(part.asset)
        lines.append(f"amount  {format_amount(part.amount)} {asset}, {holding.name} to {to}")
    lines.append(f"fee     {format_amount(draft.fee)} {holding.asset_name(draft.body.fee.asset)}")
    for asset_bytes, amount in sorted(draft.change.items()):
        lines.append(f"change  {format_amount(amount)} {holding.asset_name(asset_bytes)}")
    return "\n".join(lines)


def _send_json(outcome: Outcome, draft: Draft) -> dict[str, object]:
    value: dict[str, object] = {
        "txid": outcome.txid,
        "status": outcome.status,
        "height": outcome.height,
        "asset": draft.parts[0].asset.hex(),
        "amount": str(sum(part.amount for part in draft.parts)),
        "fee": str(draft.fee),
        "elapsed_ms": outcome.elapsed_ms,
    }
    if len(draft.parts) > 1:
        value["parts"] = [
            {"asset": part.asset.hex(), "amount": str(part.amount)} for part in draft.parts
        ]
    return value


def _status_text(found: schemas.TransactionStatus, node: Node) -> str:
    from ledger.address import encode_address

    lines = [f"txid    {found.txid}", f"status  {found.status}"]
    if found.height is not None:
        lines.append(f"block   {found.height}, position {found.position}, {found.time}")
    if found.code is not None:
        lines.append(f"reason  {found.code}: {found.detail}")
    if found.transaction is not None:
        body = found.transaction.body
        for spent in body.inputs:
            coin = f"{short_hex(spent.txid)}:{spent.index}"
            lines.append(f"input   {format_amount(int(spent.amount))} from coin {coin}")
        for output in body.outputs:
            address = encode_address(bytes.fromhex(output.lock), node.hrp)
            lines.append(f"output  {format_amount(int(output.amount))} to {address}")
        lines.append(f"fee     {format_amount(int(body.fee.amount))}")
        lines += _operation_lines(found.transaction)
        if body.memo:
            lines.append(f"memo    {bytes.fromhex(body.memo)!r}")
    if found.proof is not None:
        names = ", ".join(signer.licence for signer in found.proof.certificate.signers)
        lines.append(f"signed  {names}")
    return "\n".join(lines)


def _operation_lines(form: TransactionForm) -> list[str]:
    from cli.tx_text import operation_lines
    from ledger import transaction
    from node.api.convert import read_transaction

    body = transaction.decode(read_transaction(form)).body
    return [line for item in body.operations for line in operation_lines("does    ", item)]


def read_asset(node: Node, asset: str | None, issuer: str | None) -> bytes | None:
    if asset is not None:
        if len(asset) != TXID_CHARS:
            detail = f"{asset!r} is not an asset id: 64 hex digits"
            raise usage_error("bad_asset", detail, "copy it from: marsa wallet balance NAME")
        return bytes.fromhex(node.client.asset(asset).asset)
    if issuer is not None:
        return bytes.fromhex(node.client.issuer(issuer).asset)
    return None


def read_outpoint(text: str) -> tuple[bytes, int]:
    txid, _, index = text.partition(":")
    number = parse_number(index)
    if number is None:
        detail = f"{text!r} is not a coin: TXID:INDEX"
        raise usage_error("bad_coin", detail, "copy it from: marsa wallet coins NAME")
    return bytes.fromhex(checked_txid(txid)), number
