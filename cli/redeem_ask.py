"""What a holder does before anybody serves: ask, order, take back."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from shlex import quote as quoted
from typing import TYPE_CHECKING, TypeVar

import click

from cli import redeem_orders, redeem_window
from cli.acting import act, done, spend, wait_of, waited
from cli.base import Command, examples, settings
from cli.client import ClientError
from cli.errors import CliError, ExitCode
from cli.output import confirm, emit, note
from cli.passwords import password_options, read_password
from cli.redeem_text import quote_text, short
from cli.spans import parse_span, span_text
from cli.units import parse_amount
from ledger.amounts import format_amount

if TYPE_CHECKING:
    from cli.accounts import Holder
    from cli.nodes import Node
    from ledger.crypto import SigningKey
    from ledger.redemption_operations import Redeem
    from node.api import redemption_schemas as schemas

SEED_BYTES = 32
HINTS = {
    "commitment_over": "marsa capacity list",
    "low_amount": "the least is 0.01, and twice as much with each 256 open orders",
    "no_free_hours": "wait with --queue 1h; ask for less or longer (--within) where nobody waits",
    "unknown_class": "marsa capacity list",
    "unknown_commitment": "marsa capacity list",
}
"""What to do about a no, by its reason."""
F = TypeVar("F", bound=Callable[..., object])


def wanted_options(command: F) -> F:
    """What kind of compute, of whom, and when."""
    for option in (
        click.option("--queue", metavar="DURATION", help="Wait so long in turn for hours."),
        click.option("--start-by", metavar="DURATION", help="Begun within so long; else it fails."),
        click.option("--within", metavar="DURATION", help="Over within so long, as 1h."),
        click.option("--region", metavar="NAME", help="Only there."),
        click.option("--issuer", metavar="ID", help="Coins and compute of this issuer."),
        click.option("--workload", required=True, metavar="NAME", help="What it is for."),
        click.option(
            "--class", "device_class", required=True, metavar="CLASS", help="Class of machines."
        ),
    ):
        command = option(command)
    return command


@click.command(
    "quote",
    cls=Command,
    short_help="Would an order be taken now, and by whom?",
    help=f"""{
        examples(
            "marsa redeem quote 5 --class cpu --workload hashing",
            "marsa redeem quote 5 --class cpu --workload hashing --issuer acme --within 1h",
        )
    }

Ask whether an order of AMOUNT coins would be taken now: by whom, how many hours of a machine that
is, and when it would be over. The answer comes from the very rule that takes orders. Without
--within it ends when enough hours are free first. While others wait for hours it is taken with
--queue alone, behind them: who waits is asked as each period begins. Nothing is sent.
""",
)
@click.argument("amount")
@wanted_options
def quote(amount: str, **wanted: str | None) -> None:
    """A no is an answer, not an error."""
    from cli import nodes

    form = _form(parse_amount(amount), wanted)
    with nodes.connected() as node:
        found = node.client.economy.quote_redeem(form)
    wish = f"--class {form.device_class} --workload {form.workload}"
    command = f"marsa redeem quote {format_amount(int(form.amount))}"
    way = _way_out(form, found, command)
    emit("marsa.redeem.quote/1", found, lambda: quote_text(found, wish, *way))


@click.command(
    "submit",
    cls=Command,
    short_help="Ask for compute; the coins move into the order.",
    help=f"""{
        examples(
            "marsa redeem submit 5 --from alice --class cpu --workload hashing",
            "marsa redeem submit 5 --from savings --class cpu --workload hashing --queue 10m",
        )
    }

