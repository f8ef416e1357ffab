"""`marsa devnet snapshot | restore`: all nodes at one moment, and back to it."""

from __future__ import annotations

import click

from cli.base import Command, examples
from cli.output import confirm, emit

named = click.option("--name", metavar="NAME", help="Which devnet; the only one, or 'default'.")


@click.command(
    "snapshot",
    cls=Command,
    help=f"""{examples("marsa devnet snapshot before", "marsa devnet restore before")}

Copy a whole devnet under MARSA_HOME/snapshots: chain, votes and keys of all nodes at one moment.
Nodes that run are stopped for it and started again; who was down, paused or cut off is so again.
""",
)
@click.argument("snapshot")
@named
def snapshot(snapshot: str, name: str | None) -> None:
    """Down, copy, up as it was."""
    from cli.devnet import control, copies, state

    place = state.find(name)
    with control.exclusive(place.devnet.name):
        copies.check_new(place, snapshot)
        before = control.standing(place)
        control.down(place)
        try:
            path = copies.snapshot(place, snapshot)
        finally:
            if before.alive:
                control.up_as(place, before)
    value = {"name": place.devnet.name, "snapshot": snapshot, "directory": str(path)}
    text = f"devnet '{place.devnet.name}' was copied to {path}"
    emit("marsa.devnet.snapshot/1", value, text)


@click.command(
    "restore",
    cls=Command,
    help=f"""{examples("marsa devnet restore before", "marsa devnet restore before --name big")}

Put a snapshot in the place of a devnet: what happened since is gone, on all nodes together, so that
this asks before it takes blocks back. It is started if the devnet ran.
""",
)
@click.argument("snapshot")
@named
def restore(snapshot: str, name: str | None) -> None:
    """Down, replace, up if it ran."""
    from cli.devnet import control, copies, state

    place = state.find(name)
    with control.exclusive(place.devnet.name):
        lost = copies.losses(place, snapshot)
        if lost:
            confirm(f"Devnet '{place.devnet.name}' loses for good: {lost}. Go back?")
        was_running = control.down(place) > 0
        try:
            place = copies.restore(place, snapshot)
        finally:
            if was_running:
                control.up(place)
    begin = f"marsa devnet up{place.devnet.option}"
    what = "started" if was_running else f"in place; start it with: {begin}"
    value = {"name": place.devnet.name, "snapshot": snapshot, "running": was_running}
    emit("marsa.devnet.restore/1", value, f"snapshot '{snapshot}' is {what}")
