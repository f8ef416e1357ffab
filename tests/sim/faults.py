"""Passing faults: crashes, cuts and pauses, at times drawn from the seed."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from p2p.wire import (
    COMMIT,
    GIVE,
    MESSAGES,
    NEW_VIEW,
    PRE_PREPARE,
    PREPARE,
    STATUS,
    VIEW_CHANGE,
)
from tests.sim.disk import WRITE_POINTS
from tests.sim.node import SimNode
from tests.sim.plan import Episode, Evil
from tests.sim.pressure import Pressure
from tests.sim.weak import WeakDisks

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster

CUT_MS = (200, 8_000)
DOWN_MS = (50, 12_000)
PAUSE_MS = (100, 5_000)
MUTED = (PRE_PREPARE, PREPARE, COMMIT, COMMIT, VIEW_CHANGE, NEW_VIEW, STATUS, GIVE)
"""Without COMMITs blocks are prepared in one view after another."""
SPARED_MS_MAX = 1_000
"""A spared member is cut off before its STATUS tells everybody."""
FORGETS_MS = (100, 4_000)
WEAK_DOWN_MS = (20, 800)
"""A bad disk strikes several times in a run."""
RELAPSE_MS = (1, 200)
EFFECTS_MAX = 30
"""A power cut hits one of so many next effects."""
EFFECTS_OF_A_NAME_MAX = 4
"""Or one of so many of one kind."""
EFFECTS_AT_START_MAX = 6
"""Or one of so many after a start: what the recovery itself writes, and a little more."""
AT_ONCE = 0.5
"""How often all machines lose their power at one moment; else each at an effect of its own."""
RELAPSES_MAX = 3


class Faults:
    """Plans episodes while the faulty phase lasts, and undoes them at its end."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._rng = Random(f"faults/{cluster.plan.seed}")
        self._on = False
        self._pressure = Pressure(cluster, self._rng)
        self.weak = WeakDisks(cluster)

    def begin(self) -> None:
        self._on = True
        cluster = self._cluster
        for member, evil in cluster.plan.evil.items():
            if evil is Evil.DEAD:
                delay_ms = self._rng.randint(0, cluster.plan.fault_ms)
                node = cluster.nodes[member]
                cluster.timeline.after(delay_ms, lambda node=node: self._kill(node))
            if evil is Evil.AMNESIAC:
                self._plan_forgetting(cluster.nodes[member])
        for node in cluster.nodes.values():
            node.fsync_ms = cluster.plan.fsync_ms
        self.weak.begin()
        if cluster.plan.episodes:
            self._plan_next()

    def end(self) -> None:
        """Everything heals: links, pauses and machines; evil members stay what they are."""
        self._on = False
        cluster = self._cluster
        cluster.network.heal()
        self.weak.end()
        for address in list(cluster.paused):
            self._resume(cluster.nodes[address])
        for node in cluster.nodes.values():
            node.cut_after = None
            node.cuts_at_start.clear()
            node.fsync_ms = 0
            if not self._is_dead(node):
                cluster.start(node)
            elif node.engine is not None:
                cluster.crash(node)
        cluster.reconnect()

    def crashed(self, node: SimNode) -> None:
        """Whatever crashed comes back, unless it died for good."""
        cluster = self._cluster
        cluster.paused.pop(node.address, None)
        self.weak.crashed(node)
        if self._on and not self._is_dead(node):
            delay_ms = self._rng.randint(*self._down_ms(node))
            cluster.timeline.after(delay_ms, lambda: self._rise(node))

    def _down_ms(self, node: SimNode) -> tuple[int, int]:
        if node.cuts_at_start:
            return RELAPSE_MS
        return WEAK_DOWN_MS if node.member in self._cluster.plan.weak else DOWN_MS

    def _is_dead(self, node: SimNode) -> bool:
        evil = self._cluster.plan.evil.get(node.member)
        return evil is Evil.DEAD and not self._cluster.calm and node.incarnation >= 1

    def _kill(self, node: SimNode) -> None:
        self._cluster.crash(node)

    def _plan_forgetting(self, node: SimNode) -> None:
        delay_ms = self._rng.randint(*FORGETS_MS)
        self._cluster.timeline.after(delay_ms, lambda: self._forget(node))

    def _forget(self, node: SimNode) -> None:
        """An evil member begins anew, as if it had never signed anything."""
        if not self._on:
            return
        self._cluster.crash(node)
        node.lose_log()
        self._cluster.start(node)
        self._plan_forgetting(node)

    def _rise(self, node: SimNode) -> None:
        if self._on:
            self._cluster.start(node)

    def _plan_next(self) -> None:
        gap_ms = self._cluster.plan.episode_gap_ms
        self._cluster.timeline.after(self._rng.randint(1, 2 * gap_ms), self._episode)

    def _episode(self) -> None:
        if not self._on:
            return
        kind = self._rng.choice(self._cluster.plan.episodes)
        self._begin(kind)
        self._plan_next()

    def _begin(self, kind: Episode) -> None:
        cluster = self._cluster
        node = self._rng.choice(list(cluster.nodes.values()))
        match kind:
            case Episode.CRASH:
                self._cut_power(node)
            case Episode.RELAPSE:
                self._cut_power(node)
                for _ in range(self._rng.randint(1, RELAPSES_MAX)):
                    node.cuts_at_start.append(self._rng.randint(1, EFFECTS_AT_START_MAX))
            case Episode.POWER:
                cut = cluster.crash if self._rng.random() < AT_ONCE else self._cut_power
                for each in cluster.nodes.values():
                    cut(each)
            case Episode.ISOLATE:
                self._isolate(node)
            case Episode.ISOLATE_PRIMARY:
                self._isolate(self._primary())
            case Episode.SPLIT:
                half = len(cluster.nodes) // 2
                size = half if half <= 2 else self._rng.randint(2, half)
                self._cut(set(self._rng.sample(sorted(cluster.nodes), size)), both_ways=True)
            case Episode.ONE_WAY:
                self._cut({node.address}, both_ways=False)
            case Episode.PAUSE:
                self._pause(node)
            case Episode.MUTE:
                self._mute(self._rng.choice(MUTED))
            case Episode.PRESS:
                self._pressure.press()
            case Episode.AMBUSH:
                strike = self._rng.choice((self._isolate, self._cluster.crash, self._pause))
                self._pressure.ambush(strike)
            case Episode.LADDER:
                self._pressure.climb()

    def _cut_power(self, node: SimNode) -> None:
        if node.engine is None:
            return
        if self._rng.random() < 0.3:
            self._cluster.crash(node)
        elif self._rng.random() < 0.5:
            node.cut_where = None
            node.cut_after = self._rng.randint(1, EFFECTS_MAX)
        else:
            node.cut_where = self._rng.choice(WRITE_POINTS)
            node.cut_after = self._rng.randint(1, EFFECTS_OF_A_NAME_MAX)

    def _primary(self) -> SimNode:
        live = self._cluster.live()
        if not live:
            return self._cluster.nodes[0]
        highest = max(live, key=lambda node: node.engine.replica.state.view)  # type: ignore[union-attr]
        assert highest.engine is not None
        engine, world = highest.engine, self._cluster.world
        machine = world.machine(engine.validators.members[engine.replica.state.primary].key)
        return next(node for node in self._cluster.nodes.values() if node.member == machine)

    def _isolate(self, node: SimNode) -> None:
        addresses = self._cluster.network.addresses(node.member)
        self._cut(set(addresses), both_ways=True)

    def _cut(self, side: set[int], *, both_ways: bool) -> None:
        cluster = self._cluster
        others = set(cluster.nodes) - side
        links = [(a, b) for a in side for b in others]
        if both_ways:
            links += [(b, a) for a, b in links]
        elif self._rng.random() < 0.5:
            links = [(b, a) for a, b in links]
        number = cluster.network.cut(links)
        cluster.trace.line(cluster.now_ms, "network", f"cut {sorted(side)} both={both_ways}")
        cluster.reconnect()
        cluster.timeline.after(self._rng.randint(*CUT_MS), lambda: self._mend(number))

    def _mend(self, number: int) -> None:
        self._cluster.network.mend(number)
        self._cluster.reconnect()

    def _mute(self, number: int) -> None:
        """Of one kind most messages are lost; at times one member hears them all, and is then cut
        off: it alone knows what was decided."""
        cluster, muted = self._cluster, self._cluster.network.muted
        spared = self._rng.choice([None, *cluster.nodes])
        muted[number] = spared
        text = f"mute {MESSAGES[number].name}, spare {spared}"
        cluster.trace.line(cluster.now_ms, "network", text)
        duration_ms = self._rng.randint(*CUT_MS)
        cluster.timeline.after(duration_ms, lambda: muted.pop(number, None))
        if spared is not None:
            node = cluster.nodes[spared]
            cut_after_ms = self._rng.randint(1, SPARED_MS_MAX)
            cluster.timeline.after(cut_after_ms, lambda: self._isolate_later(node))

    def _isolate_later(self, node: SimNode) -> None:
        if self._on:
            self._isolate(node)

    def _pause(self, node: SimNode) -> None:
        cluster = self._cluster
        if node.engine is None or node.address in cluster.paused:
            return
        cluster.trace.line(cluster.now_ms, f"n{node.address}", "pause")
        self.stall(node, self._rng.randint(*PAUSE_MS))

    def stall(self, node: SimNode, duration_ms: int) -> None:
        """The machine does nothing for so long; then everything that reached it meanwhile."""
        cluster = self._cluster
        if node.address not in cluster.paused:
            cluster.paused[node.address] = []
            cluster.timeline.after(duration_ms, lambda: self._resume(node))

    def _resume(self, node: SimNode) -> None:
        for action in self._cluster.paused.pop(node.address, []):
            action()
