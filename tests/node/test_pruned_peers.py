"""Peers that prune: the plan for blocks and the client for snapshots together, over real links."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from ledger import codec
from ledger.chain import Chain
from ledger.kv import MemoryKV
from node import snapshot_client as module
from node.fetching import (
    FETCH_BYTES_MAX,
    GIVE_BYTES_MAX,
    Fetch,
    FetchRange,
    Give,
    GivePruned,
    GiveRange,
)
from node.serving import answer
from node.snapshot_held import HeldSnapshot
from node.sync import SyncPlan
from p2p.peer import Peer
from p2p.wire import FETCH, GIVE
from tests.ledger.chain_world import EPOCH_BLOCKS
from tests.ledger.snapshot_world import extend, grown, imported
from tests.node.test_snapshot_client import RULES, Taker
from tests.p2p.harness import World as Links
from tests.p2p.harness import open_world, until

GIVERS = ("val0", "val1")


class Asker(Taker):
    """A node at height 0 that asks for blocks as its engine would, until a snapshot is there."""

    def __init__(self, links: Links, directory: Path, plan: SyncPlan) -> None:
        self.plan = plan
        super().__init__(links, directory, distance=10_000, plan=plan)

    def ask(self) -> None:
        """One turn: every peer says again that it is in a later epoch."""
        self.plan.note_links(frozenset(map(str.encode, self.node.linked())))
        for name in self.node.linked():
            self.plan.hear_claim(name.encode())
        request = self.plan.request(0, time.monotonic_ns() // 1_000_000)
        if request is not None:
            payload = codec.encode(Fetch(request[1]))
            self.node.network.send(request[0].decode(), FETCH, payload)

    def _on_frame(self, peer: Peer, number: int, payload: bytes) -> None:
        if number == GIVE and not self.client.take(peer, payload):
            given = codec.decode(payload, Give, size_max=GIVE_BYTES_MAX).given
            if isinstance(given, GivePruned):
                self.plan.hear_pruned(peer.identity.encode(), given)
            elif isinstance(given, GiveRange):
                self.plan.give(peer.identity.encode(), given)


def start_giver(links: Links, name: str, chain: Chain, ranges: Counter[str]) -> None:
    """A node that answers from its chain, as nodes do; `ranges` counts who was asked for blocks."""
    held, node = HeldSnapshot(chain), links.node(name)

    def on_frame(peer: Peer, number: int, payload: bytes) -> None:
        if number == FETCH:
            wanted = codec.decode(payload, Fetch, size_max=FETCH_BYTES_MAX).wanted
            ranges[name] += isinstance(wanted, FetchRange)
            found = answer(wanted, chain, held, lambda _: None, lambda _: None)
            assert found is not None
            peer.send(GIVE, codec.encode(Give(found)))

    node.frame_hook = on_frame
    node.start({})


async def test_peers_that_prune_lead_to_a_snapshot(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two peers that began with a snapshot answer that the blocks are pruned. The node is a few
    blocks behind, far less than the distance, and takes theirs."""
    monkeypatch.setattr(module, "LOOK_S", 0.02)
    _, original = grown(MemoryKV(), seed=21, outputs=1_500, epochs=3)
    chain = Chain.open(imported(original.freeze(), original))
    ranges = Counter[str]()
    async with open_world(tmp_path) as links:
        for name in GIVERS:
            start_giver(links, name, chain, ranges)
        asker = Asker(links, tmp_path, SyncPlan(RULES, b"val3"))

        def is_ready() -> bool:
            asker.ask()
            return asker.is_ready

        await until(is_ready, "the snapshot is whole")
        await asker.stop()
    assert set(ranges) == set(GIVERS)
    assert all(ranges.values())
    assert "all peers have pruned the blocks after height 0" in caplog.text
    assert asker.height_in_place() == 3 * EPOCH_BLOCKS


async def test_peers_that_have_the_blocks_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the two has every block: its answer is there for the engine, and no snapshot is taken,
    whichever was asked first."""
    monkeypatch.setattr(module, "LOOK_S", 0.02)
    world, original = grown(MemoryKV(), seed=22, outputs=20, epochs=2)
    pruned = Chain.open(imported(original.freeze(), original))
    extend(original, world, Random(1), 1)
    ranges = Counter[str]()
    async with open_world(tmp_path) as links:
        start_giver(links, "val0", pruned, ranges)
        start_giver(links, "val1", original, ranges)
        asker = Asker(links, tmp_path, SyncPlan(RULES, b"val3"))

        def has_blocks() -> bool:
            asker.ask()
            return len(asker.plan) > 0

        await until(has_blocks, "blocks came")
        assert ranges["val1"] == 1
        assert not asker.plan.is_pruned([name.encode() for name in GIVERS], 1)
        assert asker.client.target_height == 0
        await asker.stop()
