"""`marsa redeem use`: the holder's side of a session, until all is delivered."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from cli.base import Command, Number, examples
from cli.errors import CliError, ExitCode, usage_error
from cli.output import emit, note
from cli.redeem_orders import fetch, find, orders_dir, resolve
from cli.redeem_serve import address, command
from cli.redeem_text import coins, short, who_text
from cli.units import parse_duration

if TYPE_CHECKING:
    from cli.delivery.holder import Service, Setup
    from cli.delivery.rules import SignedReceipt
    from cli.nodes import Node
    from node.api.redemption_schemas import Redemption

LOOK_S = 0.5
BEFORE = ("queued", "requested", "accepted")
"""States of an order that is served soon."""
SERVED = ("ready", "active")


@click.command(
    "use",
    cls=Command,
    short_help="Have an order delivered: check the work, sign for it.",
    help=f"""{examples("marsa redeem use 3f9c", "marsa redeem use 3f9c --check 8")}

Connect to where the issuer serves an order, see that the licensed issuer answers, do some of the
units again and sign a receipt for each tick. Signed receipts are on disk before they are sent: it
may be killed and started again. It waits for the issuer to be ready, and ends when all is
delivered or the order is over. ID may be shortened.
""",
)
@click.argument("order", metavar="ID")
@click.option(
    "--check",
    default=1,
    show_default=True,
    type=Number(0, 64),
    help="How many units of each tick are done again.",
)
@click.option(
    "--job", default="", metavar="COMMAND", help="What checks the units; for 'hashing' it is known."
)
@click.option(
    "--patience", default="2m", show_default=True, help="How long to wait for the issuer."
)
def use(order: str, check: int, job: str, patience: str) -> int:
    """Everything that is signed for is checked first."""
    import asyncio

    from cli.delivery import holder
    from cli.delivery.frames import SessionEnded
    from cli.delivery.rules import Broken
    from cli.delivery.store import DamagedReceipt
    from cli.delivery.worker import JobFailed
    from cli.nodes import connected
    from cli.progress import Progress

    patience_ms = parse_duration(patience)
    with connected() as node:
        asked = fetch(node, resolve(node, order))
        checking = _job(asked.workload, check, job)
        shown = _ready(node, asked, patience_ms)
        total = int(shown.burned) + int(shown.deliverable)
        with Progress("delivering", total, "µ") as progress:

            def reach(signed: SignedReceipt) -> None:
                progress.reach(signed.receipt.delivered)

            setup = _setup(node, shown, check, checking, reach)
            try:
                with _alone(shown.id):
                    side = asyncio.run(holder.use(setup, attempts_s=patience_ms / 1_000))
            except Broken as broken:
                if broken.fault in holder.LATER:
                    raise _ended(broken, f"marsa redeem status {shown.id[:12]}") from None
                raise _refused(shown.id, broken) from None
            except holder.OrderOver:
                raise _over(fetch(node, shown.id)) from None
            except (SessionEnded, JobFailed) as ended:
                raise _ended(ended, f"marsa redeem use {shown.id[:12]}") from None
            except DamagedReceipt as damaged:
                raise CliError(
                    "bad_file",
                    str(damaged),
                    hint="mend it, or move it away: the issuer has the last receipt too",
                    exit_code=ExitCode.CHECK_FAILED,
                ) from None
    _report(shown, side.units, side.delivered, side.number)
    return 0


@contextmanager
def _alone(order: str) -> Iterator[None]:
    """One session of an order at a time: each signs what follows from the last receipt, and two
    would sign one number twice. Raises CliError."""
    path = orders_dir() / f"{order}.lock"
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CliError(
                "in_use",
                f"order {order[:12]} is being delivered by another process here",
                hint=f"marsa redeem status {order[:12]} -w",
                exit_code=ExitCode.CHECK_FAILED,
            ) from None
        yield


def _ready(node: Node, shown: Redemption, patience_ms: int) -> Redemption:
    """The order, once its issuer says where it serves; raises CliError."""
    import time

    from cli.output import Waiting

    with Waiting("waiting for the issuer", patience_ms) as waiting:
        while shown.state not in SERVED:
            if shown.state not in BEFORE:
                raise _over(shown)
            if not waiting.left_ms:
                raise CliError(
                    "not_ready",
                    f"order {short(shown.id)} is {shown.state}: {who_text(shown)}",
                    hint=f"marsa redeem status {short(shown.id)} -w",
                    exit_code=ExitCode.TIMEOUT,
                )
            waiting.because(f"the order is {shown.state}")
            time.sleep(LOOK_S)
            shown = fetch(node, shown.id)
    return shown


def _over(shown: Redemption) -> CliError:
    """Nothing more is delivered, and what became of the coins."""
    brought = f"{coins(shown.burned)} of {coins(shown.amount)} coins were delivered"
    left = int(shown.amount) - int(shown.burned) - int(shown.refunded)
    rest = [f"{coins(shown.refunded)} came back"] if int(shown.refunded) else []
    rest += [f"{coins(left)} are not paid back yet"] if left and not shown.is_paid else []
    return CliError(
        "order_over",
        f"order {short(shown.id)} is {shown.state}: {', '.join((brought, *rest))}",
        hint=f"marsa redeem status {short(shown.id)}",
        exit_code=ExitCode.REJECTED,
    )


def _need_open(node: Node, order: str) -> None:
    """Raises OrderOver where its window is over or somebody closed it: whoever serves it then is
    not waited for. A node that does not answer says nothing about it."""
    from cli.client import ClientError
    from cli.delivery.holder import OrderOver

    try:
        held = find(node, order)
    except ClientError:
        return
    if held is None or held.state not in SERVED:
        raise OrderOver


def _setup(
    node: Node, shown: Redemption, check: int, job: Sequence[str], progress: object
) -> Setup:
    from cli.delivery.holder import Setup
    from cli.delivery.service import seen_of
    from cli.delivery.store import receipt_file
    from cli.redeem_orders import session_key

    key = session_key(shown.id)
    terms = seen_of(shown).terms(bytes.fromhex(node.chain_id))
    return Setup(
        terms=terms,
        service=_service(node, shown),
        key=key,
        kept=receipt_file(orders_dir(), terms.order),
        job=job,
        tick_s=node.params.economy.tick_ms / 1_000,
        checked=check,
        need_open=lambda: _need_open(node, shown.id),
        progress=progress,  # type: ignore[arg-type]
    )


def _job(workload: str, check: int, text: str) -> Sequence[str]:
    """What checks the units; raises CliError where something is to be checked and nothing can."""
    from cli.delivery.jobs import BUILT_IN, REFERENCE_JOB

    known = command(text) if text else BUILT_IN.of(workload)
    if known is None and check:
        raise usage_error(
            "no_job",
            f"the job that is built in checks no units of '{workload}'",
            "name the issuer's job with --job COMMAND, or sign unseen with --check 0",
        )
    return known or REFERENCE_JOB


def _service(node: Node, shown: Redemption) -> Service:
    from cli.delivery.holder import Service

    host, port = address(shown.endpoint)
    licence = node.client.economy.licence(shown.issuer).licence
    return Service(
        host=host,
        port=port,
        certificate_hash=bytes.fromhex(shown.session_hash or ""),
        licence=shown.issuer,
        operations_key=bytes.fromhex(licence.keys.operations),
    )


def _ended(error: Exception, hint: str) -> CliError:
    """Nobody did what it may not; it may go on later."""
    return CliError("session_ended", str(error), hint=hint, exit_code=ExitCode.UNREACHABLE)


def _refused(order: str, broken: Exception) -> CliError:
    """The provider did what it may not: nothing more is signed for it."""
    return CliError(
        "delivery_refused",
        str(broken),
        hint=f"nothing was signed for that; marsa redeem close {order[:12]}, then dispute",
        exit_code=ExitCode.CHECK_FAILED,
    )


def _report(shown: Redemption, units: int, delivered: int, number: int) -> None:
    from ledger.amounts import format_amount

    value = {
        "order": shown.id,
        "issuer": shown.issuer,
        "units": units,
        "delivered": str(delivered),
        "receipt": number,
    }
    text = f"delivered {format_amount(delivered)} coins: {units} units, receipt {number}"
    note("the issuer posts the last receipt and closes; what is left comes back by itself")
    emit("marsa.redeem.use/1", value, text)
