"""Pressure on the change of views, where chance alone seldom leads.

- Press: f + 1 members lose patience at once, so that a view ends whatever its primary does.
- Ambush: something breaks at the very message that matters, not at a time that means nothing.
- Ladder: one member alone prepares a block and is cut off; the next view prepares another block at
  that height, one member alone commits it and is cut off; a third view begins with the first
  member back. Whoever ranks prepared certificates wrongly, or forgets one, now loses a final block.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from p2p.wire import (
    COMMIT,
    MESSAGES,
    NEW_VIEW,
    PRE_PREPARE,
    PREPARE,
    VIEW_CHANGE,
)
from tests.sim.node import SimNode

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster

AMBUSHED = (PRE_PREPARE, PREPARE, COMMIT, COMMIT, VIEW_CHANGE, NEW_VIEW, NEW_VIEW)
AMBUSH_DELAY_MS = 100
"""The fault follows the message by at most so much: before or after its first recipients."""
POLL_MS = 10
STEP_MS = 4_000
"""A ladder gives a step up after so long: the network may be too bad for it."""
RETURN_MS = 3_000
"""The member that alone knows a decision stays away for up to so long."""


class Pressure:
    """Acts on a cluster while its faults last."""

    def __init__(self, cluster: Cluster, rng: Random) -> None:
        self._cluster = cluster
        self._rng = rng
        self._climbs = False

    def press(self, members: list[SimNode] | None = None) -> None:
        """f + 1 of the members, or all that are named, find their primary overdue."""
        cluster = self._cluster
        if members is None:
            live = cluster.live()
            count = min(len(live), cluster.world.validators.f + 1)
            members = self._rng.sample(live, count)
        for node in members:
            cluster.act(node, "loses patience", node.lose_patience)

    def ambush(self, strike: Callable[[SimNode], None]) -> None:
        """At the next message of some kind `strike` falls upon its sender, or all are pressed."""
        cluster, rng = self._cluster, self._rng
        number = rng.choice(AMBUSHED)
        delay_ms = rng.randint(0, AMBUSH_DELAY_MS)
        presses = rng.random() < 0.4

        def spring(source: int) -> None:
            def act() -> None:
                if cluster.network.is_faulty:
                    self.press() if presses else strike(cluster.nodes[source])

            name = MESSAGES[number].name
            cluster.trace.line(cluster.now_ms, f"a{source}", f"ambushed at {name}")
            cluster.timeline.after(delay_ms, act)

        cluster.network.ambushes[number] = spring

    def climb(self) -> None:
        """Begin a ladder; one at a time."""
        live = [node for node in self._cluster.live() if node.address not in self._cluster.paused]
        if not self._climbs and len(live) >= self._cluster.world.validators.quorum:
            self._climbs = True
            first, last = self._rng.sample(live, 2)
            self._only(PREPARE, first)
            self._when(lambda: _prepares(first), lambda: self._second(first, last))

    def _second(self, first: SimNode, last: SimNode) -> None:
        cut = self._isolate(first)
        self._cluster.network.only.clear()
        self._only(COMMIT, last)
        others = [node for node in self._cluster.live() if node is not first]
        self.press(others)
        height = _height(last)
        self._when(lambda: _height(last) > height, lambda: self._third(first, last, cut))

    def _third(self, first: SimNode, last: SimNode, cut: int) -> None:
        cluster = self._cluster
        other_cut = self._isolate(last)
        cluster.network.only.clear()
        cluster.network.mend(cut)
        cluster.reconnect()
        self.press([node for node in cluster.live() if node is not last])
        cluster.timeline.after(self._rng.randint(1, RETURN_MS), lambda: self._end(other_cut))

    def _end(self, cut: int) -> None:
        self._cluster.network.mend(cut)
        self._cluster.reconnect()
        self._climbs = False

    def _only(self, number: int, node: SimNode) -> None:
        cluster = self._cluster
        cluster.network.only[number] = node.address
        text = f"{MESSAGES[number].name} reaches n{node.address} alone"
        cluster.trace.line(cluster.now_ms, "network", text)

    def _isolate(self, node: SimNode) -> int:
        cluster = self._cluster
        others = set(cluster.nodes) - {node.address}
        cluster.trace.line(cluster.now_ms, "network", f"cut [{node.address}]")
        links = [(node.address, other) for other in others]
        number = cluster.network.cut([*links, *((b, a) for a, b in links)])
        cluster.reconnect()
        return number

    def _when(self, condition: Callable[[], bool], then: Callable[[], None]) -> None:
        """Go on when it holds, or after STEP_MS all the same; stop when the faults end."""
        cluster = self._cluster
        end_ms = cluster.now_ms + STEP_MS

        def poll() -> None:
            if not cluster.network.is_faulty:
                return
            if condition() or cluster.now_ms >= end_ms:
                then()
            else:
                cluster.timeline.after(POLL_MS, poll)

        poll()


def _height(node: SimNode) -> int:
    return 0 if node.engine is None else node.engine.chain.height


def _prepares(node: SimNode) -> bool:
    """It holds a prepared certificate for the height that comes next."""
    return node.engine is not None and bool(node.engine.replica.state.prepared)
