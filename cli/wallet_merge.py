"""`marsa wallet merge`: many small coins into one, so that later payments are small and cheap."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from cli.base import Command, examples
from cli.errors import usage_error
from cli.passwords import password_options, read_password
from cli.send_options import dry_run_option, wait_of, waited
from cli.tx import pay, read_asset


@click.command(
    "merge",
    cls=Command,
    short_help="Turn many small coins of one issuer into one.",
    help=f"""{examples("marsa wallet merge alice", "marsa wallet merge savings --issuer acme")}

Send the smallest coins of NAME, at most 64, to its own first address as one coin, less the fee.
Without --asset or --issuer those of the issuer whose coins are most in number. Repeat it until it
ends with nothing_to_merge (exit code 6). Whoever reads the chain sees that one holder has them all.
""",
)
@click.argument("name")
@click.option("--asset", metavar="ID", help="The asset to merge, 64 hex digits.")
@click.option("--issuer", metavar="ID", help="Merge this issuer's coins.")
@dry_run_option
@waited
@password_options
def merge(
    name: str,
    asset: str | None,
    issuer: str | None,
    dry_run: bool,
    no_wait: bool,
    wait: str,
    password_fd: int | None,
    password_file: Path | None,
) -> None:
    """A payment to oneself that leaves no change."""
    from cli import accounts, nodes
    from cli.wallet.payment import plan_merge

    wait_ms = wait_of(no_wait, wait)
    if asset is not None and issuer is not None:
        raise usage_error("usage", "--asset excludes --issuer")
    with nodes.connected() as node:
        holder = accounts.find_holder(
            name,
            lambda wallet: read_password(wallet, password_fd, password_file),
            chain_id=node.chain_id,
        )
        planned = partial(plan_merge, asset=read_asset(node, asset, issuer))
        pay(
            node,
            holder,
            planned,
            memo=None,
            to=f"{name}, in one coin",
            dry_run=dry_run,
            wait_ms=wait_ms,
            schema="marsa.wallet.merge/1",
        )
