"""Staying with a devnet: one line a block until Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import click

from cli.client import Client, ClientError
from cli.devnet import control, faults, show, state
from cli.devnet.state import Place
from cli.errors import CliError
from ledger.times import rfc3339
from node.api import schemas

POLL_S = 0.25
STATUS_S = 1.0
BLOCKS_SHOWN_MAX = 20
"""In one go; of more, which happens under load, the older ones share a line."""


def watch(place: Place) -> None:
    """Show blocks and nodes that end or come back; Ctrl-C stops the devnet."""
    click.echo("\nBlocks follow as they become final. Ctrl-C stops the devnet; its state stays.")
    try:
        for line in _events(place):
            click.echo(line)
    except KeyboardInterrupt:
        click.echo("\nstopping…", err=True)
        with control.exclusive(place.devnet.name):
            control.down(_as_it_is(place))
        return
    begin = f"marsa devnet up{place.devnet.option}"
    click.echo(f"no node is running any more; start them again with: {begin}", err=True)


def states(place: Place) -> Iterator[tuple[dict[str, object], str]]:
    """How the nodes fare, as values and in words: now, then whenever the words differ."""
    before = ""
    while True:
        place = _as_it_is(place)
        found, rules = control.look(place), faults.rules_in_force(place)
        text = show.status_text(place, found, rules)
        if text != before:
            yield {**show.status_json(place, found), "links": rules}, text
        before = text
        time.sleep(STATUS_S)


def block_lines(blocks: Sequence[schemas.BlockSummary], seen: int) -> list[str]:
    """Lines for the blocks above `seen`; `blocks` are the newest, in ascending order."""
    fresh = [block for block in blocks if block.height > seen]
    lines = []
    if fresh and fresh[0].height > seen + 1:
        lines.append(f"blocks {seen + 1} to {fresh[0].height - 1}")
    for block in fresh:
        count = block.transactions
        what = "1 transaction" if count == 1 else f"{count} transactions"
        moment = rfc3339(block.time_ms)
        lines.append(f"block {block.height}  {moment}  {what}  proposed by {block.proposer}")
    return lines


def _as_it_is(place: Place) -> Place:
    """With nodes that were added and retired since; as it was where it is made anew or damaged."""
    try:
        return state.load(place.directory)
    except (CliError, OSError):
        return place


def _events(place: Place) -> Iterator[str]:
    """Lines as things happen; ends when no node is left."""
    alive = set(control.running(place))
    seen = 0
    while alive:
        place = _as_it_is(place)
        now = set(control.running(place))
        for node in place.devnet.nodes:
            if (node.name in now) != (node.name in alive):
                what = "is back" if node.name in now else "is down"
                yield f"{show.known_as(node)} {what}: {len(now)} of {len(place.devnet.nodes)} run"
        alive = now
        blocks = _newest(place, alive)
        yield from block_lines(blocks, seen)
        seen = max([seen, *(block.height for block in blocks)])
        time.sleep(POLL_S)


def _newest(place: Place, alive: set[str]) -> list[schemas.BlockSummary]:
    """The newest blocks of the first node that answers, ascending."""
    for node in place.devnet.nodes:
        if node.name not in alive:
            continue
        try:
            with Client(node.api, timeout_s=control.PROBE_S) as client:
                return client.blocks(limit=BLOCKS_SHOWN_MAX).items[::-1]
        except ClientError:
            continue
    return []
