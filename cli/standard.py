"""`marsa standard`: how much work one coin is, who follows it, and how it rises.

A step raises throughputs; factors of devices follow from it. Validators give notice of it, and may
withdraw it until it takes effect. On a devnet one command does it, elsewhere --ptx FILE goes from
hand to hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from cli.acting import wait_of
from cli.base import Group, examples
from cli.errors import CliError, ExitCode, not_found, usage_error
from cli.output import emit
from cli.validator import carried, carry

if TYPE_CHECKING:
    from cli.nodes import Node
    from ledger.economy.standard import Factor, Reference
    from ledger.operations import OnStandard
    from node.api import standard_schemas as schemas

F = TypeVar("F", bound=Callable[..., object])

_RAISED = re.compile(r"([a-z0-9-]{1,32})=([0-9]{1,13})", re.ASCII)
_ADDED = re.compile(r"([a-z0-9-]{1,32})/([a-z0-9-]{1,32})=([0-9]{1,10})", re.ASCII)


def proposed(required: bool) -> Callable[[F], F]:
    """The numbers of a step."""

    def decorate(command: F) -> F:
        for option in (
            click.option(
                "--add",
                "added",
                multiple=True,
                metavar="CLASS/WORKLOAD=PPM",
                help="A new factor, in millionths of a coin an hour.",
            ),
            click.option(
                "--raise",
                "raised",
                multiple=True,
                metavar="WORKLOAD=UNITS",
                help="Units that are one hour from then on."
                + ("" if required else " Without any: the open step."),
            ),
        ):
            command = option(command)
        return command

    return decorate


@click.command(
    "standard",
    cls=Group,
    help=f"""{
        examples(
            "marsa standard show",
            "marsa standard impact --raise training=33000",
            "marsa standard propose --raise training=33000 --ptx step.ptx",
        )
    }

One coin is one standard compute hour. The standard says how many units of each workload's reference
job that is; it only rises, in small steps that are announced long before, so that no coin loses its
backing.
""",
)
def standard() -> None:
    """Group of commands."""


@standard.command(
    "show",
    short_help="What is in force, the open step, and who has to add hours.",
    help=f"""{examples("marsa standard show", "marsa standard show --json")}

Show units and factors in force, those of the open step and when it takes effect, and for each
issuer what its reserve will lack for minting.
""",
)
def show() -> None:
    """All of one height."""
    from cli import nodes, standard_text

    with nodes.connected() as node:
        found = node.client.economy.standards()
    emit("marsa.standard.show/1", found, lambda: standard_text.shown(found))


@standard.command(
    "history",
    short_help="Every version there was, and when it was in force.",
    help=f"""{examples("marsa standard history", "marsa standard history --json")}

List the versions of the standard with their units an hour, the oldest first.
""",
)
def history() -> None:
    """Past ones and the present one."""
    from cli import nodes, standard_text

    with nodes.connected() as node:
        past = list(node.client.economy.past_standards())
        found = [*past, node.client.economy.standards().active]
    emit("marsa.standard.history/1", {"standards": found}, lambda: standard_text.listed(found))


@standard.command(
    "impact",
    short_help="What a step does to each issuer, and the hours that it needs.",
    help=f"""{
        examples("marsa standard impact", "marsa standard impact --raise training=33000 --json")
    }

Show each issuer's coverage before and after the open step, or the step with these numbers, and the
hours of each of its classes that bring it back to its margin. Nothing is sent.
""",
)
@proposed(required=False)
def impact(raised: tuple[str, ...], added: tuple[str, ...]) -> None:
    """As of now: that hours pass until then is left out."""
    from cli import nodes, standard_text

    with nodes.connected() as node:
        if raised or added:
            issuers = _quoted(node, raised, added).issuers
        else:
            found = node.client.economy.standards()
            if found.step is None:
                detail = "no step of the standard is open"
                raise not_found(
                    "no_step", detail, "give the numbers of one: --raise WORKLOAD=UNITS"
                )
            issuers = found.issuers
    value = {"issuers": issuers}
    emit("marsa.standard.impact/1", value, lambda: standard_text.impact(issuers))


@standard.command(
    "propose",
    short_help="Give notice of the next version.",
    help=f"""{
        examples(
            "marsa standard propose --raise training=33000 --raise inference=22000",
            "marsa standard propose --raise training=33000 --ptx step.ptx",
            "marsa standard propose --raise video=500 --add h200x8/video=9000000 --ptx step.ptx",
        )
    }

