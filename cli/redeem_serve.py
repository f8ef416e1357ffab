"""`marsa redeem serve`: a provider serves the orders of its coins, until it is stopped."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.base import Command, examples
from cli.delivery.job import WORKLOAD
from cli.errors import CliError, ExitCode, usage_error

if TYPE_CHECKING:
    from cli.delivery.jobs import Jobs
    from cli.delivery.service import Keys, Plan
    from cli.nodes import Node

DEFAULT_LISTEN = "127.0.0.1:8940"
_NAMED = re.compile(r"([a-z0-9-]{1,32})=(.*)", re.ASCII | re.DOTALL)
FILE = click.Path(path_type=Path, dir_okay=False)
DIRECTORY = click.Path(path_type=Path, file_okay=False)


@click.command(
    "serve",
    cls=Command,
    short_help="As the issuer: accept orders and deliver what they ask for.",
    help=f"""{
        examples(
            "marsa redeem serve --issuer acme --key acme/roles.json --state acme-delivery",
            "marsa redeem serve --issuer acme --listen 0.0.0.0:8940 --endpoint acme.example:8940",
            "marsa redeem serve --issuer acme --job training=./train --job 'inference=./infer -q'",
        )
    }

Accept orders of an issuer's coins, serve each by a metered session over TLS, and post the receipts
that its holder signs. The work is that of COMMAND (docs/DELIVERY.md), for one workload each or, as
--job COMMAND, for all others; without any it is a small job of the processor, for '{WORKLOAD}'. An
order whose workload has no command is left alone. Receipts are on disk in the state directory
before more is worked: it may be killed and started again. A devnet's issuers serve by themselves.
""",
)
@click.option("--issuer", required=True, metavar="ID", help="The licence whose coins are served.")
@click.option(
    "--key", type=FILE, metavar="FILE", help="roles.json of the issuer; a devnet's keys are known."
)
@click.option("--state", type=DIRECTORY, help="Receipts, certificate; else MARSA_HOME/delivery/ID.")
@click.option("--listen", default=DEFAULT_LISTEN, show_default=True, metavar="HOST:PORT")
@click.option("--endpoint", default="", metavar="HOST:PORT", help="Where holders reach it.")
@click.option(
    "--job",
    "jobs",
    multiple=True,
    metavar="[WORKLOAD=]COMMAND",
    help="What works the units of a workload, or of all others.",
)
def serve(
    issuer: str,
    key: Path | None,
    state: Path | None,
    listen: str,
    endpoint: str,
    jobs: tuple[str, ...],
) -> int:
    """Keys first, then the socket: nobody finds a provider that cannot sign."""
    import asyncio

    from cli.delivery.service import Service, log_to_stderr
    from cli.home import home
    from cli.nodes import connected

    able = read_jobs(jobs)
    with connected() as node:
        directory = (state or home() / "delivery" / issuer).absolute()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        plan = _plan(node, _keys(node, issuer, key), directory, listen, endpoint, able)
    log_to_stderr()
    try:
        asyncio.run(Service(plan).run())
    except OSError as error:
        raise CliError(
            "cannot_listen",
            f"{listen}: {error.strerror or error}",
            hint="choose another address with --listen",
            exit_code=ExitCode.CHECK_FAILED,
        ) from None
    return 0


def _plan(node: Node, keys: Keys, directory: Path, listen: str, endpoint: str, jobs: Jobs) -> Plan:
    from cli.delivery.service import Plan

    economy = node.params.economy
    return Plan(
        chain_id=bytes.fromhex(node.chain_id),
        keys=[keys],
        apis=[node.client.url],
        directory=directory,
        listen=address(listen),
        endpoint=endpoint,
        jobs=jobs,
        period_ms=node.params.period_ms,
        tick_ms=economy.tick_ms,
    )


def _keys(node: Node, issuer: str, file: Path | None) -> Keys:
    """Both role keys, which the chain must name; raises CliError."""
    from cli.acting import find_key
    from cli.delivery.service import Keys

    wanted = node.client.economy.licence(issuer).licence.keys
    operations = find_key(node, issuer, "operations", wanted.operations, file)
    metering = find_key(node, issuer, "metering", wanted.metering, file)
    return Keys(issuer, operations, metering)


def address(text: str) -> tuple[str, int]:
    """HOST:PORT; raises CliError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise usage_error("bad_address", f"{text!r} is not HOST:PORT", "write 127.0.0.1:8940")
    return host.strip("[]"), int(port)


def read_jobs(texts: Sequence[str]) -> Jobs:
    """What --job says, all times together; raises CliError."""
    from cli.delivery.jobs import BUILT_IN, Jobs

    named, others = {}, None
    for text in texts:
        found = _NAMED.fullmatch(text)
        workload, line = found.groups() if found is not None else (None, text)
        if workload in named or (workload is None and others is not None):
            whose = "all others" if workload is None else f"'{workload}'"
            raise usage_error("bad_command", f"--job gives {whose} two commands", "give it one")
        if workload is None:
            others = command(line)
        else:
            named[workload] = command(line)
    return Jobs(named, others) if texts else BUILT_IN


def command(text: str) -> Sequence[str]:
    """A command line as a shell would split it; raises CliError."""
    try:
        parts = tuple(shlex.split(text))
        if not parts:
            raise ValueError("there is no command")
        return parts
    except ValueError as error:
        raise usage_error("bad_command", f"{text!r}: {error}", "quote it as for a shell") from None
