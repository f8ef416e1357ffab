"""`marsa validator signer`: the process that holds a validator's consensus key."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.base import Command, examples
from cli.errors import usage_error
from cli.output import confirm, emit

if TYPE_CHECKING:
    from node.signer import Beginning
    from node.signer_memory import Floor

DIRECTORY = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(
    "signer",
    cls=Command,
    short_help="Hold a consensus key, and sign for one node over a socket.",
    help=f"""{
        examples(
            "marsa validator signer acme-signer --new-key --genesis genesis.json",
            "marsa validator signer acme-signer",
            "marsa validator signer acme-signer --recover-above 3/0/81400 --genesis genesis.json",
        )
    }

Hold the consensus key of a validator, so that its node has none, and sign what the node asks for
over a socket, unless it contradicts what was signed before. DIRECTORY has mode 0700 and holds
consensus.json, moved there from the node's keys; the node finds the socket by `signer` in its
marsa.toml. It runs until SIGTERM or Ctrl-C. Without its memory of what it signed it refuses to
start, until you say above what to sign: the highest epoch, view and height that other validators
show, each.
""",
)
@click.argument("directory", type=DIRECTORY)
@click.option("--socket", "path", type=FILE, metavar="PATH", help="DIRECTORY/signer.sock else.")
@click.option("--genesis", type=FILE, metavar="FILE", help="The chain that it signs for.")
@click.option("--new-key", is_flag=True, help="This key has never signed anything, anywhere.")
@click.option("--recover-above", metavar="EPOCH/VIEW/HEIGHT", help="Sign nothing at or below.")
def signer(
    directory: Path,
    path: Path | None,
    genesis: Path | None,
    new_key: bool,
    recover_above: str | None,
) -> int:
    """Memory first, then the socket: nobody finds a signer that cannot sign."""
    from cli.node_errors import node_errors_mapped
    from node import signer as signers

    beginning = _beginning(genesis, recover_above, is_new=new_key)
    socket_path = None if path is None else path.absolute()
    home = directory.absolute()
    if beginning is not None:
        confirm(
            "A key that signs twice for one place breaks the chain's safety and costs the licence. "
            "Is what you say of this key true, and does no other copy of it run?"
        )
    with node_errors_mapped(), signers.lock(home):
        os.chdir(home)  # a socket's path may have some 100 bytes only
        found = signers.open_signer(home, beginning)
        place = Path(signers.SOCKET_NAME) if socket_path is None else socket_path
        listener = signers.listen(place)
        value = {
            "public": found.public.hex(),
            "genesis_hash": found.chain_id.hex(),
            "socket": str(place.absolute()),
            "pid": os.getpid(),
        }
        text = f"signs with key {value['public']} at {value['socket']}; Ctrl-C ends it"
        return signers.run(
            found, listener, place, lambda: emit("marsa.validator.signer/1", value, text)
        )


def _beginning(genesis: Path | None, above: str | None, *, is_new: bool) -> Beginning | None:
    from cli.genesis import read_genesis
    from ledger.genesis import chain_id
    from node.signer import Beginning

    if is_new and above is not None:
        raise usage_error("usage", "either --new-key or --recover-above", "")
    if not is_new and above is None:
        return None
    chain = None if genesis is None else chain_id(read_genesis(genesis))
    return Beginning(None if above is None else _floor(above), chain)


def _floor(text: str) -> Floor:
    from ledger.amounts import parse_number
    from node.signer_memory import Floor

    numbers = [parse_number(part) for part in text.split("/")]
    if len(numbers) != 3 or None in numbers:
        raise usage_error(
            "usage", f"{text!r} is not of the form EPOCH/VIEW/HEIGHT, as in 3/0/81400"
        )
    epoch, view, height = (number or 0 for number in numbers)
    return Floor(epoch, view, height)
