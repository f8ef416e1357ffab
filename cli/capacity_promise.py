"""What an issuer does with capacity: promise, pledge machines, promise more, open what is drawn.

The issuer's operations key signs. A devnet has no machines: there ids are made up.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.acting import LANE_MAX, act, done, find_key, key_option, next_number, wait_of, waited
from cli.base import Command, Number, examples
from cli.capacity import hours
from cli.errors import CliError, ExitCode, usage_error
from cli.home import read_limited
from cli.spans import (
    ends_text,
    machines_of,
    microhours_of,
    parse_span,
    parse_time,
    span_text,
    whole_periods,
)
from cli.units import parse_amount
from ledger.times import rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.nodes import Node
    from ledger.crypto import SigningKey
    from node.api.schemas import Lane

MACHINES_MAX = 1_000_000
MADE_UP_MAX = 256
"""As many as one operation pledges."""
DEVICE = re.compile(r"[0-9a-f]{64}", re.ASCII)

lane_option = click.option(
    "--lane",
    type=Number(0, LANE_MAX),
    default=0,
    show_default=True,
    help="Machines that act at the same time use different lanes.",
)


@click.command(
    "commit",
    cls=Command,
    short_help="Promise hours of machines.",
    help=f"""{
        examples(
            "marsa capacity commit --issuer acme --id west --class l40sx8 --region west-1 "
            "--workloads inference --machines 10 --for 30d",
            "marsa capacity commit --issuer acme --id spring --class l40sx8 --region west-1 "
            "--workloads inference --hours 2.5 --from 2027-03-01 --to 2027-06-01",
        )
    }

Promise hours of one class of machines in one region, over whole periods, at most 365 days ahead.
--machines counts machines that do nothing else; --hours are device hours a period. It counts once
machines are pledged to it and enough attestors vouch for it. A promise never shrinks.
""",
)
@click.option("--issuer", required=True, metavar="ID", help="Who promises.")
@click.option("--id", "name", required=True, metavar="ID", help="Name of the commitment.")
@click.option("--class", "device_class", required=True, metavar="CLASS", help="Class of machines.")
@click.option("--region", required=True, metavar="NAME", help="Where they stand.")
@click.option("--workloads", required=True, metavar="A,B", help="What they are good for.")
@click.option("--machines", type=Number(1, MACHINES_MAX), help="So many machines.")
@click.option("--hours", "figure", metavar="HOURS", help="Or: device hours a period.")
@click.option("--from", "start", metavar="TIME", help="UTC; the present period unless given.")
@click.option("--to", "end", metavar="TIME", help="UTC; or --for.")
@click.option("--for", "span", metavar="DURATION", help="So long, as 12h or 30d.")
@lane_option
@key_option
@waited
def commit(
    issuer: str,
    name: str,
    device_class: str,
    region: str,
    workloads: str,
    machines: int | None,
    figure: str | None,
    start: str | None,
    end: str | None,
    span: str | None,
    lane: int,
    key: Path | None,
    no_wait: bool,
    wait: str,
) -> None:
    """Whole periods are worked out here and shown; the ledger takes nothing else."""
    from cli import nodes
    from ledger.economy.capacity import CommitmentTerms
    from ledger.operations import Commit

    if (machines is None) == (figure is None):
        raise usage_error("usage", "say how much: --machines N or --hours HOURS, one of them")
    start_ms = None if start is None else parse_time(start)
    end_ms = None if end is None else parse_time(end)
    span_ms, wait_ms = None if span is None else parse_span(span), wait_of(no_wait, wait)
    with nodes.connected() as node:
        audits = node.client.economy.audits()
        now_ms, period_ms = audits.ledger_time_ms, audits.period_ms
        from_ms, to_ms = whole_periods(start_ms, end_ms, span_ms, now_ms, period_ms)
        microhours = (
            parse_amount(figure) if figure is not None else microhours_of(machines or 0, period_ms)
        )
        held = node.client.economy.licence(issuer)
        signer = find_key(node, issuer, "operations", held.licence.keys.operations, key)
        terms = CommitmentTerms(
            id=name,
            issuer=issuer,
            device_class=device_class,
            region=region,
            workloads=tuple(sorted(set(workloads.split(",")))),
            from_ms=from_ms,
            to_ms=to_ms,
            microhours=microhours,
        )
        operation = Commit(signer.public, lane, next_number(held.lanes, lane), terms)
        outcome = act(node, operation, (signer,), wait_ms)
        is_devnet = node.params.network == "devnet"
    needed = machines_of(microhours, period_ms)
    value = {
        "issuer": issuer,
        "commitment": name,
        "microhours": str(microhours),
        "from_ms": from_ms,
        "to_ms": to_ms,
        "periods": (to_ms - from_ms) // period_ms,
        "machines": needed,
    }
    what = (
        f"'{name}' of '{issuer}' promises {hours(microhours)} h of {device_class} a period of "
        f"{span_text(period_ms)}\n"
        f"from {rfc3339(from_ms)} to {rfc3339(to_ms)}, {value['periods']} periods"
    )
    ids = f"--machines {min(needed, MADE_UP_MAX)}" if is_devnet else "--file FILE"
    following = f"marsa capacity pledge {issuer} {name} {ids}"
    done("marsa.capacity.commit/1", outcome, value, (what, following))


@click.command(
    "pledge",
    cls=Command,
    short_help="Say which machines stand behind a promise.",
    help=f"""{
        examples(
            "marsa capacity pledge acme west --machines 10",
            "marsa capacity pledge acme west --file serial-hashes.txt --key acme-keys/roles.json",
        )
    }

