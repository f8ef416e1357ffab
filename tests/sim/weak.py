"""Honest members with bad disks, and the operator who repairs them.

Each counts among the f, for what its disk lost it may sign again. It must stop or follow rather
than act on a lie: whatever stops the node's own process is an orderly end here. Once the faults
are over the operator does what the node's own sentences say (a new database where the old one is
damaged, `recover` where it does not vote), and then it must be equal to the others.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from ledger.full_audit import audit_full
from ledger.schema import DamagedChain
from node.vote_guard import Permission
from tests.sim.disk import LOG_PLACES, WRITE_POINTS, Misread
from tests.sim.node import Image, SimNode
from tests.sim.plan import FAITHFUL, Weak

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster

GAP_MS = (50, 800)
"""Between two troubles of one disk."""
HARMED = 0.8
"""Of all times that it is down."""
FULL_MS = (100, 1_500)
READS_MAX = 40
"""One of so many next reads goes wrong."""
STARTS_MAX = 1
"""After so many refused starts the operator does what the refusal says."""
RECOVERS_MS = (1, 1_000)
"""An impatient operator: `marsa node recover` soon after every trouble, heard or not."""
REPAIRS_MS = (500, 4_000)


class WeakDisks:
    """The troubles of all weak members of a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._rng = Random(f"weak/{cluster.plan.seed}")
        self._images: dict[int, Image] = {}
        self._sound: set[int] = set()
        self._on = False

    def begin(self) -> None:
        self._on = True
        for node in self._nodes():
            if self._weak(node) is Weak.MISREAD:
                node.watch_values()
            self._plan_next(node)

    def end(self) -> None:
        """Disks are good from now on; what they hold stays as it is."""
        self._on = False
        for node in self._nodes():
            node.heal_disk()
            if node.lies:
                self._cluster.crash(node)
            self._plan_repair(node)

    def crashed(self, node: SimNode) -> None:
        """A weak machine is down: what its disk does meanwhile."""
        if node.broken_promises:
            self._forgets(node, f"{node.broken_promises} lost with the power")
            node.broken_promises = ""
        if not self._on or node.member not in self._cluster.plan.weak:
            return
        if node.failed_starts >= STARTS_MAX and node.is_damaged:
            self._replace_chain(node)
        elif self._rng.random() < HARMED:
            self._harm(node)

    def are_whole(self) -> bool:
        """All of them vote again, and hold what the others hold."""
        height = self._cluster.checkers.height
        nodes = [node for node in self._nodes() if node.address in self._sound]
        engines = [node.engine for node in nodes if node.engine is not None]
        return len(engines) == len(self._cluster.plan.weak) and all(
            engine.chain.height >= height and engine.guard.permission is Permission.ALLOWED
            for engine in engines
        )

    def _nodes(self) -> list[SimNode]:
        return [self._cluster.nodes[member] for member in self._cluster.plan.weak]

    def _weak(self, node: SimNode) -> Weak:
        return self._cluster.plan.weak[node.member]

    def _say(self, node: SimNode, what: str) -> None:
        self._cluster.trace.line(self._cluster.now_ms, f"n{node.address} disk", what)

    # Troubles.

    def _plan_next(self, node: SimNode) -> None:
        delay_ms = self._rng.randint(*GAP_MS)
        self._cluster.timeline.after(delay_ms, lambda: self._trouble(node))

    def _trouble(self, node: SimNode) -> None:
        if not self._on:
            return
        if node.engine is not None:
            self._strike(node)
            if self._weak(node) not in FAITHFUL:
                delay_ms = self._rng.randint(*RECOVERS_MS)
                self._cluster.timeline.after(delay_ms, lambda: self._recover(node))
        self._plan_next(node)

    def _strike(self, node: SimNode) -> None:
        match self._weak(node):
            case Weak.FAILING:
                self._fail(node)
            case Weak.FULL:
                node.is_full = True
                delay_ms = self._rng.randint(*FULL_MS)
                self._cluster.timeline.after(delay_ms, lambda: self._free(node))
            case Weak.LYING:
                if node.lies:
                    self._cluster.crash(node)
                else:
                    node.begin_lying()
            case Weak.FLIPPED:
                self._cluster.crash(node)
            case Weak.MISREAD:
                if self._rng.random() < 0.3:
                    self._cluster.crash(node)
                else:
                    self._misread(node)
            case Weak.ROLLED_BACK:
                if node.address not in self._images or self._rng.random() < 0.3:
                    self._images[node.address] = node.image()
                else:
                    self._cluster.crash(node)

    def _fail(self, node: SimNode) -> None:
        """One write point fails; where logs rarely rotate, the next start comes to it."""
        if node.fail_at is None:
            node.fail_at = self._rng.choice(WRITE_POINTS)
            node.fails_on = self._rng.random() < 0.5
        elif node.fail_at.startswith("log.re"):
            self._cluster.crash(node)

    def _free(self, node: SimNode) -> None:
        node.is_full = False

    def _misread(self, node: SimNode) -> None:
        node.misread(self._rng.choice(list(Misread)), self._rng.randint(0, READS_MAX))

    # What a disk does while its machine is down.

    def _harm(self, node: SimNode) -> None:
        weak = self._weak(node)
        if weak is Weak.MISREAD:
            self._misread(node)
        elif weak is Weak.ROLLED_BACK and node.address in self._images:
            node.restore(self._images[node.address])
            node.strikes["rolled back"] += 1
            self._forgets(node, "an older image comes back")
        elif weak is Weak.FLIPPED:
            node.is_damaged = True
            flipped = self._cluster.plan.flipped
            if flipped or self._rng.random() < 0.5:
                place = node.harm_log(flipped or LOG_PLACES)
                what = f"log harmed: {place}" if place else ""
            else:
                what = f"chain flipped: {node.harm_chain()}"
            if what:
                node.strikes[what] += 1
                self._say(node, what)

    def _forgets(self, node: SimNode, what: str) -> None:
        node.is_damaged = True
        assert node.book is not None
        node.book.forget()
        self._cluster.checkers.told.pop(node.address, None)
        self._say(node, what)

    # The operator.

    def _replace_chain(self, node: SimNode) -> None:
        with_log = self._rng.random() < 0.5
        node.replace_chain(with_log=with_log)
        node.strikes["chain replaced"] += 1
        self._cluster.checkers.told.pop(node.address, None)
        self._say(node, f"a new database, log too: {with_log}")

    def _recover(self, node: SimNode) -> None:
        if node.engine is not None:
            self._cluster.act(node, "recover", lambda: node.recover())

    def _plan_repair(self, node: SimNode) -> None:
        delay_ms = self._rng.randint(*REPAIRS_MS)
        self._cluster.timeline.after(delay_ms, lambda: self._repair(node))

    def _repair(self, node: SimNode) -> None:
        """Until its chain stands up to the full audit; and whenever its guard does not vote."""
        if node.engine is not None and node.address not in self._sound:
            if self._is_sound(node):
                self._sound.add(node.address)
            else:
                self._cluster.crash(node)
        if node.engine is None:
            self._sound.discard(node.address)
            self._replace_chain(node)
            self._cluster.start(node)
        elif node.engine.guard.permission is Permission.FOLLOWING:
            self._recover(node)
        self._plan_repair(node)

    def _is_sound(self, node: SimNode) -> bool:
        assert node.engine is not None
        world = self._cluster.world
        try:
            for _ in audit_full(node.engine.chain, world.is_valid):
                pass
        except DamagedChain as damage:
            self._say(node, f"full audit: {damage.what}")
            return False
        return True
