"""`marsa node peers`: the links of a node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.base import Command, examples
from cli.output import emit, table
from cli.spans import span_text

if TYPE_CHECKING:
    from node.api.node_schemas import Peers


@click.command(
    "peers",
    cls=Command,
    short_help="Who a node is linked with.",
    help=f"""{examples("marsa node peers", "marsa node peers --node http://127.0.0.1:8641")}

Show the validators of the epoch and whoever else is linked: for how long, how high they say they
are, how many bytes wait to be sent to them, how many messages found no room to wait since the link
came up, and points for what they did wrong, which fade.
""",
)
def peers() -> None:
    """As the node sees them now."""
    from cli import nodes

    with nodes.connected() as node:
        found = node.client.peers()
    emit("marsa.node.peers/1", found, lambda: peers_text(found))


def peers_text(found: Peers) -> str:
    """A line a peer; who has no link stands there too."""
    rows = [
        [
            item.name,
            item.role,
            "no link" if item.linked_ms is None else span_text(item.linked_ms),
            {"inbound": "in", "outbound": "out", "none": "-"}[item.direction],
            item.address or "-",
            str(item.height),
            str(item.queued_bytes),
            str(item.dropped_frames),
            str(item.points),
        ]
        for item in found.items
    ]
    first = ("peer", "role", "linked", "way", "address", "height")
    headings = (*first, "queued", "dropped", "points")
    return table(headings, rows) if rows else "no peers: this node is alone"