Pledge machines to a commitment by their ids, 64 hex digits each, at most 256 at once. A machine
stands for one commitment at a time, until that ends; only pledged machines count. A devnet has no
machines: --machines N makes up ids there.
""",
)
@click.argument("issuer")
@click.argument("commitment")
@click.argument("devices", nargs=-1, metavar="[DEVICE]...")
@click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="Ids, one a line.",
)
@click.option("--machines", type=Number(1, MADE_UP_MAX), help="On a devnet: so many made-up ids.")
@lane_option
@key_option
@waited
def pledge(
    issuer: str,
    commitment: str,
    devices: tuple[str, ...],
    file: Path | None,
    machines: int | None,
    lane: int,
    key: Path | None,
    no_wait: bool,
    wait: str,
) -> None:
    from cli import nodes
    from ledger.operations import PledgeDevices

    wait_ms = wait_of(no_wait, wait)
    if [bool(devices), file is not None, machines is not None].count(True) != 1:
        raise usage_error(
            "usage", "say which machines: ids, --file FILE or, on a devnet, --machines"
        )
    with nodes.connected() as node:
        if machines is not None and node.params.network != "devnet":
            detail = f"this is network '{node.params.network}': its machines have ids"
            raise usage_error("usage", detail, "give them, or --file FILE")
        signer, lanes = _operations_key(node, issuer, key)
        found = node.client.economy.commitment(issuer, commitment)
        if machines is not None:
            chosen = sorted(secrets.token_bytes(32) for _ in range(machines))
        else:
            texts = read_limited(file).decode("ascii", "replace").split() if file else devices
            chosen = _ids(texts)
        place = (lane, next_number(lanes, lane), commitment, found.version)
        operation = PledgeDevices(issuer, signer.public, *place, tuple(chosen))
        outcome = act(node, operation, (signer,), wait_ms)
    value = {"issuer": issuer, "commitment": commitment, "devices": [x.hex() for x in chosen]}
    what = (
        f"{len(chosen)} machines stand behind '{commitment}' of '{issuer}', "
        f"{found.devices + len(chosen)} in all"
    )
    following = f"marsa capacity attest {issuer} {commitment} --attestor NAME"
    done("marsa.capacity.pledge/1", outcome, value, (what, following))


@click.command(
    "amend",
    cls=Command,
    short_help="Promise more hours, or for longer.",
    help=f"""{
        examples(
            "marsa capacity amend acme west --machines 20",
            "marsa capacity amend acme west --to 2027-12-01 --json",
        )
    }