Order compute for AMOUNT coins of one issuer: those of which --from holds most, unless --issuer says
otherwise. The coins move into the order; what is not delivered comes back to the first address of
--from, whatever anybody does. A session key is made for this order alone and kept in MARSA_HOME
before anything is sent.
""",
)
@click.argument("amount")
@click.option(
    "--from", "sender", required=True, metavar="NAME", help="Account or wallet that pays."
)
@wanted_options
@waited
@password_options
def submit(
    amount: str,
    sender: str,
    no_wait: bool,
    wait: str,
    password_fd: int | None,
    password_file: Path | None,
    **wanted: str | None,
) -> None:
    """The quote says of which commitment and until when; just that is ordered."""
    from cli import accounts, nodes

    units, wait_ms = parse_amount(amount), wait_of(no_wait, wait)
    with nodes.connected() as node:
        holder = accounts.find_holder(
            sender,
            lambda name: read_password(name, password_fd, password_file),
            chain_id=node.chain_id,
        )
        whose = wanted["issuer"] or _richest(node, holder, units)
        form = _form(units, {**wanted, "issuer": whose})
        command = f"marsa redeem submit {format_amount(units)} --from {quoted(sender)}"
        terms, now_ms = _taken(form, node.client.economy.quote_redeem(form), command)
        if not holder.is_public:
            confirm(f"Order {form.workload} of '{whose}' for {format_amount(units)} of '{sender}'?")
        seed = secrets.token_bytes(SEED_BYTES)
        operation, order = _operation(node, terms, units, seed, holder.locks[0])
        file = redeem_orders.order_file(
            node, operation, order, seed=seed, owner=sender, device_class=form.device_class or ""
        )
        asset = bytes.fromhex(node.client.issuer(whose).asset)
        keeping = replace(holder, unlock=_saving(holder, file))
        outcome, draft = spend(node, keeping, units, asset, lambda _: operation, wait_ms)
        held = redeem_orders.find(node, order.hex()) if outcome.height is not None else None
        with suppress(ClientError, CliError):  # it is sent, whatever comes of old ones
            redeem_orders.forget_ended(node)
    value = {
        "order": order.hex(),
        "state": None if held is None else held.state,
        "issuer": whose,
        "commitment": terms.commitment,
        "device_class": form.device_class,
        "workload": form.workload,
        "amount": str(units),
        "asset": asset.hex(),
        "fee": str(draft.fee),
        "start_by_ms": terms.start_by_ms,
        "end_ms": terms.end_ms,
        "queue_until_ms": terms.queue_until_ms,
        "file": str(redeem_orders.path_of(order.hex())),
    }
    what = f"{format_amount(units)} coins of '{whose}' for {form.workload} on {form.device_class}"
    what = f"{what} ('{terms.commitment}'), over in {span_text(terms.end_ms - now_ms)}"
    what = what if held is None else f"{what}; {held.state}"
    following = f"marsa redeem status {short(order.hex())} -w"
    done("marsa.redeem.submit/1", outcome, value, (what, following))


@click.command(
    "cancel",
    cls=Command,
    short_help="Take back an order that nobody accepted.",
    help=f"""{examples("marsa redeem cancel 3f9c", "marsa redeem cancel 3f9c --json")}

