"""`marsa node recover` tells its word until the node takes it, and then waits until it votes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import click
import msgspec
import pytest

from cli import node_setup
from cli.client import Client
from cli.errors import CliError
from node.config import NodeConfig
from tests.cli.live_node import live_node

WAIT_MS = 60_000
REFUSED = CliError(
    "not_recoverable", "2 other validators answered, 3 are needed", hint="start them"
)


@pytest.fixture
def node(observer: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[str]]]:
    """Makes a node whose admin socket gives these answers to the word, in turn; what was asked."""
    monkeypatch.setattr(node_setup, "POLL_S", 0.0)
    with live_node() as live, Client(live.url) as client:
        status = client.status()

    def scripted(*answers: CliError | None, votes_after: int) -> list[str]:
        asked: list[str] = []
        left = list(answers)

        def ask(_: NodeConfig, method: str, path: str) -> bytes:
            asked.append(path)
            if method == "POST":
                refusal = left.pop(0)
                if refusal is not None:
                    raise refusal
                return b'{"accepted":"recover"}'
            is_voting = asked.count("/status") > votes_after
            consensus = msgspec.structs.replace(
                status.consensus, has_seat=True, is_voting=is_voting, reason="it waits"
            )
            return msgspec.json.encode(msgspec.structs.replace(status, consensus=consensus))

        monkeypatch.setattr(node_setup, "_ask_admin", ask)
        return asked

    with click.Context(click.Command("recover")):
        yield scripted


def test_it_is_told_until_enough_have_answered(
    node: Callable[..., list[str]], observer: Path
) -> None:
    asked = node(REFUSED, REFUSED, None, votes_after=4)
    node_setup.recover(node_setup.load(observer, ()), WAIT_MS)
    assert asked.count("/recover") == 3
    assert asked.count("/status") == 5


def test_what_it_said_last_stands_when_the_time_is_over(
    node: Callable[..., list[str]], observer: Path
) -> None:
    """Never taken: the refusal itself; taken and no vote yet: that."""
    node(REFUSED, votes_after=9)
    with pytest.raises(CliError, match="3 are needed") as refused:
        node_setup.recover(node_setup.load(observer, ()), 0)
    assert (refused.value.code, refused.value.hint) == ("not_recoverable", "start them")
    node(None, votes_after=9)
    with pytest.raises(CliError, match="it waits") as late:
        node_setup.recover(node_setup.load(observer, ()), 0)
    assert late.value.code == "not_voting_yet"


def test_a_node_that_votes_has_nothing_to_recover(
    node: Callable[..., list[str]], observer: Path
) -> None:
    asked = node(REFUSED, votes_after=0)
    with pytest.raises(CliError):
        node_setup.recover(node_setup.load(observer, ()), WAIT_MS)
    assert asked == ["/recover", "/status"]
