"""`marsa licence attestor`: who is licensed to vouch for capacity, by validators and regulator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.acting import wait_of
from cli.base import Group, examples
from cli.errors import usage_error
from cli.output import emit, table
from cli.tx_create import PTX
from cli.validator import carried, carry

if TYPE_CHECKING:
    from cli.nodes import Node


@click.command(
    "attestor",
    cls=Group,
    help=f"""{examples("marsa licence attestor list", "marsa licence attestor remove meridian")}

Attestors vouch for capacity, rule on challenges and draw machines for audits. Validators and
regulator admit and remove them; those of one group count as one.
""",
)
def attestor() -> None:
    """Group of commands."""


@attestor.command(
    "list",
    short_help="Every attestor, its group, and whether its word counts.",
    help=f"""{examples("marsa licence attestor list", "marsa licence attestor list --json")}

List every attestor with its group and its strikes, those that were removed too.
""",
)
def show_all() -> None:
    from cli import nodes

    with nodes.connected() as node:
        found = node.client.economy.attestors()
    rows = [[x.id, x.name, x.group, x.state, str(x.strikes), str(x.version)] for x in found]
    headings = ("attestor", "name", "group", "state", "strikes", "version")
    emit("marsa.licence.attestor.list/1", {"attestors": found}, lambda: table(headings, rows))


@attestor.command(
    "key",
    short_help="Make the key of an attestor in a private file.",
    help=f"""{
        examples(
            "marsa licence attestor key helix.json --id helix",
            "marsa licence attestor key helix.json --id helix --json",
        )
    }

Make an attestor's key in a private file, and show its public half, which is what validators and
regulator license. The attestor does this itself, and gives the file to `--key` when it acts.
""",
)
@click.argument("file", type=PTX, metavar="FILE")
@click.option("--id", "name", required=True, metavar="ID", help="Of the attestor: a-z, 0-9 and -.")
def key(file: Path, name: str) -> None:
    """From the system's randomness; a file that exists is not touched."""
    from cli.key_files import AttestorKeyFile, save_new

    public = save_new(file, lambda seed: AttestorKeyFile(name, seed)).public
    value = {"file": str(file), "attestor": name, "public": public.hex()}
    text = f"the key of attestor '{name}' is in {file}\npublic  {public.hex()}"
    following = f"marsa licence attestor admit {name} --name NAME --group GROUP --public KEY"
    emit("marsa.licence.attestor.key/1", value, f"{text}\nnext: {following}")


@attestor.command(
    "admit",
    short_help="License an attestor, or one that was removed anew.",
    help=f"""{
        examples(
            "marsa licence attestor admit helix --name 'Helix Labs' --group helix --public 3b6a…",
            "marsa licence attestor admit helix --name 'Helix Labs' --group helix --public 3b6a… "
            "--ptx admit.ptx",
        )
    }

License an attestor; validators and regulator sign. Whoever is not independent of others belongs
into their group. --public is the public half of its key, which `marsa licence attestor key` shows
to whoever makes it; `list --json` has that of one that was removed.
""",
)
@click.argument("name", metavar="ID")
@click.option("--name", "title", required=True, metavar="TEXT", help="Its name, for people.")
@click.option("--group", required=True, metavar="ID", help="Its independence group.")
@click.option("--public", required=True, metavar="KEY", help="Its public key, 64 hex digits.")
@carried
def admit(
    name: str,
    title: str,
    group: str,
    public: str,
    ptx: Path | None,
    days: int,
    no_wait: bool,
    wait: str,
) -> None:
    """The version follows from what is licensed now."""
    import msgspec

    from cli import nodes
    from cli.key_files import read_public
    from ledger.economy.attestor import AttestorGrant
    from ledger.operations import AdmitAttestor

    schema, wait_ms = "marsa.licence.attestor.admit/1", wait_of(no_wait, wait)
    licensed = read_public(public)
    with nodes.connected() as node:
        try:
            grant = msgspec.convert((name, title, group, licensed), AttestorGrant)
        except msgspec.ValidationError:
            raise usage_error(
                "bad_name",
                f"{name!r} ({title}) of group {group!r} cannot be licensed",
                "an id and a group have 1 to 32 of a-z, 0-9 and -, a name 1 to 64 of ASCII",
            ) from None
        operation = AdmitAttestor(grant, _version(node, name))
        carry(node, node.client.epoch(), operation, ptx, days, wait_ms, schema=schema)


@attestor.command(
    "remove",
    short_help="Nothing that an attestor said or says counts any more.",
    help=f"""{
        examples(
            "marsa licence attestor remove meridian",
            "marsa licence attestor remove meridian --ptx remove.ptx",
        )
    }

End the licence of an attestor; validators and regulator sign. Its attestations count no more from
the next judgement on, so that what stands on them may become stale.
""",
)
@click.argument("name", metavar="ID")
@carried
def remove(name: str, ptx: Path | None, days: int, no_wait: bool, wait: str) -> None:
    """The version is the present one; one that nobody licensed is refused by name."""
    from cli import nodes
    from ledger.operations import RemoveAttestor

    schema, wait_ms = "marsa.licence.attestor.remove/1", wait_of(no_wait, wait)
    with nodes.connected() as node:
        operation = RemoveAttestor(name, _version(node, name))
        carry(node, node.client.epoch(), operation, ptx, days, wait_ms, schema=schema)


def _version(node: Node, name: str) -> int:
    return next((item.version for item in node.client.economy.attestors() if item.id == name), 0)
