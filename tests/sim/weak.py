"""Honest members with bad disks: writes that fail, bits that flip, images that come back.

Each counts among the f, for what its disk lost it may sign again. It must stop or follow rather
than act on a lie: whatever stops the node's own process is an orderly end here.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from tests.sim.node import Image, SimNode
from tests.sim.plan import Weak

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster

GAP_MS = (200, 5_000)
"""Between two troubles of one disk."""
WRITES_MAX = 30
"""One of so many next writes fails."""
HARMED = 0.6
"""Of all its restarts."""
RECOVERS_MS = (500, 4_000)
"""After healing the operator says `marsa node recover`."""


class WeakDisks:
    """The troubles of all weak members of a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._rng = Random(f"weak/{cluster.plan.seed}")
        self._images: dict[int, Image] = {}
        self._on = False

    def begin(self) -> None:
        self._on = True
        for member in self._cluster.plan.weak:
            self._plan_next(self._cluster.nodes[member])

    def end(self) -> None:
        """Disks are good from now on; what they hold stays as it is."""
        self._on = False
        for member in self._cluster.plan.weak:
            node = self._cluster.nodes[member]
            node.fail_after = None
            delay_ms = self._rng.randint(*RECOVERS_MS)
            self._cluster.timeline.after(delay_ms, lambda node=node: self._recover(node))

    def crashed(self, node: SimNode) -> None:
        """A weak machine is down: what its disk does meanwhile."""
        weak = self._cluster.plan.weak.get(node.member)
        if not self._on or weak is None or self._rng.random() > HARMED:
            return
        if weak is Weak.FLIPPED:
            self._harm(node, f"a bit flips in its {node.flip()}")
        elif weak is Weak.ROLLED_BACK and node.address in self._images:
            node.restore(self._images[node.address])
            self._harm(node, "an older image of its disk comes back")

    def _harm(self, node: SimNode, what: str) -> None:
        node.is_damaged = True
        assert node.book is not None
        node.book.forgets = True
        self._cluster.checkers.told.pop(node.address, None)
        self._cluster.trace.line(self._cluster.now_ms, f"n{node.address} down", what)

    def _plan_next(self, node: SimNode) -> None:
        delay_ms = self._rng.randint(*GAP_MS)
        self._cluster.timeline.after(delay_ms, lambda: self._trouble(node))

    def _trouble(self, node: SimNode) -> None:
        if not self._on:
            return
        if node.engine is not None:
            if self._cluster.plan.weak[node.member] is Weak.FAILING:
                node.fail_after = self._rng.randint(1, WRITES_MAX)
            elif node.address in self._images or self._rng.random() < 0.5:
                self._cluster.crash(node)
            else:
                self._images[node.address] = node.image()
        self._plan_next(node)

    def _recover(self, node: SimNode) -> None:
        if node.engine is not None:
            self._cluster.act(node, "recover", lambda: node.recover())
