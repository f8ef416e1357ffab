"""`marsa node reset`: a node that fetches its whole chain again."""

from __future__ import annotations

from pathlib import Path

import click

from cli.base import Command, examples
from cli.output import confirm, emit
from cli.units import quoted

DIRECTORY = click.Path(path_type=Path, file_okay=False)


@click.command(
    "reset",
    cls=Command,
    help=f"""{examples("marsa node reset val3", "marsa node reset val3 --yes")}

Delete the chain of a node that does not run; when it is started it fetches everything again from
the others. Keys, settings and votes stay, so that it votes again by itself once it has caught up.
Where no other node has the chain it is lost: reset one node at a time.
""",
)
@click.argument("directory", type=DIRECTORY)
def reset(directory: Path) -> None:
    """Asks first."""
    from cli import node_setup
    from cli.node_errors import node_errors_mapped
    from node.resetting import reset_chain

    with node_errors_mapped():
        config = node_setup.load(directory, ())
        confirm(f"The chain in {config.chain_path} is deleted. Do other nodes have it?")
        reset_chain(config)
    value = {"name": config.name, "directory": str(config.directory)}
    text = f"'{config.name}' begins at genesis when it starts: marsa node run {quoted(directory)}"
    emit("marsa.node.reset/1", value, text)
