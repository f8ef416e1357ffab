"""`marsa network`: a network whose validators have hosts of their own."""

from __future__ import annotations

from pathlib import Path

import click

from cli.base import Group, examples
from cli.output import emit, table

FILE = click.Path(path_type=Path, dir_okay=False)
DIRECTORY = click.Path(path_type=Path, file_okay=False)


@click.command(
    "network",
    cls=Group,
    help=f"""{
        examples(
            "marsa network init --hosts hosts.toml",
            "marsa network init --hosts hosts.toml --out harbour --json",
        )
    }

A network whose validators have hosts of their own. On one machine it is `marsa devnet up`.
""",
)
def network() -> None:
    """Group of commands."""


@network.command(
    "init",
    short_help="Make the genesis, all keys, and one directory a host.",
    help=f"""{
        examples(
            "marsa network init --hosts hosts.toml",
            "marsa network init --hosts hosts.toml --out harbour --json",
        )
    }

Make a new network from hosts.toml: its genesis, every key that genesis names, and for each host the
directory of a node that starts there with `marsa node run`. README.txt in the directory says what
goes where, and what is secret. The keys are new and not those of any devnet.
""",
)
@click.option("--hosts", type=FILE, required=True, metavar="FILE", help="What to make: hosts.toml.")
@click.option(
    "--out", type=DIRECTORY, metavar="DIR", help="A new directory; the network's name else."
)
def init(hosts: Path, out: Path | None) -> None:
    """Whole or not at all."""
    from cli import network_hosts, network_make, payments
    from cli.node_errors import node_errors_mapped
    from ledger.genesis import chain_id

    found = network_hosts.load(hosts)
    directory = Path(found.network.name) if out is None else out
    with node_errors_mapped():
        genesis = network_make.create(directory, found, hosts, payments.now_ms())
    chain = chain_id(genesis).hex()
    rows = [
        [host.licence, str(directory / "hosts" / host.licence), host.p2p, host.listens]
        for host in found.host
    ]
    value = {
        "name": found.network.name,
        "network": found.network.kind,
        "genesis_hash": chain,
        "directory": str(directory),
        "hosts": [
            {"licence": licence, "directory": place, "p2p": p2p, "listen": listen}
            for licence, place, p2p, listen in rows
        ],
    }
    text = (
        f"network '{found.network.name}', chain {chain}\n\n"
        f"{table(('host', 'directory', 'others dial', 'it listens at'), rows)}\n\n"
        f"move each directory to its host, and start it there: marsa node run DIRECTORY\n"
        f"what else is secret, and whose: {directory / 'README.txt'}"
    )
    emit("marsa.network.init/1", value, text)
