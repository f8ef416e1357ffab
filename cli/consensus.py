"""`marsa consensus`: how one node sees the epoch, the view and every member."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from cli.base import Group, examples
from cli.output import emit, table

if TYPE_CHECKING:
    from node.api import consensus_schemas as schemas

WATCH_S = 1.0
SCHEMA = "marsa.consensus.show/1"
MOVING = ("waiting", "ready", "leaving")


@click.command(
    "consensus",
    cls=Group,
    help=f"""{examples("marsa consensus show", "marsa consensus show --json")}

How validators agree, as one node sees it.
""",
)
def consensus() -> None:
    """Group of commands."""


@consensus.command(
    "show",
    short_help="Epoch, view, guard, and who voted for what.",
    help=f"""{
        examples("marsa consensus show", "marsa consensus show -w --node http://127.0.0.1:8641")
    }

Show where a node stands in its epoch and view, why it suspects the primary or does not vote, and
what it holds of each member: the heights that it prepared and committed in this view, and those at
which it voted for another block than the one proposed here. With -w ask again each second.
""",
)
@click.option("-w", "watch", is_flag=True, help="Again each second; a screen when it changes.")
def show(watch: bool) -> None:
    """One screen, or one at each change."""
    from cli import nodes

    with nodes.connected() as node:
        shown = node.client.consensus()
        emit(SCHEMA, shown, lambda: _text(shown))
        while watch:
            time.sleep(WATCH_S)
            before, shown = _text(shown), node.client.consensus()
            if _text(shown) != before:
                emit(SCHEMA, shown, _text(shown))


def _text(shown: schemas.ConsensusShown) -> str:
    epoch, now = shown.epoch, shown.replica
    behind = f" of {now.known_height}" if now.known_height > now.height else ""
    failed = f", failed views: {now.failed_views}" if now.failed_views else ""
    coming = [(item.seat, item.id) for item in epoch.licences if item.seat in MOVING]
    lines = [
        f"{shown.node.name}: height {now.height}{behind}",
        f"epoch {epoch.number}: {epoch.height - epoch.base_height} blocks so far, ends at height "
        f"{epoch.last_height_min} and {epoch.last_time_min} at the earliest",
        *[f"{seat}: {name}" for seat, name in sorted(coming)],
        f"view {now.view}, primary {now.primary}, T {now.timeout_ms} ms{failed}",
        f"view change: {_change(now)}",
        *([f"suspects {now.primary}: {now.suspicion}"] if now.suspicion else []),
        f"guard: {_guard(now)}",
    ]
    headings = ["member", "link", "height", "heard", "wants", "prepared", "committed", "other"]
    return "\n".join([*lines, table(headings, [_row(member, now) for member in now.members])])


def _change(now: schemas.Replica) -> str:
    if now.is_changing:
        return f"under way, the NEW-VIEW of {now.primary} for view {now.view} is awaited"
    wanted = any(item.suspects or (item.view_change or 0) > now.view for item in now.members)
    return "none, but some want one" if wanted else "none"


def _guard(now: schemas.Replica) -> str:
    guard = now.guard
    if guard is None:
        return "no seat"
    if guard.reason:
        return f"{guard.state}, {guard.reason}"
    if now.may_vote:
        return f"{guard.state}, votes"
    if now.height < guard.vote_above or now.view < guard.view_min:
        return f"{guard.state}, votes above height {guard.vote_above} from view {guard.view_min} on"
    return f"{guard.state}, but the replica does not vote yet"


def _row(member: schemas.Member, now: schemas.Replica) -> list[str]:
    wants = ["suspects"] if member.suspects else []
    if member.view_change is not None:
        wants.append(f"VIEW-CHANGE {member.view_change}")
    return [
        member.licence + ("*" if member.licence == now.primary else ""),
        "yes" if member.linked else "no",
        "?" if member.height is None else str(member.height),
        "yes" if member.heard else "no",
        " ".join(wants),
        *[" ".join(map(str, held)) for held in (member.prepared, member.committed, member.other)],
    ]