Promise more hours a period, or hours for longer. A promise never shrinks. What is added counts once
enough attestors have vouched anew.
""",
)
@click.argument("issuer")
@click.argument("commitment")
@click.option("--machines", type=Number(1, MACHINES_MAX), help="So many machines in all.")
@click.option("--hours", "figure", metavar="HOURS", help="Or: device hours a period in all.")
@click.option("--to", "end", metavar="TIME", help="Until then, UTC; or --for.")
@click.option("--for", "span", metavar="DURATION", help="So long from now, as 30d.")
@lane_option
@key_option
@waited
def amend(
    issuer: str,
    commitment: str,
    machines: int | None,
    figure: str | None,
    end: str | None,
    span: str | None,
    lane: int,
    key: Path | None,
    no_wait: bool,
    wait: str,
) -> None:
    from cli import nodes
    from ledger.operations import Amend

    if machines is not None and figure is not None:
        raise usage_error("usage", "--machines excludes --hours")
    if [machines, figure, end, span] == [None] * 4:
        raise usage_error("usage", "say what grows: --machines or --hours, --to or --for")
    end_ms, span_ms = None if end is None else parse_time(end), span and parse_span(span)
    wait_ms = wait_of(no_wait, wait)
    with nodes.connected() as node:
        audits = node.client.economy.audits()
        now_ms, period_ms = audits.ledger_time_ms, audits.period_ms
        found = node.client.economy.commitment(issuer, commitment)
        to_ms = found.to_ms
        if end_ms is not None or span_ms:
            _, to_ms = whole_periods(None, end_ms, span_ms or None, now_ms, period_ms)
        microhours = int(found.microhours)
        if figure is not None or machines is not None:
            microhours = parse_amount(figure) if figure else microhours_of(machines or 0, period_ms)
        signer, lanes = _operations_key(node, issuer, key)
        place = (lane, next_number(lanes, lane), commitment, found.version)
        operation = Amend(issuer, signer.public, *place, microhours, to_ms)
        outcome = act(node, operation, (signer,), wait_ms)
    value = {
        "issuer": issuer,
        "commitment": commitment,
        "microhours": str(microhours),
        "to_ms": to_ms,
    }
    what = f"'{commitment}' of '{issuer}' promises {hours(microhours)} h a period"
    what = f"{what} until {rfc3339(to_ms)}"
    following = f"marsa capacity attest {issuer} {commitment} --attestor NAME"
    done("marsa.capacity.amend/1", outcome, value, (what, following))


@click.command(
    "open",
    cls=Command,
    short_help="Open the machines that a spot audit drew.",
    help=f"""{
        examples(
            "marsa capacity open acme", "marsa capacity open acme --key acme-keys/roles.json --json"
        )
    }

Open the machines of an issuer that are drawn and not opened yet, at most 256 at once, the most
urgent period first. That they perform is for attestors to see.
""",
)
@click.argument("issuer")
@key_option
@waited
def open_drawn(issuer: str, key: Path | None, no_wait: bool, wait: str) -> None:
    from cli import nodes
    from ledger.operations import OpenDevices

    wait_ms = wait_of(no_wait, wait)
    with nodes.connected() as node:
        signer, _ = _operations_key(node, issuer, key)
        economy = node.client.economy
        audits = economy.audits()
        mine = sorted((x.deadline_ms, x.period) for x in audits.openings if x.issuer == issuer)
        drawn = [economy.opening(period, issuer) for _, period in mine]
        waiting = [item for item in drawn if item.opened < len(item.drawn)]
        if not waiting:
            raise CliError(
                "not_drawn",
                f"no machine of '{issuer}' is drawn and not opened",
                hint="marsa capacity audits",
                exit_code=ExitCode.NOT_FOUND,
            )
        item = waiting[0]
        chosen = sorted(map(bytes.fromhex, item.drawn))[item.opened :][:MADE_UP_MAX]
        operation = OpenDevices(issuer, signer.public, item.period, item.opened, tuple(chosen))
        outcome = act(node, operation, (signer,), wait_ms)
    opened = item.opened + len(chosen)
    value = {"issuer": issuer, "period": item.period, "opened": opened, "drawn": len(item.drawn)}
    left = ends_text(item.deadline_ms, audits.ledger_time_ms)
    what = f"{opened} of {len(item.drawn)} machines of '{issuer}' are opened for {item.period}"
    following = f"marsa capacity open {issuer}, within {left}"
    more = (following,) if opened < len(item.drawn) else ()
    done("marsa.capacity.open/1", outcome, value, (what, *more))


def _operations_key(
    node: Node, issuer: str, file: Path | None
) -> tuple[SigningKey, Sequence[Lane]]:
    """And the lanes in which it signs."""
    held = node.client.economy.licence(issuer)
    return find_key(node, issuer, "operations", held.licence.keys.operations, file), held.lanes


def _ids(texts: tuple[str, ...] | list[str]) -> list[bytes]:
    """Ascending, as the ledger takes them; each once, and no more than one operation holds."""
    for text in texts:
        if DEVICE.fullmatch(text) is None:
            raise usage_error("bad_device", f"{text!r} is no id of a machine: 64 hex digits")
    chosen = sorted(set(map(bytes.fromhex, texts)))
    if not 0 < len(chosen) <= MADE_UP_MAX:
        detail = f"{len(chosen)} machines, 1 to {MADE_UP_MAX} are pledged at once"
        raise usage_error("bad_device", detail)
    return chosen