Give notice of the next version of the standard: more units of a workload for one hour, factors of
new classes or workloads. Other factors follow. It takes effect when notice and spacing are over,
at the start of a period. Refused before anything is signed when a factor would fall too far.
""",
)
@proposed(required=True)
@carried
def propose(
    raised: tuple[str, ...],
    added: tuple[str, ...],
    ptx: Path | None,
    days: int,
    no_wait: bool,
    wait: str,
) -> None:
    """Asked of the node first; nobody is to sign what is refused."""
    from cli import nodes
    from ledger.operations import ProposeStandard

    with nodes.connected() as node:
        found = _quoted(node, raised, added)
        units, factors = _read(raised, added)
        operation = ProposeStandard(found.version, units, factors)
        _carry(node, operation, ptx, days, wait_of(no_wait, wait), "propose")


@standard.command(
    "withdraw",
    short_help="Take the open step back before it takes effect.",
    help=f"""{examples("marsa standard withdraw", "marsa standard withdraw --ptx withdraw.ptx")}

Take the step back that is noticed. The standard stays as it is.
""",
)
@carried
def withdraw(ptx: Path | None, days: int, no_wait: bool, wait: str) -> None:
    """The step is named by when it was noticed."""
    from cli import nodes
    from ledger.operations import WithdrawStandard

    with nodes.connected() as node:
        found = node.client.economy.standards()
        if found.step is None or found.state != "noticed":
            raise not_found("no_step", "no step is noticed", "marsa standard show")
        operation = WithdrawStandard(found.step.noticed_ms)
        _carry(node, operation, ptx, days, wait_of(no_wait, wait), "withdraw")


def _carry(
    node: Node, operation: OnStandard, ptx: Path | None, days: int, wait_ms: int | None, what: str
) -> None:
    schema = f"marsa.standard.{what}/1"
    carry(node, node.client.epoch(), operation, ptx, days, wait_ms, schema=schema)


def _quoted(node: Node, raised: tuple[str, ...], added: tuple[str, ...]) -> schemas.StandardQuote:
    """What the rules say to these numbers; raises CliError where they refuse."""
    from node.api.forms import FactorForm, ReferenceForm
    from node.api.standard_schemas import StandardQuoteForm

    units, factors = _read(raised, added)
    form = StandardQuoteForm(
        raised=[ReferenceForm(workload=x.workload, units=x.units) for x in units],
        added=[
            FactorForm(device_class=x.device_class, workload=x.workload, factor=x.factor)
            for x in factors
        ],
    )
    found = node.client.economy.quote_standard(form)
    if not found.allowed:
        hint = "marsa standard show"
        raise CliError(found.code, found.message, hint=hint, exit_code=ExitCode.REJECTED)
    return found


def _read(
    raised: tuple[str, ...], added: tuple[str, ...]
) -> tuple[tuple[Reference, ...], tuple[Factor, ...]]:
    """In the order that the rules ask for."""
    from ledger.economy.standard import Factor, Reference

    units = [_match(_RAISED, text, "WORKLOAD=UNITS, as training=33000") for text in raised]
    factors = [_match(_ADDED, text, "CLASS/WORKLOAD=PPM, as l40sx8/video=900000") for text in added]
    if not units and not factors:
        raise usage_error("usage", "say what rises: --raise WORKLOAD=UNITS or --add")
    return (
        tuple(Reference(name, int(number)) for name, number in sorted(units)),
        tuple(Factor(a, b, int(number)) for a, b, number in sorted(factors)),
    )


def _match(form: re.Pattern[str], text: str, wanted: str) -> tuple[str, ...]:
    found = form.fullmatch(text)
    if found is None:
        raise usage_error("bad_step", f"{text!r} is not {wanted}")
    return found.groups()