Take back an order that waits or that its issuer has not accepted yet; free. Its session key signs,
so it works on the machine that sent it. All coins come back with the next block.
""",
)
@click.argument("order", metavar="ID")
@waited
def cancel(order: str, no_wait: bool, wait: str) -> None:
    from cli import nodes
    from ledger.redemption_operations import CancelRedemption

    wait_ms = wait_of(no_wait, wait)
    with nodes.connected() as node:
        wanted = redeem_orders.resolve(node, order)
        held = redeem_orders.fetch(node, wanted)
        signer = redeem_orders.session_key(wanted)
        operation = CancelRedemption(held.issuer, bytes.fromhex(wanted), signer.public)
        outcome = act(node, operation, (signer,), wait_ms)
    value = {"order": wanted, "issuer": held.issuer, "amount": held.amount}
    what = f"order {short(wanted)} is cancelled: {format_amount(int(held.amount))} coins come back"
    following = f"marsa redeem status {short(wanted)}"
    done("marsa.redeem.cancel/1", outcome, value, (what, following))


def _form(units: int, wanted: Mapping[str, str | None]) -> schemas.RedeemQuoteForm:
    """What the options of `wanted_options` ask for; raises CliError."""
    from node.api import redemption_schemas as schemas

    spans = {
        name: None if text is None else parse_span(text)
        for name, text in wanted.items()
        if name in ("within", "start_by", "queue")
    }
    return schemas.RedeemQuoteForm(
        amount=str(units),
        workload=wanted["workload"] or "",
        device_class=wanted["device_class"],
        issuer=wanted["issuer"],
        region=wanted["region"],
        within_ms=spans["within"],
        start_within_ms=spans["start_by"],
        queue_ms=spans["queue"] or 0,
    )


def _richest(node: Node, holder: Holder, units: int) -> str:
    """The issuer of whose coins the holder has most; the refusal of the payment says what is
    missing."""
    from collections import Counter

    from cli import payments

    held = Counter[str]()
    for coin in payments.fetch_coins(node, holder):
        held[coin.issuer] += int(coin.amount)
    if not held:
        raise CliError(
            "insufficient_funds",
            f"{holder.name} has no coins, {format_amount(units)} are needed",
            hint=f"marsa wallet balance {holder.name}",
            exit_code=ExitCode.REJECTED,
        )
    return max(sorted(held), key=lambda name: held[name])


def _taken(
    form: schemas.RedeemQuoteForm, found: schemas.RedeemQuote, command: str
) -> tuple[schemas.RedeemTerms, int]:
    """The terms that the rule takes, and when; its refusal, word for word, where it takes none."""
    if found.terms is None or not found.allowed:
        possible, hint = _way_out(form, found, command)
        message = f"{found.message}; {possible}" if possible else found.message
        raise CliError(
            found.code, message, hint=hint or "marsa capacity list", exit_code=ExitCode.REJECTED
        )
    return found.terms, found.ledger_time_ms


def _way_out(
    form: schemas.RedeemQuoteForm, found: schemas.RedeemQuote, command: str
) -> tuple[str, str]:
    """What would be taken instead, where the window alone stands in the way, and what to do."""
    if found.code != "bad_window":
        return "", HINTS.get(found.code, "")
    window = redeem_window.possible(form, found)
    wanted = (
        ("--class", form.device_class),
        ("--workload", form.workload),
        ("--issuer", form.issuer),
        ("--region", form.region),
    )
    named = [f"{name} {quoted(text)}" for name, text in wanted if text is not None]
    return window.text, " ".join((command, *named, *window.options))


def _operation(
    node: Node, terms: schemas.RedeemTerms, units: int, seed: bytes, refund_lock: bytes
) -> tuple[Redeem, bytes]:
    """And its id, which is known before it is sent."""
    from ledger.codec import encode_payload
    from ledger.crypto import SigningKey
    from ledger.economy.redemption import order_id
    from ledger.redemption_operations import Redeem

    operation = Redeem(
        issuer=terms.issuer,
        commitment=terms.commitment,
        workload=terms.workload,
        amount=units,
        session_key=SigningKey(seed).public,
        refund_lock=refund_lock,
        start_by_ms=terms.start_by_ms,
        end_ms=terms.end_ms,
        queue_until_ms=terms.queue_until_ms,
    )
    return operation, order_id(bytes.fromhex(node.chain_id), encode_payload(operation))


def _saving(holder: Holder, file: redeem_orders.OrderFile) -> Callable[[], tuple[SigningKey, ...]]:
    """Unlocks as the holder does, with the order's file on disk before anything can be signed."""

    def unlock() -> tuple[SigningKey, ...]:
        keys = holder.unlock()
        note(f"session key of the order: {redeem_orders.save(file)}")
        if settings().json:
            note(f"order {file.order}", verbosity=-1)
        else:
            click.echo(f"order   {file.order}")
        return keys

    return unlock
