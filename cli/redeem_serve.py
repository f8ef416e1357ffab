"""`marsa redeem serve`: a provider serves the orders of its coins, until it is stopped."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.base import Command, examples
from cli.errors import CliError, ExitCode, usage_error

if TYPE_CHECKING:
    from cli.delivery.service import Keys, Plan
    from cli.nodes import Node

DEFAULT_LISTEN = "127.0.0.1:8940"
FILE = click.Path(path_type=Path, dir_okay=False)
DIRECTORY = click.Path(path_type=Path, file_okay=False)


@click.command(
    "serve",
    cls=Command,
    short_help="As the issuer: accept orders and deliver what they ask for.",
    help=f"""{
        examples(
            "marsa redeem serve --issuer acme --keys acme/roles.json --state acme-delivery",
            "marsa redeem serve --issuer acme --listen 0.0.0.0:8940 --endpoint acme.example:8940",
        )
    }

Accept every order of an issuer's coins, serve each by a metered session over TLS, and post the
receipts that its holder signs. The work is that of COMMAND (docs/DELIVERY.md); without one it is a
small job of the processor. Receipts are on disk in the state directory before more is worked: it
may be killed and started again. A devnet's issuers serve by themselves.
""",
)
@click.option("--issuer", required=True, metavar="ID", help="The licence whose coins are served.")
@click.option("--keys", type=FILE, help="roles.json of the issuer; a devnet's keys are known.")
@click.option("--state", type=DIRECTORY, help="Receipts, certificate; else MARSA_HOME/delivery/ID.")
@click.option("--listen", default=DEFAULT_LISTEN, show_default=True, metavar="HOST:PORT")
@click.option("--endpoint", default="", metavar="HOST:PORT", help="Where holders reach it.")
@click.option("--job", default="", metavar="COMMAND", help="What works the units.")
def serve(
    issuer: str, keys: Path | None, state: Path | None, listen: str, endpoint: str, job: str
) -> int:
    """Keys first, then the socket: nobody finds a provider that cannot sign."""
    import asyncio

    from cli.delivery.service import Service, log_to_stderr
    from cli.home import home
    from cli.nodes import connected

    with connected() as node:
        directory = (state or home() / "delivery" / issuer).absolute()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        plan = _plan(node, issuer, keys, directory, listen, endpoint, job)
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


def _plan(
    node: Node,
    issuer: str,
    keys: Path | None,
    directory: Path,
    listen: str,
    endpoint: str,
    job: str,
) -> Plan:
    from cli.delivery.service import Plan
    from cli.delivery.worker import DEFAULT_JOB

    economy = node.params.economy
    return Plan(
        chain_id=bytes.fromhex(node.chain_id),
        keys=[_keys(node, issuer, keys)],
        apis=[node.client.url],
        directory=directory,
        listen=address(listen),
        endpoint=endpoint,
        job=command(job) or DEFAULT_JOB,
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


def command(text: str) -> Sequence[str]:
    """A command line as a shell would split it; raises CliError."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise usage_error("bad_command", f"{text!r}: {error}", "quote it as for a shell") from None
