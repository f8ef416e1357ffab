"""`marsa consensus show`: one screen from one answer, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from cli import consensus
from consensus.messages import Suspect
from ledger.operations import Admit, Remove
from node.api.consensus_schemas import ConsensusShown
from node.vote_guard import Permission
from tests.cli.conftest import Marsa
from tests.cli.live_node import LiveNode, live_node
from tests.ledger.world import grant
from tests.node.api.harness import open_api


@pytest.fixture
def node(marsa_home: object) -> Iterator[LiveNode]:
    """One block; a seat is asked for, one is left, one member is not linked."""
    with live_node() as node:
        changes = [Admit(grant("val9", issuer=False), 0), Remove("val0", 0)]
        node.inside(lambda: node.decide([node.world.govern(*changes)]))
        node.missing.append("val2")
        yield node


async def test_the_answer_is_typed() -> None:
    """The route answers its schema, is not kept by caches, and takes no parameter."""
    async with open_api() as api:
        found = await api.read("/consensus", ConsensusShown)
        reply = await api.ask("/consensus")
        refused = await api.ask("/consensus?height=1")
    assert (found.epoch.number, found.epoch.height, found.replica.height) == (0, 0, 0)
    assert reply.headers["Cache-Control"] == "no-store"
    assert (refused.status, refused.code) == (400, "bad_request")


def test_a_screen(marsa: Marsa, node: LiveNode) -> None:
    """Epoch with who comes and goes, view, guard, and a row for each member."""
    text = marsa("consensus", "show", "--node", node.url).out
    assert "epoch 0: 1 blocks so far, ends at height" in text
    assert "leaving: val0\nwaiting: val9\n" in text
    assert "view change: none\n" in text
    row = next(line for line in text.splitlines() if line.startswith("val2"))
    assert row.split()[1:] == ["no", "?", "no"]
    shown = marsa("consensus", "show", "--node", node.url, "--json").json
    assert (shown["schema"], shown["epoch"]["height"]) == ("marsa.consensus.show/1", 1)
    assert [item["licence"] for item in shown["replica"]["members"] if not item["linked"]] == [
        "val2"
    ]


def test_trouble_is_said(marsa: Marsa, node: LiveNode) -> None:
    """A suspicion with its reason, then a view change under way; a guard with its reason."""
    state = node.state
    state.bad_primary = "two proposals for one height"
    state.suspects[0] = (Suspect(0, 1), node.time_ms)
    node.guard = SimpleNamespace(  # type: ignore[assignment]
        permission=Permission.WAITING, reason="waiting for a quorum", vote_above=0, view_min=0
    )
    text = marsa("consensus", "show", "--node", node.url).out
    assert ": two proposals for one height\nguard: waiting, waiting for a quorum\n" in text
    assert "view change: none, but some want one" in text
    state.active = False
    assert "view change: under way" in marsa("consensus", "show", "--node", node.url).out


def test_watching_shows_changes_alone(
    marsa: Marsa, node: LiveNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three more looks, a change before the second: two screens until Ctrl-C."""
    looks = iter(["", "val3", "", "stop"])

    def sleep(_: float) -> None:
        gone = next(looks)
        if gone == "stop":
            raise KeyboardInterrupt
        node.missing.extend([gone] if gone else [])

    monkeypatch.setattr(consensus, "time", SimpleNamespace(sleep=sleep))
    result = marsa("consensus", "show", "-w", "--node", node.url)
    assert (result.code, result.out.count("epoch 0:")) == (130, 2)
