"""`marsa devnet add` and `marsa devnet retire`: validators that come and go."""

from __future__ import annotations

import click

from cli.base import Command, examples
from cli.errors import usage_error
from cli.output import emit

named = click.option("--name", metavar="NAME", help="Which devnet; the only one, or 'default'.")


@click.command(
    "add",
    cls=Command,
    short_help="Add a validator: keys, licence, node, seat.",
    help=f"""{examples("marsa devnet add", "marsa devnet add kite --json")}

Make a node of a new provider, start it, have the validators admit it, and end epochs early until it
has its seat and votes. PROVIDER is a licence id; without it the next name of a list is taken. If it
has a node without a seat, as Ctrl-C leaves one, that goes on. All that happens is what `marsa
validator` does on any chain, in one command, because the keys of all validators of a devnet are at
hand.
""",
)
@click.argument("provider", required=False)
@named
def add(provider: str | None, name: str | None) -> None:
    """Returns when it votes."""
    from cli.devnet import control, members, show, state

    if provider is not None:
        _check_slug(provider)
    place = state.find(name)
    with control.exclusive(place.devnet.name):
        added = members.add(place, provider)
    value = {**show.state_json(added.state), "api": added.node.api, "epoch": added.epoch}
    text = (
        f"{show.known_as(added.node)} validates since epoch {added.epoch}, height "
        f"{added.state.height}, pid {added.state.pid}, {added.node.api}"
    )
    emit("marsa.devnet.add/1", value, text)


@click.command(
    "retire",
    cls=Command,
    short_help="Take a node's seat, then stop it for good.",
    help=f"""{examples("marsa devnet retire val0", "marsa devnet retire acme --json")}

Have the validators remove a validator, end the epoch early, and stop its node once the others go on
without it. Its licence and its coins stay; its directory moves to `retired`. Four validators are
the least. An observer is just stopped.
""",
)
@click.argument("node")
@named
def retire(node: str, name: str | None) -> None:
    """Returns when the node is gone."""
    from cli.devnet import control, members, show, state

    place = state.find(name)
    target = place.node(node)
    with control.exclusive(place.devnet.name):
        retired = members.retire(place, target)
    directory = retired.place.directory / members.RETIRED / target.name
    value = {
        "node": target.name,
        "licence": target.licence,
        "epoch": retired.epoch,
        "nodes": len(retired.place.devnet.nodes),
        "directory": str(directory),
    }
    since = "" if retired.epoch is None else f" has no seat since epoch {retired.epoch};"
    text = f"{show.known_as(target)}{since} stopped, its directory is {directory} now"
    emit("marsa.devnet.retire/1", value, text)


def _check_slug(text: str) -> None:
    import re

    if re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?", text, re.ASCII) is None:
        raise usage_error(
            "usage",
            f"{text!r} is no licence id",
            "use a-z, 0-9 and -, at most 32 of them, as in kite",
        )
