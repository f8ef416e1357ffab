"""Streams of events from real nodes, over restarts and crashes of the node that is listened to."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import msgspec
import pytest

from cli.client import Client, ClientError
from cli.events import Event
from node.api.event_schemas import Topic
from node.api.schemas import BlockSummary
from tests.functional.cluster import Cluster, until

pytestmark = pytest.mark.functional


class Listener:
    """Collects what one node tells, in a thread, until a height is told."""

    def __init__(self, url: str, topics: Sequence[Topic], after: int) -> None:
        self.told: list[Event] = []
        self.failed: list[ClientError] = []
        self.last = 1 << 62
        self._thread = threading.Thread(target=self._run, args=(url, topics, after), daemon=True)
        self._thread.start()

    @property
    def height(self) -> int:
        return self.told[-1].height if self.told else 0

    def end_at(self, height: int) -> None:
        """No more than this is wanted: the next event at this height or above it is the last."""
        self.last = height
        self._thread.join(30)
        assert not self._thread.is_alive()
        assert self.failed == []

    def _run(self, url: str, topics: Sequence[Topic], after: int) -> None:
        try:
            with Client(url) as client:
                for event in client.events(topics, after=after):
                    self.told.append(event)
                    if event.height >= self.last:
                        return
        except ClientError as error:
            self.failed.append(error)


def _told_always(block: BlockSummary) -> BlockSummary:
    """Without what a node knows of blocks since its own start alone."""
    return msgspec.structs.replace(block, final_after_ms=None)


def test_a_stream_survives_its_node(cluster: Cluster) -> None:
    """The node is killed while others go on, comes again and catches up: every block once and in
    order, each as the list of blocks has it, and every payment among the transactions."""
    up = cluster.up("--detach", "--no-issuers")
    address, other = up["nodes"][0]["api"], up["nodes"][1]["api"]
    listener = Listener(address, ("blocks", "transactions"), 0)
    paid = [cluster.send("1", "alice", "bob", "--node", other)]
    until(lambda: listener.height >= paid[0]["height"], "the first payment is told")
    cluster.marsa("devnet", "kill", "val0")
    for sender, to in (("alice", "bob"), ("bob", "alice"), ("alice", "bob")):
        paid.append(cluster.send("1", sender, to, "--node", other))
    cluster.marsa("devnet", "restart", "val0")
    until(lambda: listener.height >= paid[-1]["height"], "what it missed is told")
    paid.append(cluster.send("1", "bob", "alice"))
    listener.end_at(paid[-1]["height"])

    blocks = [item.value for item in listener.told if isinstance(item.value, BlockSummary)]
    assert [item.height for item in blocks] == list(range(1, blocks[-1].height + 1))
    sent = [(x.value.txid, x.height) for x in listener.told if x.name == "transaction"]
    assert len(set(sent)) == len(sent)
    assert {(item["txid"], item["height"]) for item in paid} <= set(sent)
    assert all(item.name != "gap" for item in listener.told)
    with Client(address) as client:
        listed = {item.height: _told_always(item) for item in client.blocks(limit=200).items}
    assert [listed[item.height] for item in blocks] == [_told_always(item) for item in blocks]


def test_orders_before_a_restart_are_a_gap(cluster: Cluster) -> None:
    """What changed is held in memory alone: a client that saw less is told so, then hears on."""
    up = cluster.up("--detach")
    asked = ("redeem", "submit", "1", "--from", "alice", "--class", "cpu", "--workload", "hashing")
    cluster.marsa(*asked)
    cluster.marsa("devnet", "down")
    cluster.up("--detach")
    listener = Listener(up["nodes"][0]["api"], ("orders",), 0)
    until(lambda: listener.told, "the gap is told")
    order = cluster.marsa(*asked, "--json").json["order"]

    def told() -> list[str]:
        return [x.value.state for x in listener.told if x.name == "order" and x.value.id == order]

    until(lambda: "accepted" in told(), "the next order is told, and that it was accepted")
    listener.end_at(0)
    assert [item.name for item in listener.told].count("gap") == 1
    assert listener.told[0].name == "gap"
    assert told()[:2] == ["requested", "accepted"]
